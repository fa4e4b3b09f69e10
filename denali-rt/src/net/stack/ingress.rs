//! Taking frames in: each goes to the socket it concerns, or to none.

use super::closing::{self, Arrival};
use super::connection::{Connection, Owner};
use super::datagram::Recipient;
use super::header::{self, Header, Segment, SegmentKind};
use super::service::Cause;
use super::table::{ConnectionId, Key};
use super::time_wait::{self, Verdict};
use super::{Link, Signal, Stack, smol};
use crate::time::Instant;
use core::net::SocketAddrV4;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{EthernetAddress, EthernetFrame, HardwareAddress};

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
            (Header::Tcp(segment), Ok(sender)) => self.receive_segment(&segment, sender, now),
            (
                Header::Udp {
                    source,
                    destination_port,
                },
                _,
            ) => self.receive_datagram(source, destination_port, now),
            (Header::Arp, _) => {
                self.pass_to_nobody(now);
                self.serve_awaiting_neighbor();
                self.datagrams.retry();
                self.resolver.retry();
            }
            (Header::Corrupt, _) => {
                self.stats.frames_corrupt += 1;
                self.link.skip();
            }
            (Header::Other | Header::Tcp(_), _) => self.pass_to_nobody(now),
        }
        true
    }

    fn receive_segment(&mut self, segment: &Segment, sender: EthernetAddress, now: Instant) {
        let key = Key {
            local_port: segment.local_port,
            remote_port: segment.remote_port,
            remote: segment.remote,
        };
        if let Some(id) = self.table.find(&key) {
            self.pass_acknowledgement(id, segment, now);
            self.pass_to(id, now);
            return;
        }
        match self.time_wait.judge(&key, segment) {
            Verdict::Unknown | Verdict::Reopen => {}
            Verdict::Acknowledge => {
                self.link.skip();
                let HardwareAddress::Ethernet(ours) = self.interface.hardware_addr();
                if let Some(token) = self.link.transmit(smol(now)) {
                    time_wait::acknowledge(token, segment, ours, sender);
                }
                return;
            }
            Verdict::Drop => {
                self.link.skip();
                return;
            }
        }
        if segment.kind == SegmentKind::Open && self.listeners.contains_key(&key.local_port) {
            match self.admit(key) {
                Some(id) => self.pass_to(id, now),
                None => self.link.skip(),
            }
        } else {
            self.pass_to_nobody(now);
        }
    }

    /// Makes the socket for a connection request; `None` if it is refused.
    ///
    /// A refused request is dropped without an answer: the peer tries again in a second or so,
    /// when there may be room.
    fn admit(&mut self, key: Key) -> Option<ConnectionId> {
        let listener = self.listeners.get(&key.local_port)?;
        let buffers = listener.buffers.clamped();
        if listener.half_open + listener.queue.len() >= listener.backlog {
            self.stats.backlog_overflows += 1;
            return None;
        }
        let bytes = buffers.receive + buffers.transmit;
        let owner = Owner::HalfOpen {
            port: key.local_port,
        };
        let connection = if self.has_memory_for(bytes) {
            Connection::new(key, owner, buffers)
        } else {
            None
        };
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

    /// Hands the next frame to a connection.
    fn pass_to(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.hear(now);
        self.interface
            .poll_ingress_single(smol(now), &mut self.link, &mut connection.set);
        self.settle(id, Cause::Frame, now);
        self.schedule_after_frame(id, now);
    }

    /// Hands the acknowledgement of the next frame to a connection that both ends are closing, if
    /// the frame is a FIN: the connection has had one already, so this one repeats it.
    fn pass_acknowledgement(&mut self, id: ConnectionId, segment: &Segment, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if connection.state != State::Closing {
            return;
        }
        let frame = self.link.peek().map(|(frame, _)| frame);
        if let Some(frame) = frame.and_then(|frame| closing::acknowledgement(frame, segment)) {
            let mut arrival = Arrival::new(&mut self.link, frame);
            self.interface
                .poll_ingress_single(smol(now), &mut arrival, &mut connection.set);
        }
    }

    /// Hands the next frame to smoltcp alone, which answers ARP, echo requests and strays.
    fn pass_to_nobody(&mut self, now: Instant) {
        self.interface
            .poll_ingress_single(smol(now), &mut self.link, &mut self.nobody);
    }

    fn receive_datagram(&mut self, source: SocketAddrV4, destination_port: u16, now: Instant) {
        let set = match self.datagrams.recipient(destination_port, source) {
            Recipient::Socket(set) => set,
            Recipient::Deaf => return self.link.skip(),
            Recipient::Unknown => {
                let lease = self.address.set_for(source.port(), destination_port);
                let client = lease.or_else(|| self.resolver.set_for(source.port()));
                client.unwrap_or(&mut self.nobody)
            }
        };
        self.interface
            .poll_ingress_single(smol(now), &mut self.link, set);
        self.datagrams.received(destination_port);
    }

    /// Returns whether `bytes` more of buffers fit the VM's memory.
    ///
    /// Memory once used for buffers stays resident, so up to the highest mark so far there is room;
    /// beyond it the VM must have pages left, with some to spare for everybody else.
    pub(super) fn has_memory_for(&self, bytes: usize) -> bool {
        const SPARE: usize = 256 * 1024;
        self.buffer_bytes + bytes <= self.buffer_bytes_peak || (self.memory_left)() >= bytes + SPARE
    }

    /// Notes that `bytes` of buffers are in use.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.buffer_bytes += bytes;
        self.buffer_bytes_peak = self.buffer_bytes_peak.max(self.buffer_bytes);
    }
}
