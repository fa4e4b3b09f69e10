//! Headers: just enough of a received frame to find its socket.
//!
//! smoltcp walks every socket of a set for each frame. The stack reads addresses and ports itself
//! and hands smoltcp the one set concerned, so a frame costs the same among one connection or ten
//! thousand. Whatever does not parse here goes to smoltcp with an empty set, which judges it.

use core::net::{IpAddr, SocketAddr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet,
    IpProtocol, Ipv4Packet, Ipv6Packet, Result, TcpPacket, UdpPacket,
};

/// Whom a frame concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram.
    Udp(Datagram),
    /// The answer to an echo request with this identifier.
    EchoReply { ident: u16 },
    /// ARP or neighbour discovery: a neighbour's hardware address may become known.
    Neighbor,
    /// A router tells of itself.
    RouterAdvertisement,
    /// A message about multicast groups, perhaps: a router may ask for ours.
    Groups,
    /// Damaged, or from where it cannot come.
    Corrupt,
    /// Anything else, for smoltcp to answer or drop.
    Other,
}

/// The header of a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// The sender.
    pub(super) source: SocketAddr,
    /// The receiver.
    pub(super) destination: SocketAddr,
}

/// The header of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The sender.
    pub(super) remote: IpAddr,
    /// The sender's port.
    pub(super) remote_port: u16,
    /// The receiver.
    pub(super) local: IpAddr,
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

/// Returns what the stack must know of a frame from the wire.
///
/// TCP and UDP checksums are verified here rather than by smoltcp, which can only be told once for
/// all frames, while the kernel vouches for some. A packet that claims to come from loopback, or to
/// go there, is taken for damaged (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
pub(super) fn parse(frame: &[u8], checksum: Checksum) -> Header {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
        return Header::Other;
    };
    let packet = ethernet.payload();
    let header = match ethernet.ethertype() {
        EthernetProtocol::Arp => return Header::Neighbor,
        EthernetProtocol::Ipv4 => parse_ipv4(packet, checksum, Origin::Wire),
        EthernetProtocol::Ipv6 => parse_ipv6(packet, checksum, Origin::Wire),
        EthernetProtocol::Unknown(_) => return Header::Other,
    };
    header.unwrap_or(Header::Other)
}

/// Returns what the stack must know of a packet that it sent to itself.
pub(super) fn parse_looped(packet: &[u8]) -> Header {
    let header = match packet.first().map(|byte| byte >> 4) {
        Some(4) => parse_ipv4(packet, Checksum::Verified, Origin::Loopback),
        Some(6) => parse_ipv6(packet, Checksum::Verified, Origin::Loopback),
        _ => return Header::Other,
    };
    header.unwrap_or(Header::Other)
}

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Wire,
    Loopback,
}

/// The parts of a packet that all versions have.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    payload: &'a [u8],
}

fn parse_ipv4(bytes: &[u8], checksum: Checksum, origin: Origin) -> Result<Header> {
    let ip = Ipv4Packet::new_checked(bytes)?;
    if ip.version() != 4 || ip.more_frags() || ip.frag_offset() != 0 {
        return Ok(Header::Other);
    }
    let packet = Packet {
        source: ip.src_addr().into(),
        destination: ip.dst_addr().into(),
        protocol: ip.next_header(),
        payload: ip.payload(),
    };
    parse_transport(&packet, checksum, origin)
}

fn parse_ipv6(bytes: &[u8], checksum: Checksum, origin: Origin) -> Result<Header> {
    let ip = Ipv6Packet::new_checked(bytes)?;
    if ip.version() != 6 {
        return Ok(Header::Other);
    }
    let packet = Packet {
        source: ip.src_addr().into(),
        destination: ip.dst_addr().into(),
        protocol: ip.next_header(),
        payload: ip.payload(),
    };
    parse_transport(&packet, checksum, origin)
}

fn parse_transport(packet: &Packet<'_>, checksum: Checksum, origin: Origin) -> Result<Header> {
    let (source, destination) = (packet.source, packet.destination);
    let (from, to) = (source.into(), destination.into());
    let is_foreign = source.is_loopback() || destination.is_loopback();
    if origin == Origin::Wire && is_foreign {
        return Ok(Header::Corrupt);
    }
    let unverified = checksum == Checksum::Unverified;
    Ok(match packet.protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(packet.payload)?;
            if unverified && !tcp.verify_checksum(&from, &to) {
                return Ok(Header::Corrupt);
            }
            Header::Tcp(segment(&tcp, source, destination))
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(packet.payload)?;
            if unverified && !udp.verify_checksum(&from, &to) {
                return Ok(Header::Corrupt);
            }
            Header::Udp(Datagram {
                source: SocketAddr::new(source, udp.src_port()),
                destination: SocketAddr::new(destination, udp.dst_port()),
            })
        }
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(packet.payload)?;
            match icmp.msg_type() {
                Icmpv4Message::EchoReply => Header::EchoReply {
                    ident: icmp.echo_ident(),
                },
                _ => Header::Other,
            }
        }
        IpProtocol::Icmpv6 => parse_icmpv6(packet.payload)?,
        // Multicast listener discovery alone comes behind such a header (RFC 3810 §5).
        IpProtocol::Igmp | IpProtocol::HopByHop => Header::Groups,
        _ => Header::Other,
    })
}

fn parse_icmpv6(bytes: &[u8]) -> Result<Header> {
    let icmp = Icmpv6Packet::new_checked(bytes)?;
    Ok(match icmp.msg_type() {
        Icmpv6Message::EchoReply => Header::EchoReply {
            ident: icmp.echo_ident(),
        },
        Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert => Header::Neighbor,
        Icmpv6Message::RouterAdvert => Header::RouterAdvertisement,
        _ => Header::Other,
    })
}

fn segment(tcp: &TcpPacket<&[u8]>, remote: IpAddr, local: IpAddr) -> Segment {
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
        for len in 0..90 {
            for ethertype in [[0xff, 0xff], [8, 0], [0x86, 0xdd]] {
                let mut frame = std::vec![0xff; len];
                if let Some(field) = frame.get_mut(12..14) {
                    field.copy_from_slice(&ethertype);
                }
                assert_eq!(parse(&frame, Checksum::Unverified), Header::Other);
            }
        }
    }

    #[test]
    fn no_bytes_of_any_length_panic() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..100_000_usize {
            let mut frame = std::vec![0; round % 120];
            for byte in &mut frame {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                *byte = random.to_le_bytes()[2];
            }
            if frame.len() > 34 {
                let is_ipv6 = round % 2 == 0;
                frame[12..14].copy_from_slice(if is_ipv6 { &[0x86, 0xdd] } else { &[8, 0] });
                frame[14] = if is_ipv6 { 0x60 } else { 0x45 };
                frame[if is_ipv6 { 20 } else { 23 }] = [6, 17, 58, 1][round % 4];
                let len = frame.len().to_le_bytes()[0] - 14;
                frame[16..20].copy_from_slice(&[0, len, 0, 0]);
            }
            let _ = parse(&frame, Checksum::Verified);
            let _ = parse_looped(frame.get(14..).unwrap_or_default());
        }
    }
}
