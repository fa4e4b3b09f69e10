//! An MQTT 3.1.1 broker: one task for each connection, all on one thread.
//!
//! | module       | what                                                      |
//! |--------------|-----------------------------------------------------------|
//! | `limits`     | how much it takes on                                      |
//! | `connection` | sockets: bytes to packets and back, and timeouts          |
//! | `broker`     | sessions, subscriptions and messages, without any of that |
//! | `codec`      | the packets                                               |
//! | `topic`      | topic names and filters                                   |

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

mod broker;
mod codec;
mod connection;
mod limits;
mod topic;

use alloc::rc::Rc;
use broker::Broker;
use connection::Shared;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use denali_rt::net::{Buffers, KeepAlive};
use denali_rt::task::net::{TcpListener, TcpStream};
use denali_rt::{env, io, registers, task};
use limits::Limits;

denali_rt::entry!(main);

/// The port the broker listens on, inside its VM.
const PORT: u16 = 1883;

/// Small, as there are many connections, and messages are short.
const BUFFERS: Buffers = Buffers {
    receive: 2 * 1024,
    transmit: 4 * 1024,
};

/// After how much silence to probe whether a client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

fn main() -> io::Result<()> {
    let memory = registers::pages_left() as usize * 4096;
    let limits = Limits::new(memory, env::args(), env::var)?;
    task::block_on(serve(limits))
}

async fn serve(limits: Limits) -> io::Result<()> {
    let listener = TcpListener::bind(PORT)?;
    listener.get_ref().set_buffers(BUFFERS)?;
    let connections_max = limits.connections_max;
    log::info!(
        "{connections_max} connections, {} bytes for messages, listening on port {PORT}",
        limits.messages_len
    );
    let interval = Duration::from_secs(limits.system_interval);
    let broker = Rc::new(RefCell::new(Broker::new(limits)));
    drop(task::spawn(tell_statistics(Rc::clone(&broker), interval)));
    let connections = Rc::new(Cell::new(0));
    loop {
        let (stream, peer) = listener.accept().await?;
        if connections.get() >= connections_max {
            log::debug!("one connection too many, from {peer}");
            broker.borrow_mut().counters.connections_refused += 1;
            continue;
        }
        let (broker, counted) = (Rc::clone(&broker), Rc::clone(&connections));
        counted.set(counted.get() + 1);
        // Nobody waits for a connection's end.
        drop(task::spawn(async move {
            converse(&broker, stream).await;
            counted.set(counted.get() - 1);
        }));
    }
}

async fn converse(broker: &Shared, stream: TcpStream) {
    let peer = stream.peer_addr();
    let prepared = stream
        .get_ref()
        .set_keep_alive(Some(KeepAlive::every(KEEP_ALIVE)));
    match prepared {
        Ok(()) => {
            let cause = connection::serve(broker, &stream).await;
            log::debug!("{peer}: {cause}");
        }
        Err(error) => log::debug!("{peer}: {error}"),
    }
}

/// Publishes statistics from time to time while anybody subscribes to them.
async fn tell_statistics(broker: Shared, interval: Duration) {
    let audience = Rc::clone(broker.borrow().audience());
    loop {
        while !broker.borrow().has_audience() {
            audience.wait_async().await;
        }
        task::sleep(interval).await;
        broker.borrow_mut().publish_statistics(connection::now());
    }
}
