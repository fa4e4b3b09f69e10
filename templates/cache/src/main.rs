//! A cache: memcached's text protocol and meta commands, in as much memory as the VM has.
//!
//! One green thread serves one connection; the store is one for all of them. Items live in memory of
//! exactly known size, so that the VM runs full without ever running out.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;
#[cfg(all(test, not(denali)))]
extern crate std;

mod cache;
mod clock;
mod counters;
mod limits;
mod protocol;
mod session;
mod store;

use alloc::sync::Arc;
use cache::Cache;
use clock::Moment;
use core::time::Duration;
use denali_rt::net::{KeepAlive, TcpListener, TcpStream};
use denali_rt::{env, io, random, registers, thread};
use limits::Limits;
use session::Session;

denali_rt::entry!(main);

/// The port the server listens on, inside its VM.
const PORT: u16 = 11211;

/// How long a client may leave an answer unread, whose item stays in memory meanwhile.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// After how much silence to probe whether a client is still there.
const KEEP_ALIVE: KeepAlive = KeepAlive::every(Duration::from_secs(300));

fn main() -> io::Result<()> {
    let memory = registers::pages_left() as usize * 4096;
    let limits = Limits::new(memory, env::args())
        .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
    let listener = TcpListener::bind(PORT)?;
    let cache = Arc::new(Cache::new(
        limits,
        [random::u64(), random::u64()],
        Moment::now,
    ));
    let (_, bytes) = cache.with(|state| state.store.bytes());
    let connections = limits.connections_max;
    log::info!("{bytes} bytes for items, {connections} connections, listening on port {PORT}");
    loop {
        let (stream, peer) = listener.accept()?;
        if !admit(&cache) {
            log::debug!("one connection too many, from {peer}");
            // That a client does not read why it is refused is its own affair.
            let _ = stream.write(protocol::answer::TOO_MANY_CONNECTIONS.as_bytes());
            continue;
        }
        let shared = Arc::clone(&cache);
        let spawned = thread::Builder::new().spawn(move || {
            serve(&shared, stream);
            shared.with(|state| state.counters.curr_connections -= 1);
        });
        if spawned.is_err() {
            log::warn!("no memory for a connection from {peer}");
            cache.with(|state| state.counters.curr_connections -= 1);
        }
    }
}

/// Counts a connection. Returns false if there are too many.
fn admit(cache: &Cache) -> bool {
    cache.with(|state| {
        let counters = &mut state.counters;
        let admitted = counters.curr_connections < cache.limits.connections_max as u64;
        if admitted {
            counters.curr_connections += 1;
            counters.total_connections += 1;
        } else {
            counters.rejected_connections += 1;
        }
        admitted
    })
}

fn serve(cache: &Cache, stream: TcpStream) {
    let prepared = stream
        .set_write_timeout(Some(WRITE_TIMEOUT))
        .and_then(|()| stream.set_keep_alive(Some(KEEP_ALIVE)));
    if let Err(error) = prepared.and_then(|()| Session::new(cache, stream).serve()) {
        log::debug!("connection ended: {error}");
    }
}
