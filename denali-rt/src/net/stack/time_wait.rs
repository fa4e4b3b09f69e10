//! What is left of a closed connection: its addresses, for ten seconds.
//!
//! The end that closes first must be able to acknowledge the peer's FIN again and to tell old
//! segments from a new connection's (RFC 9293 §3.6.1). For that an entry of a few bytes does; the
//! socket and its buffers are freed at once.

use super::hash::{HashKey, KeyMap};
use super::header::{Segment, SegmentKind};
use super::table::Key;
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use smoltcp::phy::{ChecksumCapabilities, TxToken};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, IpRepr, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber,
};

/// How long an entry lives: smoltcp's own choice for a socket in TIME-WAIT.
const TIME_WAIT: Duration = Duration::from_secs(10);

/// Most entries kept; the oldest makes room for the newest.
const ENTRIES_MAX: usize = 1024;

/// Entries in order of age.
#[derive(Debug)]
pub(super) struct TimeWait {
    entries: KeyMap<Instant>,
    order: VecDeque<(Instant, Key)>,
}

/// What to do with a segment of a connection that is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is not in the table.
    Unknown,
    /// The peer opens a new connection between the same ports; the old one is forgotten.
    Reopen,
    /// The peer missed our last acknowledgement: repeat it.
    Acknowledge,
    /// An old segment.
    Drop,
}

impl TimeWait {
    /// Creates an empty table.
    pub(super) fn new(hash: HashKey) -> Self {
        Self {
            entries: KeyMap::with_hasher(hash),
            order: VecDeque::new(),
        }
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the ports of `key` are reserved.
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Reserves a closed connection's ports.
    pub(super) fn insert(&mut self, key: Key, now: Instant) {
        if self.order.len() >= ENTRIES_MAX {
            self.drop_oldest();
        }
        let until = now + TIME_WAIT;
        self.entries.insert(key, until);
        self.order.push_back((until, key));
    }

    /// Frees the ports of entries whose time is over; the memory too once none is left.
    pub(super) fn prune(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.drop_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > 0 {
            *self = Self::new(*self.entries.hasher());
        }
    }

    /// Judges a segment by the entry of its connection.
    pub(super) fn judge(&mut self, key: &Key, segment: &Segment) -> Verdict {
        if !self.contains(key) {
            return Verdict::Unknown;
        }
        match segment.kind {
            // RFC 9293 §3.10.7.4 asks for a sequence number beyond the old ones. Peers that choose
            // it at random, as smoltcp does, would be turned away half of the time, and an old SYN
            // that reopens the connection by mistake never gets its handshake completed.
            SegmentKind::Open => {
                self.entries.remove(key);
                Verdict::Reopen
            }
            // RFC 1337: a reset must not cut TIME-WAIT short.
            SegmentKind::Reset => Verdict::Drop,
            SegmentKind::Finish => Verdict::Acknowledge,
            _ if segment.sequence != segment.sequence_end => Verdict::Acknowledge,
            SegmentKind::Plain => Verdict::Drop,
        }
    }

    fn drop_oldest(&mut self) {
        let Some((until, key)) = self.order.pop_front() else {
            return;
        };
        // A reopened and closed again connection has a younger entry.
        if self.entries.get(&key) == Some(&until) {
            self.entries.remove(&key);
        }
    }
}

/// Acknowledges `segment` once more, to the hardware address it came from.
pub(super) fn acknowledge(
    token: impl TxToken,
    segment: &Segment,
    ours: EthernetAddress,
    theirs: EthernetAddress,
) {
    const HOP_LIMIT: u8 = 64;
    let tcp = TcpRepr {
        src_port: segment.local_port,
        dst_port: segment.remote_port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(segment.acknowledgement.cast_signed()),
        ack_number: Some(TcpSeqNumber(segment.sequence_end.cast_signed())),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (from, to) = (IpAddress::from(segment.local), segment.remote.into());
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
    let checksums = ChecksumCapabilities::default();
    token.consume(
        EthernetFrame::<&[u8]>::buffer_len(ip.buffer_len()),
        |bytes| {
            let mut frame = EthernetFrame::new_unchecked(bytes);
            frame.set_src_addr(ours);
            frame.set_dst_addr(theirs);
            frame.set_ethertype(match ip {
                IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
                IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
            });
            let packet = frame.payload_mut();
            ip.emit(&mut *packet, &checksums);
            let mut out = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
            tcp.emit(&mut out, &from, &to, &checksums);
        },
    );
}
