//! Both ends close at once: the acknowledgement that a repeated FIN carries.
//!
//! When the FINs cross, a peer of BSD's lineage acknowledges ours in a segment that repeats its own.
//! That FIN lies in front of the receive window, so smoltcp answers and drops the segment, its
//! acknowledgement included (RFC 9293 §3.10.7.4, first check), and the connection keeps its buffers
//! until our FIN has been sent again. Here the acknowledgement is handed to smoltcp by itself.

use super::header::{Segment, SegmentKind};
use alloc::vec::Vec;
use smoltcp::phy::{Device, DeviceCapabilities, RxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Ipv4Packet, Ipv6Packet, TcpPacket};

/// Returns the frame of a FIN without data as one that does nothing but acknowledge; `None` for any
/// other frame.
pub(super) fn acknowledgement(frame: &[u8], segment: &Segment) -> Option<Vec<u8>> {
    let bare = segment.sequence_end == segment.sequence.wrapping_add(1);
    if segment.kind != SegmentKind::Finish || !bare {
        return None;
    }
    let mut bytes = frame.to_vec();
    let mut ethernet = EthernetFrame::new_checked(&mut bytes[..]).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv6 => {
            let mut ip = Ipv6Packet::new_checked(ethernet.payload_mut()).ok()?;
            take_out_fin(ip.payload_mut(), segment)?;
        }
        _ => {
            let mut ip = Ipv4Packet::new_checked(ethernet.payload_mut()).ok()?;
            take_out_fin(ip.payload_mut(), segment)?;
        }
    }
    Some(bytes)
}

fn take_out_fin(payload: &mut [u8], segment: &Segment) -> Option<()> {
    let mut tcp = TcpPacket::new_checked(payload).ok()?;
    tcp.set_fin(false);
    tcp.set_seq_number(tcp.seq_number() + 1);
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
    use smoltcp::wire::{
        EthernetAddress, IpAddress, IpProtocol, IpRepr, TcpControl, TcpRepr, TcpSeqNumber,
    };

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

    #[test]
    fn what_is_left_of_a_fin_acknowledges_and_its_checksum_is_right() {
        for ends in ENDS {
            let fin = frame(ends, TcpControl::Fin, &[]);
            let bytes = acknowledgement(&fin, &segment(&fin)).unwrap();
            let left = segment(&bytes);
            assert_eq!((left.kind, left.acknowledgement), (SegmentKind::Plain, 7));
            assert_eq!((left.sequence, left.sequence_end), (0, 0));
        }
    }

    #[test]
    fn other_segments_are_left_alone() {
        for ends in ENDS {
            for (control, payload) in [
                (TcpControl::None, &b""[..]),
                (TcpControl::None, b"x"),
                (TcpControl::Fin, b"x"),
                (TcpControl::Rst, b""),
            ] {
                let frame = frame(ends, control, payload);
                assert_eq!(acknowledgement(&frame, &segment(&frame)), None);
            }
        }
    }
}
