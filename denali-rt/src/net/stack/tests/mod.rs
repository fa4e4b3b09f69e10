//! The stack's behaviour: two stacks on one wire, or one against a fake server.

mod addresses;
mod faults;
mod many;
mod neighbors;
mod options;
mod resume;
mod servers;

mod tcp;

use super::fake::{Count, World};
use super::table::ConnectionId;
use super::{Accepted, Buffers, Link, Signal, Stack};
use crate::io::ErrorKind;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::Poll;

/// The port tests listen on.
const PORT: u16 = 80;

/// Host number 2 as seen by host number 1.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), PORT);

/// Returns where a socket for everybody listens.
fn at(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// Returns what is ready, or panics.
fn ready<T>(poll: Poll<Result<T, ErrorKind>>) -> T {
    match poll {
        Poll::Ready(Ok(value)) => value,
        Poll::Ready(Err(error)) => panic!("failed: {error}"),
        Poll::Pending => panic!("still pending"),
    }
}

/// Returns the error that came, or panics.
fn failed<T>(poll: Poll<Result<T, ErrorKind>>) -> ErrorKind {
    match poll {
        Poll::Ready(Err(error)) => error,
        Poll::Ready(Ok(_)) => panic!("did not fail"),
        Poll::Pending => panic!("still pending"),
    }
}

/// Joins a client on host 1 and a server on host 2. Returns both ends.
fn connect(world: &mut World) -> (ConnectionId, ConnectionId) {
    if world.b.listeners.is_empty() {
        world.b.listen(at(PORT), 128, Buffers::DEFAULT).unwrap();
    }
    let client: Accepted<Count> = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    world.settle();
    ready(world.a.connected(client.id));
    (client.id, ready(world.b.accept(PORT)).id)
}

/// Reads all that is there, at most to the end of data. Returns whether that was reached.
fn drain<L: Link, S: Signal>(
    stack: &mut Stack<L, S>,
    id: ConnectionId,
    into: &mut std::vec::Vec<u8>,
) -> bool {
    let mut buffer = [0; 3000];
    loop {
        match stack.read(id, &mut buffer) {
            Poll::Ready(Ok(0)) => return true,
            Poll::Ready(Ok(count)) => into.extend_from_slice(&buffer[..count]),
            Poll::Ready(Err(error)) => panic!("read failed: {error}"),
            Poll::Pending => return false,
        }
    }
}
