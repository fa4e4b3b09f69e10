//! What a program does with TCP: connect, listen, accept, read, write, close.

use super::connection::{Buffers, Connection, Owner, Path, Signals};
use super::table::{ConnectionId, Key};
use super::{Link, Listening, Signal, Stack};
use crate::io::ErrorKind;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;
use smoltcp::socket::tcp::State;
use smoltcp::wire::IpEndpoint;

/// The first of the ports given to those who do not ask for one (RFC 6335 §6).
const EPHEMERAL_FIRST: u16 = 49152;

/// How many there are.
const EPHEMERAL_COUNT: u16 = u16::MAX - EPHEMERAL_FIRST + 1;

/// Which half of a connection to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// What the peer sends.
    Read,
    /// What we send.
    Write,
    /// Both.
    Both,
}

/// A connection just accepted or begun.
#[derive(Debug)]
pub(in crate::net) struct Accepted<S> {
    pub(in crate::net) id: ConnectionId,
    pub(in crate::net) peer: SocketAddr,
    pub(in crate::net) signals: Arc<Signals<S>>,
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Starts to accept connections to an address of ours, or to any if it is unspecified (those of
    /// IPv4 alone if it is IPv4's), on a port, or on a free one if it is 0. Returns the port and what
    /// tells of a connection waiting.
    pub(crate) fn listen(
        &mut self,
        at: SocketAddr,
        backlog: usize,
        buffers: Buffers,
    ) -> Result<(u16, Arc<S>), ErrorKind> {
        let port = match at.port() {
            0 => self.free_port(|stack, port| !stack.listeners.contains_key(&port))?,
            port if self.listeners.contains_key(&port) => return Err(ErrorKind::AddrInUse),
            port => port,
        };
        let signal = Arc::new(S::default());
        let listening = Listening {
            address: at.ip(),
            backlog: backlog.max(1),
            half_open: 0,
            buffers,
            queue: VecDeque::new(),
            signal: signal.clone(),
        };
        self.listeners.insert(port, listening);
        Ok((port, signal))
    }

    /// Changes the buffers of connections to come.
    pub(crate) fn set_listener_buffers(&mut self, port: u16, buffers: Buffers) {
        if let Some(listener) = self.listeners.get_mut(&port) {
            listener.buffers = buffers;
        }
    }

    /// Changes how many connections may wait to be accepted.
    pub(crate) fn set_backlog(&mut self, port: u16, backlog: usize) {
        if let Some(listener) = self.listeners.get_mut(&port) {
            listener.backlog = backlog.max(1);
        }
    }

    /// Stops accepting; connections that nobody accepted are reset.
    pub(crate) fn unlisten(&mut self, port: u16, now: Instant) {
        let Some(listener) = self.listeners.remove(&port) else {
            return;
        };
        let half_open = self
            .table
            .select(|connection| connection.owner == Owner::HalfOpen { port });
        for id in half_open.into_iter().chain(listener.queue) {
            self.abort_in_background(id, now);
        }
    }

    /// Returns the connection that waits longest on `port`.
    pub(crate) fn accept(&mut self, port: u16) -> Poll<Result<Accepted<S>, ErrorKind>> {
        let Some(listener) = self.listeners.get_mut(&port) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        while let Some(id) = listener.queue.pop_front() {
            if let Some(connection) = self.table.get_mut(id) {
                connection.owner = Owner::Stream;
                let (peer, signals) = (connection.peer(), connection.signals.clone());
                return Poll::Ready(Ok(Accepted { id, peer, signals }));
            }
        }
        Poll::Pending
    }

    /// Begins to connect to `remote` from `local_port`, or from a free port if it is 0.
    pub(crate) fn connect(
        &mut self,
        remote: SocketAddr,
        local_port: u16,
        buffers: Buffers,
        now: Instant,
    ) -> Result<Accepted<S>, ErrorKind> {
        let address = remote.ip();
        if remote.port() == 0 || address.is_unspecified() || address.is_multicast() {
            return Err(ErrorKind::InvalidInput);
        }
        let key = |local_port| Key {
            local_port,
            remote_port: remote.port(),
            remote: address,
        };
        let is_free = |stack: &Self, port| {
            let key = key(port);
            stack.table.find(&key).is_none() && !stack.time_wait.contains(&key)
        };
        let local_port = match local_port {
            0 => self.free_port(is_free)?,
            port if is_free(self, port) => port,
            _ => return Err(ErrorKind::AddrInUse),
        };
        let path = self.path_to(address);
        if path == Path::Wire && self.reach(address) != Poll::Ready(Ok(())) {
            return Err(ErrorKind::NetworkUnreachable);
        }
        let buffers = self.resolve(buffers);
        if !self.has_memory_for_connection(buffers) {
            return Err(ErrorKind::OutOfMemory);
        }
        let mut connection = Connection::new(key(local_port), path, Owner::Stream, buffers)
            .ok_or(ErrorKind::OutOfMemory)?;
        let endpoint = IpEndpoint::new(address.into(), remote.port());
        let interface = match path {
            Path::Wire => &mut self.interface,
            Path::Loopback => &mut self.loopback(now).interface,
        };
        connection
            .socket_mut()
            .connect(interface.context(), endpoint, local_port)
            .map_err(|_| ErrorKind::NetworkUnreachable)?;
        connection.state = State::SynSent;
        self.enter(connection, remote)
    }

    fn enter(
        &mut self,
        connection: Box<Connection<S>>,
        peer: SocketAddr,
    ) -> Result<Accepted<S>, ErrorKind> {
        let (signals, bytes) = (connection.signals.clone(), connection.buffer_bytes);
        let id = self
            .table
            .insert(connection)
            .ok_or(ErrorKind::OutOfMemory)?;
        self.charge(bytes);
        self.mark_ready(id);
        Ok(Accepted { id, peer, signals })
    }

    /// Returns whether a connection begun with [`connect`](Self::connect) stands.
    pub(crate) fn connected(&mut self, id: ConnectionId) -> Poll<Result<(), ErrorKind>> {
        let Some(connection) = self.table.get_mut(id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        match connection.socket().state() {
            State::SynSent | State::SynReceived => Poll::Pending,
            State::Closed => Poll::Ready(Err(connection
                .error
                .unwrap_or(ErrorKind::ConnectionAborted))),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Reads what has arrived; 0 bytes at the peer's end of data.
    pub(crate) fn read(
        &mut self,
        id: ConnectionId,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ErrorKind>> {
        let Some(connection) = self.table.get_mut(id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (error, read_shut) = (connection.error, connection.read_shut);
        let socket = connection.socket_mut();
        if socket.can_recv() {
            let count = socket
                .recv_slice(buffer)
                .map_err(|_| ErrorKind::NotConnected);
            connection.consume(count.unwrap_or(0));
            self.mark_ready(id);
            return Poll::Ready(count);
        }
        match error {
            Some(error) => Poll::Ready(Err(error)),
            None if read_shut => Poll::Ready(Ok(0)),
            None if socket.may_recv() || is_opening(socket.state()) => Poll::Pending,
            None => Poll::Ready(Ok(0)),
        }
    }

    /// Reads what has arrived, and leaves it there.
    pub(crate) fn peek(
        &mut self,
        id: ConnectionId,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ErrorKind>> {
        if let Some(connection) = self.table.get_mut(id)
            && connection.socket().can_recv()
        {
            let socket = connection.socket_mut();
            return Poll::Ready(
                socket
                    .peek_slice(buffer)
                    .map_err(|_| ErrorKind::NotConnected),
            );
        }
        self.read(id, buffer)
    }

    /// Takes as many bytes as the transmit buffer has room for. They leave when the calling thread
    /// next blocks or yields, with whatever else has gathered by then.
    pub(crate) fn write(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
    ) -> Poll<Result<usize, ErrorKind>> {
        let Some(connection) = self.table.get_mut(id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let error = connection.error;
        if is_opening(connection.socket().state()) {
            return Poll::Pending;
        }
        match connection.write(bytes) {
            Ok(0) => Poll::Pending,
            Ok(count) => {
                self.mark_ready(id);
                Poll::Ready(Ok(count))
            }
            Err(_) => Poll::Ready(Err(error.unwrap_or(ErrorKind::BrokenPipe))),
        }
    }

    /// Returns whether the peer has acknowledged everything written.
    pub(crate) fn flushed(&mut self, id: ConnectionId) -> Poll<Result<(), ErrorKind>> {
        let Some(connection) = self.table.get_mut(id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        match connection.error {
            Some(error) => Poll::Ready(Err(error)),
            None if connection.socket().send_queue() > 0 => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }

    /// Returns whether our half of the connection is over and the peer has said that it knows.
    pub(crate) fn finished(&mut self, id: ConnectionId) -> Poll<Result<(), ErrorKind>> {
        let Some(connection) = self.table.get_mut(id) else {
            return Poll::Ready(Ok(()));
        };
        match (connection.socket().state(), connection.error) {
            (_, Some(error)) => Poll::Ready(Err(error)),
            (State::FinWait2 | State::TimeWait | State::Closed, None) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Closes a direction, or both. The write half ends with what has been written; the read half
    /// reads an end of data after what has arrived.
    pub(crate) fn shutdown(&mut self, id: ConnectionId, how: Shutdown) -> Result<(), ErrorKind> {
        let connection = self.table.get_mut(id).ok_or(ErrorKind::NotConnected)?;
        if connection.socket().state() == State::Closed {
            return Err(connection.error.unwrap_or(ErrorKind::NotConnected));
        }
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            connection.read_shut = true;
            connection.wake();
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            connection.socket_mut().close();
            self.mark_ready(id);
        }
        Ok(())
    }

    /// Gives a connection up; what was written still goes out in the background.
    pub(crate) fn release(&mut self, id: ConnectionId, now: Instant) {
        self.close_in_background(id, now);
    }

    /// Gives a connection up and resets it; what was written and not yet sent is lost.
    pub(crate) fn reset(&mut self, id: ConnectionId, now: Instant) {
        self.abort_in_background(id, now);
    }

    /// Returns our address on a connection.
    pub(crate) fn local_addr(&mut self, id: ConnectionId) -> SocketAddr {
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.table
            .get_mut(id)
            .map_or(unknown, |connection| connection.local())
    }

    /// Returns a port for which `is_free` holds, starting at a place outsiders cannot foresee
    /// (RFC 6056 §3.3.1).
    pub(super) fn free_port(
        &mut self,
        is_free: impl Fn(&Self, u16) -> bool,
    ) -> Result<u16, ErrorKind> {
        let start = self.random();
        (0..EPHEMERAL_COUNT)
            .map(|step| EPHEMERAL_FIRST + start.wrapping_add(step) % EPHEMERAL_COUNT)
            .find(|port| is_free(self, *port))
            .ok_or(ErrorKind::AddrInUse)
    }

    /// Returns the next number of the sequence the seed began (SplitMix64, Steele et al. 2014).
    fn random(&mut self) -> u16 {
        self.port_state = self.port_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.port_state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [a, b, ..] = (z ^ (z >> 31)).to_le_bytes();
        u16::from_le_bytes([a, b])
    }
}

/// Returns whether a handshake is under way.
fn is_opening(state: State) -> bool {
    matches!(state, State::SynSent | State::SynReceived)
}
