//! UDP: one smoltcp socket, in a set of its own, per bound port.

use super::{Link, Signal, Stack, accepts, earliest, from_smol, neighbors, smol};
use crate::io::ErrorKind;
use crate::net::readiness::Readiness;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use smoltcp::iface::{Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, RecvError, SendError, Socket};
use smoltcp::wire::IpEndpoint;

use super::connection::{Path, Signals};
use super::header;
use super::loopback::Loopback;

/// Bytes of payload a socket holds in each direction.
const BUFFER_BYTES: usize = 8 * 1024;

/// How long a datagram may wait for a neighbour to tell its hardware address.
const NEIGHBOR_MAX: Duration = Duration::from_secs(1);

/// Datagrams a socket holds in each direction.
const BUFFER_DATAGRAMS: usize = 16;

/// Bound sockets by port.
#[derive(Debug)]
pub(super) struct Datagrams<S> {
    sockets: BTreeMap<u16, Bound<S>>,
    /// Ports with datagrams still to be sent.
    sending: Vec<u16>,
    retry: bool,
}

#[derive(Debug)]
struct Bound<S> {
    set: SocketSet<'static>,
    handle: SocketHandle,
    signals: Arc<Signals<S>>,
    /// The address of ours it is for; see [`accepts`].
    address: IpAddr,
    /// The only one it hears, if it is connected.
    peer: Option<SocketAddr>,
    /// When smoltcp wants to try again.
    due: Option<Instant>,
    /// Whom the latest datagram is for.
    latest: Option<IpAddr>,
    /// Since when the next datagram has waited for a neighbour.
    waits_since: Option<Instant>,
}

/// Where a datagram goes.
pub(super) enum Recipient<'a> {
    /// No socket has the port.
    Unknown,
    /// The socket is connected to somebody else.
    Deaf,
    /// To this socket.
    Socket(&'a mut SocketSet<'static>),
}

/// What receiving does with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Take {
    /// Takes it out.
    Remove,
    /// Leaves it for the next receive.
    Copy,
}

impl<S: Signal> Bound<S> {
    fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Sends what can be sent, and drops a datagram for which no neighbour answers, lest those
    /// behind it wait for ever.
    fn send(
        &mut self,
        interface: &mut Interface,
        link: &mut impl Link,
        awaited: &mut Vec<IpAddr>,
        now: Instant,
    ) {
        let before = link.transmitted();
        let mut egress = || interface.poll_egress(smol(now), link, &mut self.set);
        let sent = (0..BUFFER_DATAGRAMS).take_while(|_| egress() != PollResult::None);
        let has_sent = sent.count() > 0;
        if has_sent || !neighbors::is_awaited(interface.poll_at(smol(now), &self.set), now) {
            self.waits_since = None;
            return;
        }
        if link.transmitted() == before {
            awaited.extend(self.latest);
        }
        let since = *self.waits_since.get_or_insert(now);
        if now >= since + NEIGHBOR_MAX {
            neighbors::drop_next(&mut self.set, now);
            self.waits_since = None;
        }
    }
}

impl<S: Signal> Datagrams<S> {
    /// Creates an empty table.
    pub(super) fn new() -> Self {
        Self {
            sockets: BTreeMap::new(),
            sending: Vec::new(),
            retry: false,
        }
    }

