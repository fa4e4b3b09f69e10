//! Checks that a VM's frame claims no other identity than the VM's own.
//!
//! What is checked is what neighbours would believe: hardware source, ARP sender, IPv4 and IPv6
//! source, and the messages by which a host becomes a DHCP server or a router.

use super::ethernet::{
    Arp, ArpOperation, Dhcp, DhcpOperation, Frame, Ipv4, Mac, Udp, ethertype, port, protocol,
};
use super::ipv6::{Icmpv6, Ipv6, icmpv6, is_own};
use super::refusal::Refusal;
use denali_abi::net::{FRAME_LEN_MAX, FRAME_LEN_MIN};

/// The unspecified IPv4 address.
const ANY: [u8; 4] = [0; 4];

/// Who a port is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The hardware address.
    pub mac: Mac,
    /// The IPv4 address, once there is one.
    pub address: Option<[u8; 4]>,
    /// How it gets one.
    pub addressing: Addressing,
}

/// How a port gets its IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// From the supervisor, for good.
    Static,
    /// By DHCP.
    Dhcp,
}

/// A frame that passed the checks, and what the switch has to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// What it is.
    pub kind: Kind,
}

/// What the switch treats specially.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ARP request for `target`.
    ArpRequest {
        /// The address asked for.
        target: [u8; 4],
    },
    /// A DHCP client's message.
    DhcpRequest {
        /// Its transaction.
        transaction: u32,
    },
    /// A neighbour solicitation for `target`.
    NeighborSolicitation {
        /// The address asked for.
        target: [u8; 16],
    },
    /// A router solicitation.
    RouterSolicitation,
    /// A report of the groups it is in (IGMP, MLD).
    GroupReport,
    /// Anything else.
    Ordinary,
}

/// Checks a frame that a VM wants to send.
///
/// # Errors
///
/// The first reason found to refuse it.
pub fn check<'a>(identity: &Identity, bytes: &'a [u8]) -> Result<Checked<'a>, Refusal> {
    if bytes.len() > FRAME_LEN_MAX {
        return Err(Refusal::Length);
    }
    check_super_segment(identity, bytes)
}

/// Checks a frame of any length, as [`check`] does: a super-segment makes the claims of all its
/// segments.
///
/// # Errors
///
/// The first reason found to refuse it.
pub fn check_super_segment<'a>(
    identity: &Identity,
    bytes: &'a [u8],
) -> Result<Checked<'a>, Refusal> {
    if bytes.len() < FRAME_LEN_MIN {
        return Err(Refusal::Length);
    }
    let frame = Frame::parse(bytes).ok_or(Refusal::Length)?;
    if cfg!(sabotage = "open-switch") {
        let kind = Kind::Ordinary;
        return Ok(Checked { frame, kind });
    }
    if frame.source != identity.mac {
        return Err(Refusal::SourceMac);
    }
    if frame.destination.is_reserved_group() {
        return Err(Refusal::ReservedGroup);
    }
    let kind = match frame.ethertype {
        ethertype::IPV4 => check_ipv4(identity, frame.payload)?,
        ethertype::ARP => check_arp(identity, frame.payload)?,
        ethertype::IPV6 => check_ipv6(identity, frame.payload)?,
        _ => return Err(Refusal::EtherType),
    };
    Ok(Checked { frame, kind })
}

fn check_arp(identity: &Identity, payload: &[u8]) -> Result<Kind, Refusal> {
    let arp = Arp::parse(payload).ok_or(Refusal::Malformed)?;
    let probe = arp.sender == ANY && arp.operation == ArpOperation::Request;
    let own_address = probe || Some(arp.sender) == identity.address;
    if arp.sender_mac != identity.mac || !own_address {
        return Err(Refusal::ArpSender);
    }
    Ok(match arp.operation {
        ArpOperation::Request => Kind::ArpRequest { target: arp.target },
        ArpOperation::Reply => Kind::Ordinary,
    })
}

