//! A web server: files from `static/`, one dynamic route, a health check.
//!
//! One green thread serves one connection. Files are embedded when the service is built, so there
//! is nothing to configure and nothing to go missing.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

mod assets;
mod connection;
mod date;
mod request;
mod response;
mod routes;

use alloc::sync::Arc;
use denali_rt::net::{TcpListener, TcpStream};
use denali_rt::{io, sync::Semaphore, thread};

denali_rt::entry!(main);

/// The port the server listens on, inside its VM.
const PORT: u16 = 80;

/// Connections served at once; as many may wait to be.
const CONNECTIONS_MAX: usize = 512;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(PORT)?;
    listener.set_backlog(CONNECTIONS_MAX)?;
    log::info!("{} files, listening on port {PORT}", assets::count());
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        slots.acquire();
        let (stream, peer) = listener.accept()?;
        let served = Arc::clone(&slots);
        let spawned = thread::Builder::new().spawn(move || {
            serve(stream);
            served.release();
        });
        if spawned.is_err() {
            log::warn!("no memory for a connection from {peer}");
            slots.release();
        }
    }
}

fn serve(mut stream: TcpStream) {
    // Without timeouts a silent client would hold its slot for ever.
    let prepared = stream
        .set_read_timeout(Some(connection::IDLE_TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(connection::IDLE_TIMEOUT)))
        .and_then(|()| stream.set_nodelay(true));
    if let Err(error) = prepared.and_then(|()| connection::serve(&mut stream)) {
        log::debug!("connection ended: {error}");
    }
}
