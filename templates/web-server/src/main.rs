//! A web server: files from `static/`, one dynamic route, a health check.
//!
//! One green thread serves one connection. Files are embedded when the service is built, so there
//! is nothing to configure and nothing to go missing.
//!
//! `routes.rs` says what is answered: the part to change first. The rest is HTTP.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

mod access_log;
mod assets;
mod body;
mod conditions;
mod connection;
mod connections;
mod date;
mod decimal;
mod encoding;
mod files;
mod input;
mod path;
mod ranges;
mod request;
mod response;
mod routes;

use alloc::sync::Arc;
use connections::{Connections, Drained};
use denali_rt::net::TcpListener;
use denali_rt::{io, process, thread};

denali_rt::entry!(main);

/// The port the server listens on, inside its VM.
const PORT: u16 = 80;

/// Connections served at once; as many may wait to be.
const CONNECTIONS_MAX: usize = 512;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(PORT)?;
    listener.set_backlog(CONNECTIONS_MAX)?;
    log::info!("{} files, listening on port {PORT}", assets::count());
    let connections = Arc::new(Connections::new(CONNECTIONS_MAX));
    let accepting = Arc::clone(&connections);
    thread::Builder::new().name("accept").spawn(move || accept(&listener, &accepting))?;
    // `cargo denali stop` lets requests in flight finish.
    let deadline = process::wait_for_stop();
    log::info!("stopping, with {} connections", connections.count());
    match connections.drain(deadline) {
        Drained::All => log::info!("stopped: every request was answered"),
        Drained::Some => log::warn!("stopped in the middle of requests"),
    }
    Ok(())
}

fn accept(listener: &TcpListener, connections: &Arc<Connections>) {
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                log::error!("accepting failed: {error}");
                process::exit(1);
            }
        };
        let connection = connections.enter(stream);
        let spawned = thread::Builder::new().spawn(move || {
            let mut client = connection::Client::new(&connection, peer.ip());
            if let Err(error) = connection::serve(&mut client) {
                log::debug!("connection ended: {error}");
            }
        });
        if spawned.is_err() {
            log::warn!("no memory for a connection from {peer}");
        }
    }
}
