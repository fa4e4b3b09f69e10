//! A caching reverse proxy: one green thread serves one client.
//!
//! | module     | what                                                        |
//! |------------|-------------------------------------------------------------|
//! | `settings` | what the operator wants, and how the memory is divided      |
//! | `proxy`    | requests in, answers out                                    |
//! | `caching`  | the rules of RFC 9111, and responses in memory              |
//! | `flight`   | one fetch for all who ask for the same meanwhile            |
//! | `origin`   | connections to the origin                                   |
//! | `http`     | messages                                                    |

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

mod caching;
mod flight;
mod http;
mod origin;
mod proxy;
mod settings;
#[cfg(test)]
mod testing;

use alloc::format;
use alloc::sync::Arc;
use caching::Moment;
use denali_rt::net::{TcpListener, TcpStream};
use denali_rt::time::{self, Instant};
use denali_rt::{env, io, registers, thread};
use origin::Address;
use proxy::{Client, Proxy, refuse};
use settings::Settings;

denali_rt::entry!(main);

/// The port the proxy listens on, inside its VM.
const PORT: u16 = 80;

fn main() -> io::Result<()> {
    let memory = registers::pages_left() as usize * 4096;
    let settings = Settings::new(memory, env::args(), env::var("EDGE_CACHE_TOKEN"))?;
    let listener = TcpListener::bind(PORT)?;
    let most = settings.connections_max;
    log::info!(
        "origin {}:{}, {} bytes for responses, {most} clients, listening on port {PORT}",
        settings.origin_host,
        settings.origin_port,
        settings.store_len
    );
    let address = Address {
        host: settings.origin_host.clone(),
        port: settings.origin_port,
        patience: settings.patience,
    };
    let proxy = Arc::new(Proxy::new(settings, address, now));
    loop {
        let (mut stream, peer) = listener.accept()?;
        if proxy.with(|state| state.counters.clients >= most as u64) {
            proxy.count(|counters| counters.refused += 1);
            // That a client does not read why it is refused is its own affair.
            let _ = refuse(&mut stream, 503);
            continue;
        }
        proxy.count(|counters| counters.clients += 1);
        let shared = Arc::clone(&proxy);
        let spawned = thread::Builder::new().spawn(move || {
            serve(&shared, stream);
            shared.count(|counters| counters.clients -= 1);
        });
        if spawned.is_err() {
            log::warn!("no memory for a connection from {peer}");
            proxy.count(|counters| counters.clients -= 1);
        }
    }
}

fn serve(proxy: &Arc<Proxy<Address>>, stream: TcpStream) {
    let peer = stream.peer_addr();
    // Without a timeout a client that reads nothing would hold its place for ever.
    let prepared = stream
        .set_write_timeout(Some(proxy.settings.patience.client))
        .and_then(|()| stream.set_nodelay(true));
    let served =
        prepared.and_then(|()| Client::new(proxy, stream, format!("{}", peer.ip())).serve());
    if let Err(error) = served {
        log::debug!("{peer}: {error}");
    }
}

fn now() -> Moment {
    Moment {
        tick: Instant::now().as_ns() / 1_000_000_000,
        unix: time::wall().as_secs(),
    }
}