    /// Returns where a datagram goes.
    pub(super) fn recipient(&mut self, datagram: &header::Datagram) -> Recipient<'_> {
        let (from, to) = (datagram.source, datagram.destination);
        match self.sockets.get_mut(&to.port()) {
            None => Recipient::Unknown,
            Some(bound) if bound.peer.is_some_and(|peer| peer != from) => Recipient::Deaf,
            Some(bound) if !accepts(bound.address, to.ip()) => Recipient::Deaf,
            Some(bound) => Recipient::Socket(&mut bound.set),
        }
    }

    /// Wakes who waits for a datagram on `port`.
    pub(super) fn received(&mut self, port: u16) {
        if let Some(bound) = self.sockets.get_mut(&port) {
            bound.signals.readable.notify();
        }
    }

    /// Makes the next poll try at once to send what waited for a hardware address.
    pub(super) fn retry(&mut self) {
        self.retry = true;
    }

    /// Sends what sockets hold. Adds to `awaited` whom they wait for and nobody has asked for.
    /// Returns when to try again.
    pub(super) fn poll(
        &mut self,
        interface: &mut Interface,
        link: &mut impl Link,
        awaited: &mut Vec<IpAddr>,
        now: Instant,
    ) -> Option<Instant> {
        let retry = core::mem::take(&mut self.retry);
        let sockets = &mut self.sockets;
        let mut next = None;
        self.sending.retain(|port| {
            let Some(bound) = sockets.get_mut(port) else {
                return false;
            };
            if retry || bound.due.is_none_or(|due| due <= now) {
                bound.send(interface, link, awaited, now);
                bound.signals.writable.notify();
            }
            bound.due = interface.poll_at(smol(now), &bound.set).map(from_smol);
            // What is due now waits for room in the ring, and the link tells of that by itself.
            next = earliest(next, bound.due.filter(|due| *due > now));
            bound.socket().send_queue() > 0
        });
        next
    }
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Binds a socket to a port, or to a free one if it is 0, and to an address as
    /// [`listen`](Self::listen) does. Returns the port and what tells of datagrams.
    pub(crate) fn bind_datagram(
        &mut self,
        at: SocketAddr,
    ) -> Result<(u16, Arc<Signals<S>>), ErrorKind> {
        let port = match at.port() {
            0 => self.free_port(|stack, port| !stack.datagrams.sockets.contains_key(&port))?,
            port if self.datagrams.sockets.contains_key(&port) => return Err(ErrorKind::AddrInUse),
            port => port,
        };
        if !self.has_memory_for(2 * BUFFER_BYTES) {
            return Err(ErrorKind::OutOfMemory);
        }
        let buffer = || {
            let slots = vec![PacketMetadata::EMPTY; BUFFER_DATAGRAMS];
            PacketBuffer::new(slots, vec![0; BUFFER_BYTES])
        };
        let mut socket = Socket::new(buffer(), buffer());
        socket.bind(port).map_err(|_| ErrorKind::InvalidInput)?;
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        let signals = Arc::<Signals<S>>::default();
        let bound = Bound {
            set,
            handle,
            signals: signals.clone(),
            address: at.ip(),
            peer: None,
            due: None,
            latest: None,
            waits_since: None,
        };
        self.datagrams.sockets.insert(port, bound);
        self.charge(2 * BUFFER_BYTES);
        Ok((port, signals))
    }

    /// Frees a port and what its socket holds.
    pub(crate) fn unbind_datagram(&mut self, port: u16) {
        if self.datagrams.sockets.remove(&port).is_some() {
            self.buffer_bytes -= 2 * BUFFER_BYTES;
        }
    }

    /// Queues a datagram. Those that fit no frame are refused: there is no fragmentation.
    pub(crate) fn send_datagram(
        &mut self,
        port: u16,
        payload: &[u8],
        to: SocketAddr,
        now: Instant,
    ) -> Poll<Result<(), ErrorKind>> {
        if to.port() == 0 || to.ip().is_unspecified() {
            return Poll::Ready(Err(ErrorKind::InvalidInput));
        }
        if !self.datagrams.sockets.contains_key(&port) {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        }
        match self.path_to(to.ip()) {
            Path::Wire => self.send_to_wire(port, payload, to),
            Path::Loopback => self.send_to_ourselves(port, payload, to, now),
        }
    }

    fn send_to_wire(
        &mut self,
        port: u16,
        payload: &[u8],
        to: SocketAddr,
    ) -> Poll<Result<(), ErrorKind>> {
        const UDP_HEADER_LEN: usize = 8;
        let ip_header_len = if to.is_ipv4() { 20 } else { 40 };
        let payload_max = self.link.capabilities().ip_mtu() - ip_header_len - UDP_HEADER_LEN;
        if payload.len() > payload_max {
            return Poll::Ready(Err(ErrorKind::InvalidInput));
        }
        if self.reach(to.ip()) != Poll::Ready(Ok(())) {
            return Poll::Ready(Err(ErrorKind::NetworkUnreachable));
        }
        let Some(bound) = self.datagrams.sockets.get_mut(&port) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        let endpoint = IpEndpoint::new(to.ip().into(), to.port());
        match bound.socket().send_slice(payload, endpoint) {
            Ok(()) => {
                bound.latest = Some(to.ip());
                if !self.datagrams.sending.contains(&port) {
                    bound.due = None;
                    self.datagrams.sending.push(port);
                }
                Poll::Ready(Ok(()))
            }
            Err(SendError::BufferFull) => Poll::Pending,
            Err(SendError::Unaddressable) => Poll::Ready(Err(ErrorKind::InvalidInput)),
        }
    }

    fn send_to_ourselves(
        &mut self,
        port: u16,
        payload: &[u8],
        to: SocketAddr,
        now: Instant,
    ) -> Poll<Result<(), ErrorKind>> {
        if payload.len() > Loopback::payload_max() {
            return Poll::Ready(Err(ErrorKind::InvalidInput));
        }
        let from = SocketAddr::new(to.ip(), port);
        // A full queue drops the datagram, as the wire might.
        self.loopback(now).send(from, to, payload);
        Poll::Ready(Ok(()))
    }

    /// Returns the oldest datagram; what does not fit `buffer` is lost if it is taken.
    pub(crate) fn receive_from(
        &mut self,
        port: u16,
        buffer: &mut [u8],
        take: Take,
    ) -> Poll<Result<(usize, SocketAddr), ErrorKind>> {
        let Some(bound) = self.datagrams.sockets.get_mut(&port) else {
            return Poll::Ready(Err(ErrorKind::NotConnected));
        };
        let datagram = match take {
            Take::Remove => bound.socket().recv(),
            Take::Copy => bound
                .socket()
                .peek()
                .map(|(payload, metadata)| (payload, *metadata)),
        };
        match datagram {
            Ok((payload, metadata)) => {
                let count = payload.len().min(buffer.len());
                buffer[..count].copy_from_slice(&payload[..count]);
                let endpoint = metadata.endpoint;
                let from = SocketAddr::new(endpoint.addr.into(), endpoint.port);
                Poll::Ready(Ok((count, from)))
            }
            Err(RecvError::Exhausted | RecvError::Truncated) => Poll::Pending,
        }
    }

    /// Sets the only one a socket hears, or lets it hear everybody.
    pub(crate) fn connect_datagram(&mut self, port: u16, peer: Option<SocketAddr>) {
        if let Some(bound) = self.datagrams.sockets.get_mut(&port) {
            bound.peer = peer;
        }
    }

    /// Returns the only one a socket hears, if it is connected.
    pub(crate) fn datagram_peer(&self, port: u16) -> Option<SocketAddr> {
        self.datagrams.sockets.get(&port)?.peer
    }

    /// Returns what can be done with a socket without waiting.
    pub(crate) fn datagram_readiness(&mut self, port: u16) -> Readiness {
        let Some(bound) = self.datagrams.sockets.get_mut(&port) else {
            return Readiness::default();
        };
        Readiness {
            readable: bound.socket().can_recv(),
            writable: bound.socket().can_send(),
            ..Readiness::default()
        }
    }
}
