//! Messages of neighbour discovery (RFC 4861), as frames.

use core::net::Ipv6Addr;
use smoltcp::phy::{ChecksumCapabilities, TxToken};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv6Packet, Ipv6Repr, NdiscRepr,
};

/// The hop limit that shows a message to come from this very link: routers forward none that has it
/// left (RFC 4861 §6.1.2, §7.1.1).
pub(super) const HOP_LIMIT: u8 = 255;

/// Sends a message to a group of the link.
pub(super) fn send(
    token: impl TxToken,
    mac: EthernetAddress,
    source: Ipv6Addr,
    group: Ipv6Addr,
    message: NdiscRepr<'_>,
) {
    let message = Icmpv6Repr::Ndisc(message);
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: group,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: HOP_LIMIT,
    };
    let len = EthernetFrame::<&[u8]>::buffer_len(ip.buffer_len() + message.buffer_len());
    // Where a group lies on Ethernet (RFC 2464 §7).
    let [.., a, b, c, d] = group.octets();
    let group_mac = EthernetAddress([0x33, 0x33, a, b, c, d]);
    token.consume(len, |bytes| {
        let mut frame = EthernetFrame::new_unchecked(bytes);
        frame.set_src_addr(mac);
        frame.set_dst_addr(group_mac);
        frame.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&source, &group, &mut icmp, &ChecksumCapabilities::default());
    });
}
