//! Taking frames in: each goes to the socket it concerns, or to none.

use super::connection::{Buffers, Connection, Owner, Path};
use super::datagram::Recipient;
use super::header::{self, Datagram, Header, Segment, SegmentKind};
use super::loopback::Loopback;
use super::service::Cause;
use super::stale::{self, Arrival};
use super::table::{ConnectionId, Key};
use super::time_wait::{self, Verdict};
use super::{Link, Signal, Stack, accepts, smol};
use crate::time::Instant;
use core::net::IpAddr;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{EthernetAddress, EthernetFrame, HardwareAddress};

/// Where a segment comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// From the card with this address.
    Wire(EthernetAddress),
    /// From ourselves.
    Loopback,
}

impl Origin {
    const fn path(self) -> Path {
        match self {
            Self::Wire(_) => Path::Wire,
            Self::Loopback => Path::Loopback,
        }
    }
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Takes in one frame. Returns whether there was one.
    pub(super) fn receive_one(&mut self, now: Instant) -> bool {
        // A frame is answered at once (an acknowledgement, a reset, an echo), so it needs room.
        if !self.link.can_transmit() {
            return false;
        }
        let Some((frame, checksum)) = self.link.peek() else {
            return false;
        };
        let sender = EthernetFrame::new_checked(frame).map(|ethernet| ethernet.src_addr());
        self.stats.frames_received += 1;
        match (header::parse(frame, checksum), sender) {
            (Header::Tcp(segment), Ok(sender)) if !self.is_echo_of_ours(segment.remote) => {
                self.receive_segment(&segment, Origin::Wire(sender), now);
            }
            (Header::Udp(datagram), _) if !self.is_echo_of_ours(datagram.source.ip()) => {
                self.receive_datagram(&datagram, now);
            }
            (Header::EchoReply { ident }, _) => self.receive_echo(ident, Path::Wire, now),
            (Header::Neighbor, _) => {
                self.pass_to_nobody(Path::Wire, now);
                self.serve_awaiting_neighbor();
                self.datagrams.retry();
                self.echoes.retry();
                self.resolver.retry();
            }
            (Header::RouterAdvertisement, _) => {
                if let Some((frame, _)) = self.link.peek() {
                    self.address.hear_router(frame, &mut self.interface, now);
                }
                self.link.skip();
            }
            (Header::Groups, _) => {
                self.pass_to_nobody(Path::Wire, now);
                self.groups.asked(now);
            }
            (Header::Other, _) => self.pass_to_nobody(Path::Wire, now),
            (Header::Corrupt | Header::Tcp(_) | Header::Udp(_), _) => {
                self.stats.frames_corrupt += 1;
                self.link.skip();
            }
        }
        true
    }

    /// Returns whether a source is one of our own addresses, which nobody else may use.
    fn is_echo_of_ours(&self, source: IpAddr) -> bool {
        self.interface.has_ip_addr(source)
    }

    /// Takes in one packet that we sent to ourselves. Returns whether there was one.
    pub(super) fn receive_looped(&mut self, now: Instant) -> bool {
        let packet = self
            .loopback
            .as_ref()
            .and_then(|loopback| loopback.queue.peek());
        let Some(packet) = packet else {
            return false;
        };
        match header::parse_looped(packet) {
            Header::Tcp(segment) => self.receive_segment(&segment, Origin::Loopback, now),
            Header::Udp(datagram) => self.receive_looped_datagram(&datagram, now),
            Header::EchoReply { ident } => self.receive_echo(ident, Path::Loopback, now),
            _ => self.pass_to_nobody(Path::Loopback, now),
        }
        true
    }

