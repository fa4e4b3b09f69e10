//! Segments that lie before the receive window, and the acknowledgement each carries.
//!
//! smoltcp answers such a segment and drops it, its acknowledgement included (RFC 9293 §3.10.7.4, first
//! check). Twice that is too strict:
//!
//! * When the FINs of both ends cross, a peer of BSD's lineage acknowledges ours in a segment that
//!   repeats its own, and the connection would keep its buffers until our FIN has been sent again.
//! * With a congestion window, an end that sends one segment of several again numbers its
//!   acknowledgements behind that one, below what the peer has already got. Two ends that do so at once
//!   would drop each other's acknowledgements for ever.
//!
//! Here the acknowledgement is handed to smoltcp by itself, in a segment at the place it expects.

use super::header::{Segment, SegmentKind};
use alloc::vec::Vec;
use smoltcp::phy::{Device, DeviceCapabilities, RxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber,
};

/// How far before the expected sequence number a segment may lie: no further than the largest
/// window, as only one that was sent in this connection does.
const DISTANCE_MAX: u32 = 1 << 20;

/// Returns the frame of a segment without data that lies before the number `expected` next as one
/// that does nothing but acknowledge; `None` for any other frame.
pub(super) fn acknowledgement(frame: &[u8], segment: &Segment, expected: u32) -> Option<Vec<u8>> {
    let len = segment.sequence_end.wrapping_sub(segment.sequence);
    let is_bare = match segment.kind {
        SegmentKind::Finish => len == 1,
        SegmentKind::Plain => len == 0,
        SegmentKind::Open | SegmentKind::Reset => false,
    };
    let distance = expected.wrapping_sub(segment.sequence);
    if !is_bare || distance == 0 || distance > DISTANCE_MAX {
        return None;
    }
    let mut bytes = frame.to_vec();
    let mut ethernet = EthernetFrame::new_checked(&mut bytes[..]).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv6 => {
            let mut ip = Ipv6Packet::new_checked(ethernet.payload_mut()).ok()?;
            renumber(ip.payload_mut(), segment, expected)?;
        }
        _ => {
            let mut ip = Ipv4Packet::new_checked(ethernet.payload_mut()).ok()?;
            renumber(ip.payload_mut(), segment, expected)?;
        }
    }
    Some(bytes)
}

fn renumber(payload: &mut [u8], segment: &Segment, expected: u32) -> Option<()> {
    let mut tcp = TcpPacket::new_checked(payload).ok()?;
    // A SYN that is acknowledged twice opens nothing.
    if tcp.syn() {
        return None;
    }
    tcp.set_fin(false);
    tcp.set_seq_number(TcpSeqNumber(expected.cast_signed()));
    tcp.fill_checksum(&segment.remote.into(), &segment.local.into());
    Some(())
}

/// A link on which one more frame has arrived before all others.
#[derive(Debug)]
pub(super) struct Arrival<'a, L> {
    link: &'a mut L,
    frame: Option<Vec<u8>>,
}

impl<'a, L> Arrival<'a, L> {
    /// Puts `frame` in front of what `link` has received.
    pub(super) fn new(link: &'a mut L, frame: Vec<u8>) -> Self {
        Self {
            link,
            frame: Some(frame),
        }
    }
}

/// The frame that has arrived.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl<L: Device> Device for Arrival<'_, L> {
    type RxToken<'t>
        = Frame
    where
        Self: 't;
    type TxToken<'t>
        = L::TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let frame = self.frame.take()?;
        Some((Frame(frame), self.link.transmit(now)?))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.link.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.link.capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::{self, Checksum, Header};
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{EthernetAddress, IpAddress, IpProtocol, IpRepr, TcpControl, TcpRepr};

    /// Peer and us, by IPv4 and by IPv6.
    const ENDS: [(IpAddress, IpAddress); 2] = [
        (IpAddress::v4(10, 0, 0, 2), IpAddress::v4(10, 0, 0, 1)),
        (
            IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 2),
            IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 1),
        ),
    ];

    fn frame((peer, ours): (IpAddress, IpAddress), control: TcpControl, payload: &[u8]) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: 1234,
            dst_port: 80,
            control,
            seq_number: TcpSeqNumber(-1),
            ack_number: Some(TcpSeqNumber(7)),
            window_len: 100,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let ip = IpRepr::new(peer, ours, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let checksums = ChecksumCapabilities::default();
        let mut bytes = alloc::vec![0; 14 + ip.buffer_len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut bytes[..]);
        ethernet.set_src_addr(EthernetAddress([2; 6]));
        ethernet.set_ethertype(match ip {
            IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
            IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
        });
        let packet = ethernet.payload_mut();
        ip.emit(&mut *packet, &checksums);
        let mut out = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        tcp.emit(&mut out, &peer, &ours, &checksums);
        bytes
    }

    fn segment(frame: &[u8]) -> Segment {
        match header::parse(frame, Checksum::Unverified) {
            Header::Tcp(segment) => segment,
            other => panic!("{other:?}"),
        }
    }

    /// What the peer is expected to send next; its FIN in [`frame`] has the number -1.
    const EXPECTED: u32 = 0;

    #[test]
    fn what_is_left_of_a_repeated_fin_acknowledges_and_its_checksum_is_right() {
        for ends in ENDS {
            let fin = frame(ends, TcpControl::Fin, &[]);
            let bytes = acknowledgement(&fin, &segment(&fin), EXPECTED).unwrap();
            let left = segment(&bytes);
            assert_eq!((left.kind, left.acknowledgement), (SegmentKind::Plain, 7));
            assert_eq!((left.sequence, left.sequence_end), (EXPECTED, EXPECTED));
        }
    }

    #[test]
    fn an_acknowledgement_from_before_the_window_counts_and_one_from_far_away_does_not() {
        for ends in ENDS {
            let bare = frame(ends, TcpControl::None, &[]);
            let moved = acknowledgement(&bare, &segment(&bare), 5000).unwrap();
            assert_eq!(
                (segment(&moved).sequence, segment(&moved).acknowledgement),
                (5000, 7)
            );
            for expected in [u32::MAX, DISTANCE_MAX, u32::MAX - 1000, 1 << 31] {
                assert_eq!(acknowledgement(&bare, &segment(&bare), expected), None);
            }
        }
    }

    #[test]
    fn other_segments_are_left_alone() {
        for ends in ENDS {
            for (control, payload) in [
                (TcpControl::None, &b"x"[..]),
                (TcpControl::Fin, b"x"),
                (TcpControl::Rst, b""),
                (TcpControl::Syn, b""),
            ] {
                let frame = frame(ends, control, payload);
                assert_eq!(acknowledgement(&frame, &segment(&frame), EXPECTED), None);
            }
        }
    }
}
