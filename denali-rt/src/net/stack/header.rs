//! Headers: just enough of a received frame to find its socket.
//!
//! smoltcp walks every socket of a set for each frame. The stack reads addresses and ports itself
//! and hands smoltcp the one set concerned, so a frame costs the same among one connection or ten
//! thousand. Whatever does not parse here goes to smoltcp with an empty set, which judges it.

use core::net::{Ipv4Addr, SocketAddrV4};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
};

/// Whom a frame concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram.
    Udp {
        source: SocketAddrV4,
        destination_port: u16,
    },
    /// ARP: a neighbour's hardware address may become known.
    Arp,
    /// Damaged: its checksum is wrong.
    Corrupt,
    /// Anything else, for smoltcp to answer or drop.
    Other,
}

/// The header of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The sender.
    pub(super) remote: Ipv4Addr,
    /// The sender's port.
    pub(super) remote_port: u16,
    /// The receiver.
    pub(super) local: Ipv4Addr,
    /// The receiver's port.
    pub(super) local_port: u16,
    /// Sequence number of its first octet.
    pub(super) sequence: u32,
    /// Sequence number behind its last octet, SYN and FIN counted.
    pub(super) sequence_end: u32,
    /// Acknowledgement number.
    pub(super) acknowledgement: u32,
    /// What its flags ask for.
    pub(super) kind: SegmentKind,
}

/// What a segment's flags ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentKind {
    /// Opens a connection: SYN without ACK or RST.
    Open,
    /// Ends one at once.
    Reset,
    /// Ends the sender's half.
    Finish,
    /// Any other.
    Plain,
}

/// Whether the checksums of a received frame still have to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// Nobody has looked yet.
    Unverified,
    /// The kernel vouches for the contents.
    Verified,
}

/// Returns what the stack must know of `frame`.
///
/// TCP and UDP checksums are verified here rather than by smoltcp, which can only be told once for
/// all frames, while the kernel vouches for some.
pub(super) fn parse(frame: &[u8], checksum: Checksum) -> Header {
    parse_ethernet(frame, checksum).unwrap_or(Header::Other)
}

fn parse_ethernet(frame: &[u8], checksum: Checksum) -> smoltcp::wire::Result<Header> {
    let ethernet = EthernetFrame::new_checked(frame)?;
    match ethernet.ethertype() {
        EthernetProtocol::Arp => Ok(Header::Arp),
        EthernetProtocol::Ipv4 => parse_ipv4(ethernet.payload(), checksum),
        _ => Ok(Header::Other),
    }
}

fn parse_ipv4(packet: &[u8], checksum: Checksum) -> smoltcp::wire::Result<Header> {
    let ip = Ipv4Packet::new_checked(packet)?;
    if ip.version() != 4 || ip.more_frags() || ip.frag_offset() != 0 {
        return Ok(Header::Other);
    }
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    let damaged = match (ip.next_header(), checksum) {
        (_, Checksum::Verified) => false,
        (IpProtocol::Tcp, Checksum::Unverified) => !TcpPacket::new_checked(ip.payload())?
            .verify_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(destination)),
        (IpProtocol::Udp, Checksum::Unverified) => !UdpPacket::new_checked(ip.payload())?
            .verify_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(destination)),
        _ => false,
    };
    if damaged {
        return Ok(Header::Corrupt);
    }
    match ip.next_header() {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(ip.payload())?;
            Ok(Header::Tcp(segment(&tcp, source, destination)))
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(ip.payload())?;
            Ok(Header::Udp {
                source: SocketAddrV4::new(source, udp.src_port()),
                destination_port: udp.dst_port(),
            })
        }
        _ => Ok(Header::Other),
    }
}

fn segment(tcp: &TcpPacket<&[u8]>, remote: Ipv4Addr, local: Ipv4Addr) -> Segment {
    let sequence = tcp.seq_number();
    Segment {
        remote,
        remote_port: tcp.src_port(),
        local,
        local_port: tcp.dst_port(),
        sequence: sequence.0.cast_unsigned(),
        sequence_end: (sequence + tcp.segment_len()).0.cast_unsigned(),
        acknowledgement: tcp.ack_number().0.cast_unsigned(),
        kind: match (tcp.rst(), tcp.syn(), tcp.ack(), tcp.fin()) {
            (true, ..) => SegmentKind::Reset,
            (false, true, false, _) => SegmentKind::Open,
            (false, _, _, true) => SegmentKind::Finish,
            _ => SegmentKind::Plain,
        },
    }
}

/// Returns which checksums smoltcp shall compute: all on transmit, and on receive those that
/// [`parse`] does not.
pub(crate) fn checksum_capabilities() -> ChecksumCapabilities {
    let mut capabilities = ChecksumCapabilities::default();
    capabilities.tcp = smoltcp::phy::Checksum::Tx;
    capabilities.udp = smoltcp::phy::Checksum::Tx;
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_left_to_smoltcp() {
        for len in 0..60 {
            for ethertype in [[0xff, 0xff], [8, 0]] {
                let mut frame = std::vec![0xff; len];
                if let Some(field) = frame.get_mut(12..14) {
                    field.copy_from_slice(&ethertype);
                }
                assert_eq!(parse(&frame, Checksum::Unverified), Header::Other);
            }
        }
    }
}