fn check_ipv4(identity: &Identity, payload: &[u8]) -> Result<Kind, Refusal> {
    let packet = Ipv4::parse(payload).ok_or(Refusal::Malformed)?;
    let own_address = Some(packet.source) == identity.address;
    // A fragment that starts a datagram holds all eight bytes of the UDP header, and no later one
    // can overwrite them: offsets count in eights (RFC 791 §3.1).
    if packet.protocol != protocol::UDP || packet.fragment_offset != 0 {
        return match (own_address, packet.protocol) {
            (false, _) => Err(Refusal::Ipv4Source),
            (true, protocol::IGMP) => Ok(Kind::GroupReport),
            (true, _) => Ok(Kind::Ordinary),
        };
    }
    let datagram = Udp::parse(packet.payload).ok_or(Refusal::Malformed)?;
    if datagram.source == port::DHCP_SERVER || datagram.destination == port::DHCP_CLIENT {
        return Err(Refusal::DhcpServer);
    }
    let to_server =
        datagram.source == port::DHCP_CLIENT && datagram.destination == port::DHCP_SERVER;
    let before_lease = packet.source == ANY
        && to_server
        && packet.destination == [255; 4]
        && identity.addressing == Addressing::Dhcp;
    if !own_address && !before_lease {
        return Err(Refusal::Ipv4Source);
    }
    if !to_server {
        return Ok(Kind::Ordinary);
    }
    let message = Dhcp::parse(datagram.payload).ok_or(Refusal::Malformed)?;
    if message.operation != DhcpOperation::Request {
        return Err(Refusal::DhcpServer);
    }
    if message.client != identity.mac {
        return Err(Refusal::DhcpClient);
    }
    Ok(Kind::DhcpRequest {
        transaction: message.transaction,
    })
}

fn check_ipv6(identity: &Identity, payload: &[u8]) -> Result<Kind, Refusal> {
    let packet = Ipv6::parse(payload).ok_or(Refusal::Malformed)?;
    let unspecified = packet.source == [0; 16];
    if !unspecified && !is_own(packet.source, identity.mac) {
        return Err(Refusal::Ipv6Source);
    }
    match packet.protocol {
        protocol::ICMPV6 => {
            let message = Icmpv6::parse(packet.payload).ok_or(Refusal::Malformed)?;
            let kind = check_icmpv6(&message, identity.mac)?;
            // Only what configures an address has none (RFC 4861 §4.1, §4.3; RFC 3810 §5.2.13).
            let configures = matches!(
                message.kind,
                icmpv6::ROUTER_SOLICITATION
                    | icmpv6::NEIGHBOR_SOLICITATION
                    | icmpv6::LISTENER_REPORT
            );
            if unspecified && !configures {
                Err(Refusal::Ipv6Source)
            } else {
                Ok(kind)
            }
        }
        _ if unspecified => Err(Refusal::Ipv6Source),
        protocol::UDP => {
            let datagram = Udp::parse(packet.payload).ok_or(Refusal::Malformed)?;
            let server = datagram.source == port::DHCPV6_SERVER
                || datagram.destination == port::DHCPV6_CLIENT;
            if server {
                Err(Refusal::DhcpServer)
            } else {
                Ok(Kind::Ordinary)
            }
        }
        protocol::TCP => Ok(Kind::Ordinary),
        _ => Err(Refusal::Ipv6Header),
    }
}

/// Checks who an ICMPv6 message speaks for: nobody but `own` answers for its addresses, or says
/// where they are, and no VM is a router (RFC 6105).
fn check_icmpv6(message: &Icmpv6<'_>, own: Mac) -> Result<Kind, Refusal> {
    if !message.names_only(own) {
        return Err(Refusal::NeighborAdvertisement);
    }
    match message.kind {
        icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT => Err(Refusal::RouterAdvertisement),
        icmpv6::NEIGHBOR_ADVERTISEMENT
            if !message.target().is_some_and(|target| is_own(target, own)) =>
        {
            Err(Refusal::NeighborAdvertisement)
        }
        icmpv6::NEIGHBOR_SOLICITATION => {
            let target = message.target().ok_or(Refusal::Malformed)?;
            Ok(Kind::NeighborSolicitation { target })
        }
        icmpv6::ROUTER_SOLICITATION => Ok(Kind::RouterSolicitation),
        icmpv6::LISTENER_REPORT | icmpv6::LISTENER_REPORT_V1 | icmpv6::LISTENER_DONE_V1 => {
            Ok(Kind::GroupReport)
        }
        _ => Ok(Kind::Ordinary),
    }
}

/// Returns the IPv4 address a frame says it comes from.
#[must_use]
pub(crate) fn sender_address(frame: &[u8]) -> Option<[u8; 4]> {
    let frame = Frame::parse(frame)?;
    match frame.ethertype {
        ethertype::ARP => Arp::parse(frame.payload).map(|arp| arp.sender),
        ethertype::IPV4 => Ipv4::parse(frame.payload).map(|packet| packet.source),
        _ => None,
    }
}

/// Returns whether a frame asks who has an address.
#[must_use]
pub(crate) fn is_arp_request(frame: &[u8]) -> bool {
    let arp = Frame::parse(frame)
        .filter(|frame| frame.ethertype == ethertype::ARP)
        .and_then(|frame| Arp::parse(frame.payload));
    arp.is_some_and(|arp| arp.operation == ArpOperation::Request)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
