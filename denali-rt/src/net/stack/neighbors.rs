//! Asking for neighbours' hardware addresses.
//!
//! smoltcp asks for them, but once a second for all neighbours together, so that those who are not
//! there and are asked for again and again can keep it from ever asking for one who is. What waits
//! for a neighbour therefore asks here, once a second for each (RFC 1122 §2.3.2.1). smoltcp hears
//! the answers as if to its own questions.

use super::loopback::Queue;
use super::{Link, Signal, Stack, ndisc, smol};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::TxToken;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    HardwareAddress, NdiscRepr,
};

/// How long the same neighbour is not asked for again.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long smoltcp lets a socket wait for a neighbour before it tries again.
const SILENCE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(1);

/// Neighbours remembered as asked for.
const ASKED_MAX: usize = 16;

/// Who was asked for, and when.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    asked: Vec<(IpAddr, Instant)>,
}

impl Neighbors {
    /// Returns whether a neighbour may be asked for now, and takes note that it is.
    fn may_ask(&mut self, neighbor: IpAddr, now: Instant) -> bool {
        self.asked.retain(|&(_, at)| now < at + INTERVAL);
        if self.asked.iter().any(|&(asked, _)| asked == neighbor) {
            return false;
        }
        if self.asked.len() == ASKED_MAX {
            self.asked.remove(0);
        }
        self.asked.push((neighbor, now));
        true
    }
}

/// Returns whether a socket that sent nothing at `now`, and is to try again at `due`, waits for a
/// neighbour.
pub(super) fn is_awaited(due: Option<smoltcp::time::Instant>, now: Instant) -> bool {
    due == Some(smol(now) + SILENCE)
}

/// Drops the next packet of a socket, for which no neighbour answers.
pub(super) fn drop_next(set: &mut SocketSet<'_>, now: Instant) {
    // A way to everywhere on which there are no neighbours to wait for.
    let mut nowhere = Queue::default();
    let config = Config::new(HardwareAddress::Ip);
    let mut interface = Interface::new(config, &mut nowhere, smol(now));
    let routes = interface.routes_mut();
    // The table is empty.
    routes.add_default_ipv4_route(Ipv4Addr::UNSPECIFIED).ok();
    routes.add_default_ipv6_route(Ipv6Addr::UNSPECIFIED).ok();
    interface.poll_egress(smol(now), &mut nowhere, set);
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Asks for the hardware address that packets to `remote` go to.
    pub(super) fn ask_for_neighbor(&mut self, remote: IpAddr, now: Instant) {
        let mut own = self.interface.ip_addrs().iter();
        let neighbor = if own.any(|own| own.contains_addr(&remote.into())) {
            remote
        } else if let Some(router) = self.address.router_to(remote) {
            router
        } else {
            return;
        };
        let HardwareAddress::Ethernet(mac) = self.interface.hardware_addr() else {
            return;
        };
        let own = self.interface.get_source_address(&neighbor.into());
        let Some(token) = self.link.transmit(smol(now)) else {
            return;
        };
        if !self.neighbors.may_ask(neighbor, now) {
            return;
        }
        match (own.map(IpAddr::from), neighbor) {
            (Some(IpAddr::V4(own)), IpAddr::V4(neighbor)) => request(token, mac, own, neighbor),
            (Some(IpAddr::V6(own)), IpAddr::V6(neighbor)) => solicit(token, mac, own, neighbor),
            _ => {}
        }
    }
}

/// Sends an ARP request (RFC 826).
fn request(token: impl TxToken, mac: EthernetAddress, own: Ipv4Addr, neighbor: Ipv4Addr) {
    let message = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: own,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: neighbor,
    };
    let len = EthernetFrame::<&[u8]>::buffer_len(message.buffer_len());
    token.consume(len, |bytes| {
        let mut frame = EthernetFrame::new_unchecked(bytes);
        frame.set_src_addr(mac);
        frame.set_dst_addr(EthernetAddress::BROADCAST);
        frame.set_ethertype(EthernetProtocol::Arp);
        message.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    });
}

/// Sends a neighbour solicitation to the solicited-node group (RFC 4861 §7.2.2, RFC 4291 §2.7.1).
fn solicit(token: impl TxToken, mac: EthernetAddress, own: Ipv6Addr, neighbor: Ipv6Addr) {
    let [.., a, b, c] = neighbor.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let message = NdiscRepr::NeighborSolicit {
        target_addr: neighbor,
        lladdr: Some(mac.into()),
    };
    ndisc::send(token, mac, own, group, message);
}