    fn receive_segment(&mut self, segment: &Segment, origin: Origin, now: Instant) {
        let key = Key {
            local_port: segment.local_port,
            remote_port: segment.remote_port,
            remote: segment.remote,
        };
        if let Some(id) = self.table.find(&key) {
            self.note_peer_start(id, segment);
            self.pass_acknowledgement(id, segment, now);
            self.pass_to(id, now);
            return;
        }
        match (self.time_wait.judge(&key, segment), origin) {
            (Verdict::Unknown | Verdict::Reopen, _) => {}
            (Verdict::Acknowledge, Origin::Wire(sender)) => {
                self.link.skip();
                if let HardwareAddress::Ethernet(ours) = self.interface.hardware_addr()
                    && let Some(token) = self.link.transmit(smol(now))
                {
                    time_wait::acknowledge(token, segment, ours, sender);
                }
                return;
            }
            // Nothing is lost on the way to ourselves, so nothing has to be said twice.
            (Verdict::Acknowledge | Verdict::Drop, _) => return self.skip(origin.path()),
        }
        let is_wanted = segment.kind == SegmentKind::Open
            && self
                .listeners
                .get(&key.local_port)
                .is_some_and(|listener| accepts(listener.address, segment.local));
        if !is_wanted {
            return self.pass_to_nobody(origin.path(), now);
        }
        match self.admit(key, origin.path()) {
            Some(id) => {
                self.note_peer_start(id, segment);
                self.pass_to(id, now);
            }
            None => self.skip(origin.path()),
        }
    }

    /// Makes the socket for a connection request; `None` if it is refused.
    ///
    /// A refused request is dropped without an answer: the peer tries again in a second or so,
    /// when there may be room.
    fn admit(&mut self, key: Key, path: Path) -> Option<ConnectionId> {
        let listener = self.listeners.get(&key.local_port)?;
        let wanted = listener.buffers;
        if listener.half_open + listener.queue.len() >= listener.backlog {
            self.stats.backlog_overflows += 1;
            return None;
        }
        let buffers = self.resolve(wanted);
        let owner = Owner::HalfOpen {
            port: key.local_port,
        };
        let connection = if self.has_memory_for_connection(buffers) {
            Connection::new(key, path, owner, buffers)
        } else {
            None
        };
        let bytes = connection.as_ref().map_or(0, |made| made.buffer_bytes);
        let id = connection.and_then(|mut connection| {
            connection.socket_mut().listen(key.local_port).ok()?;
            self.table.insert(connection)
        });
        match id {
            Some(_) => {
                self.charge(bytes);
                let listener = self.listeners.get_mut(&key.local_port)?;
                listener.half_open += 1;
            }
            None => self.stats.memory_refusals += 1,
        }
        id
    }

    /// Hands the next frame or packet to a connection.
    fn pass_to(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.hear(now);
        let set = &mut connection.set;
        match (connection.path, self.loopback.as_deref_mut()) {
            (Path::Loopback, Some(Loopback { interface, queue })) => {
                interface.poll_ingress_single(smol(now), queue, set);
            }
            _ => {
                self.interface
                    .poll_ingress_single(smol(now), &mut self.link, set);
            }
        }
        self.settle(id, Cause::Frame, now);
        self.schedule_after_frame(id, now);
    }

    /// Notes where the peer's sequence numbers begin, as long as the handshake may still tell.
    fn note_peer_start(&mut self, id: ConnectionId, segment: &Segment) {
        if let Some(connection) = self.table.get_mut(id)
            && matches!(
                connection.state,
                State::Closed | State::Listen | State::SynSent
            )
        {
            connection.peer_start = segment.sequence;
        }
    }

    /// Hands the acknowledgement of the next frame to a connection that waits for one, if the frame
    /// repeats what has arrived before: smoltcp drops such a frame as a whole.
    fn pass_acknowledgement(&mut self, id: ConnectionId, segment: &Segment, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let is_closing = matches!(
            connection.state,
            State::FinWait1 | State::Closing | State::LastAck
        );
        let waits = is_closing
            || matches!(connection.state, State::Established | State::CloseWait)
                && connection.socket().send_queue() > 0;
        if !waits || connection.path != Path::Wire {
            return;
        }
        let expected = connection.expected();
        let frame = self.link.peek().map(|(frame, _)| frame);
        if let Some(frame) =
            frame.and_then(|frame| stale::acknowledgement(frame, segment, expected))
        {
            let mut arrival = Arrival::new(&mut self.link, frame);
            self.interface
                .poll_ingress_single(smol(now), &mut arrival, &mut connection.set);
        }
    }

