//! A web server made of tasks: picoserve, one thread, one task for each connection.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

mod runtime;

use alloc::rc::Rc;
use alloc::{boxed::Box, format};
use core::cell::Cell;
use core::time::Duration;
use denali_rt::sync::channel;
use denali_rt::task::net::{TcpListener, TcpStream};
use denali_rt::{io, task, thread};
use picoserve::routing::{PathRouter, get};
use picoserve::{Config, Router, Server};
use runtime::{Denali, Socket};

denali_rt::entry!(main);

/// The port the server listens on, inside its VM.
const PORT: u16 = 80;

/// Bytes a request's head may have.
const HEAD_MAX: usize = 2048;

fn main() -> io::Result<()> {
    task::block_on(serve())
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(PORT)?;
    let ticks = count_seconds();
    let requests = Rc::new(Cell::new(0_u64));
    let router = Router::new()
        .route("/", get(async || "Hello from a task!\n"))
        .route("/slow", get(slow))
        .route(
            "/status",
            get(move || {
                requests.set(requests.get() + 1);
                let (asked, seconds) = (requests.get(), ticks.get());
                async move { format!("asked {asked} times, up for {seconds} s\n") }
            }),
        );
    let router = Rc::new(router);
    log::info!("listening on port {PORT}");
    loop {
        let (stream, peer) = listener.accept().await?;
        let router = Rc::clone(&router);
        // Whoever makes the request is not waited for: other connections go on.
        drop(task::spawn(async move {
            if let Err(error) = converse(&router, stream).await {
                log::debug!("{peer}: {error}");
            }
        }));
    }
}

/// Serves the requests of one connection.
async fn converse<P: PathRouter>(
    router: &Router<P>,
    stream: TcpStream,
) -> Result<(), picoserve::Error<io::Error>> {
    let config = Config::const_default().keep_connection_alive();
    let mut head = Box::new([0; HEAD_MAX]);
    let server = Server::custom(router, Denali, &config, head.as_mut_slice());
    server.serve(Socket::from(stream)).await.map(drop)
}

/// Answers after a second; nobody else waits for that.
async fn slow() -> &'static str {
    task::sleep(Duration::from_secs(1)).await;
    "a second has passed\n"
}

/// Counts seconds in a thread, which sends the count to a task.
fn count_seconds() -> Rc<Cell<u64>> {
    let (sender, receiver) = channel::bounded(1);
    thread::spawn(move || {
        for second in 1.. {
            thread::sleep(Duration::from_secs(1));
            if sender.send(second).is_err() {
                return;
            }
        }
    });
    let ticks = Rc::new(Cell::new(0));
    let counted = Rc::clone(&ticks);
    drop(task::spawn(async move {
        while let Ok(second) = receiver.recv_async().await {
            counted.set(second);
        }
    }));
    ticks
}