    /// Hands the next frame or packet to smoltcp alone, which answers ARP, echo requests and strays.
    fn pass_to_nobody(&mut self, path: Path, now: Instant) {
        match (path, self.loopback.as_deref_mut()) {
            (Path::Loopback, Some(Loopback { interface, queue })) => {
                interface.poll_ingress_single(smol(now), queue, &mut self.nobody);
            }
            _ => {
                self.interface
                    .poll_ingress_single(smol(now), &mut self.link, &mut self.nobody);
            }
        }
    }

    /// Drops the next frame or packet.
    fn skip(&mut self, path: Path) {
        match (path, self.loopback.as_deref_mut()) {
            (Path::Loopback, Some(loopback)) => loopback.queue.skip(),
            _ => self.link.skip(),
        }
    }

    fn receive_datagram(&mut self, datagram: &Datagram, now: Instant) {
        let (source_port, port) = (datagram.source.port(), datagram.destination.port());
        let set = match self.datagrams.recipient(datagram) {
            Recipient::Socket(set) => set,
            Recipient::Deaf => return self.link.skip(),
            Recipient::Unknown => {
                let lease = self.address.set_for(source_port, port);
                let client = lease.or_else(|| self.resolver.set_for(source_port));
                client.unwrap_or(&mut self.nobody)
            }
        };
        self.interface
            .poll_ingress_single(smol(now), &mut self.link, set);
        self.datagrams.received(port);
    }

    fn receive_looped_datagram(&mut self, datagram: &Datagram, now: Instant) {
        let Some(Loopback { interface, queue }) = self.loopback.as_deref_mut() else {
            return;
        };
        let set = match self.datagrams.recipient(datagram) {
            Recipient::Socket(set) => set,
            Recipient::Deaf => return queue.skip(),
            Recipient::Unknown => &mut self.nobody,
        };
        interface.poll_ingress_single(smol(now), queue, set);
        self.datagrams.received(datagram.destination.port());
    }

    fn receive_echo(&mut self, ident: u16, path: Path, now: Instant) {
        let set = self.echoes.set_for(ident).unwrap_or(&mut self.nobody);
        match (path, self.loopback.as_deref_mut()) {
            (Path::Loopback, Some(Loopback { interface, queue })) => {
                interface.poll_ingress_single(smol(now), queue, set);
            }
            _ => {
                self.interface
                    .poll_ingress_single(smol(now), &mut self.link, set);
            }
        }
        self.echoes.received(ident);
    }

    /// Returns the sizes of buffers that a connection gets now.
    pub(super) fn resolve(&self, wanted: Buffers) -> Buffers {
        wanted.resolved((self.memory_left)(), self.memory_limit)
    }

    /// Returns whether `bytes` more of buffers fit the VM's memory.
    ///
    /// Memory once used for buffers stays resident, so up to the highest mark so far there is room;
    /// beyond it the VM must have pages left, with some to spare for everybody else.
    pub(super) fn has_memory_for(&self, bytes: usize) -> bool {
        const SPARE: usize = 256 * 1024;
        self.buffer_bytes + bytes <= self.buffer_bytes_peak || (self.memory_left)() >= bytes + SPARE
    }

    /// Returns whether there is memory for one more connection, and for sending what it has to send.
    pub(super) fn has_memory_for_connection(&mut self, buffers: Buffers) -> bool {
        self.has_memory_for(buffers.bytes()) && self.link.provide_for(buffers.transmit)
    }

    /// Notes that `bytes` of buffers are in use.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.buffer_bytes += bytes;
        self.buffer_bytes_peak = self.buffer_bytes_peak.max(self.buffer_bytes);
    }
}
