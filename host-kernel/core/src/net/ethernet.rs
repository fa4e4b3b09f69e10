//! Bounded views of the headers the switch checks.
//!
//! Parsing copies a few fixed fields and borrows the rest. Every access is checked: a header that
//! does not fit its frame parses as `None`, and no input panics.

/// Protocol numbers of the Ethernet header.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// Protocol numbers of IPv4 and IPv6.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Group management of IPv4.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}

/// Returns `N` bytes of `bytes` from offset `at`.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn field_u16(bytes: &[u8], at: usize) -> Option<u16> {
    field(bytes, at).map(u16::from_be_bytes)
}

/// A hardware address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Returns whether this is a group address, broadcast included.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Returns whether a bridge must not forward frames to this group (IEEE 802.1Q §8.6.3), and
    /// with them the rest of the standard's own range.
    #[must_use]
    pub const fn is_reserved_group(self) -> bool {
        matches!(self.0, [0x01, 0x80, 0xc2, ..])
    }

    /// Returns whether a station may have this address.
    #[must_use]
    pub fn is_station(self) -> bool {
        !self.is_group() && self != Self::default()
    }

    /// Returns the address as a number, for tables.
    #[must_use]
    pub const fn key(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// Returns the interface identifier of IPv6 derived from this address (RFC 4291 appendix A).
    #[must_use]
    pub const fn identifier(self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.0;
        [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
    }

    /// Returns the address an interface identifier is derived from, if it is from one.
    #[must_use]
    pub const fn from_identifier(identifier: [u8; 8]) -> Option<Self> {
        match identifier {
            [a, b, c, 0xff, 0xfe, d, e, f] => Some(Self([a ^ 2, b, c, d, e, f])),
            _ => None,
        }
    }
}

/// An Ethernet II frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// To whom.
    pub destination: Mac,
    /// From whom, as alleged.
    pub source: Mac,
    /// One of [`ethertype`], or anything.
    pub ethertype: u16,
    /// Everything behind the header, padding included.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Parses the header; `None` if the frame is shorter.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        Some(Self {
            destination: Mac(field(bytes, 0)?),
            source: Mac(field(bytes, 6)?),
            ethertype: field_u16(bytes, 12)?,
            payload: bytes.get(14..)?,
        })
    }
}

/// What an ARP packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Asks who has the target address.
    Request,
    /// Tells the sender's address.
    Reply,
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    /// What it does.
    pub operation: ArpOperation,
    /// The sender's hardware address.
    pub sender_mac: Mac,
    /// The sender's IPv4 address, all zero in a probe (RFC 5227 §2.1.1).
    pub sender: [u8; 4],
    /// The IPv4 address asked for or told.
    pub target: [u8; 4],
}

impl Arp {
    /// Parses the payload of an ARP frame.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
        if field(bytes, 0)? != ETHERNET_IPV4 {
            return None;
        }
        Some(Self {
            operation: match field_u16(bytes, 6)? {
                1 => ArpOperation::Request,
                2 => ArpOperation::Reply,
                _ => return None,
            },
            sender_mac: Mac(field(bytes, 8)?),
            sender: field(bytes, 14)?,
            target: field(bytes, 24)?,
        })
    }
}

/// An IPv4 packet (RFC 791).
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    /// From whom, as alleged.
    pub source: [u8; 4],
    /// To whom.
    pub destination: [u8; 4],
    /// One of [`protocol`], or anything.
    pub protocol: u8,
    /// Offset of this fragment in units of eight bytes; 0 if it starts the packet.
    pub fragment_offset: u16,
    /// What the header's own length leaves, padding excluded.
    pub payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Parses the payload of an IPv4 frame.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [version_and_words] = field(bytes, 0)?;
        let header_len = usize::from(version_and_words & 0xf) * 4;
        if version_and_words >> 4 != 4 || header_len < 20 {
            return None;
        }
        let total_len = usize::from(field_u16(bytes, 2)?);
        let [protocol] = field(bytes, 9)?;
        Some(Self {
            source: field(bytes, 12)?,
            destination: field(bytes, 16)?,
            protocol,
            fragment_offset: field_u16(bytes, 6)? & 0x1fff,
            payload: bytes.get(header_len..total_len)?,
        })
    }
}

/// A UDP datagram (RFC 768).
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// What is there of the payload: a first fragment holds only its part.
    pub payload: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Parses the payload of an IP packet that starts with a UDP header.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::from(field_u16(bytes, 4)?);
        if length < 8 {
            return None;
        }
        Some(Self {
            source: field_u16(bytes, 0)?,
            destination: field_u16(bytes, 2)?,
            payload: bytes.get(8..length.min(bytes.len()))?,
        })
    }
}

/// Ports of DHCP (RFC 2131 §4.1) and DHCPv6 (RFC 8415 §7.2).
pub mod port {
    /// DHCP server.
    pub const DHCP_SERVER: u16 = 67;
    /// DHCP client.
    pub const DHCP_CLIENT: u16 = 68;
    /// DHCPv6 client.
    pub const DHCPV6_CLIENT: u16 = 546;
    /// DHCPv6 server and relay.
    pub const DHCPV6_SERVER: u16 = 547;
}

/// Who speaks in a DHCP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpOperation {
    /// A client.
    Request,
    /// A server.
    Reply,
}

/// A DHCP message (RFC 2131 §2).
#[derive(Clone, Copy, Debug)]
pub struct Dhcp<'a> {
    /// Who speaks.
    pub operation: DhcpOperation,
    /// The client's choice, echoed by the server.
    pub transaction: u32,
    /// "Your" address: what the server gives.
    pub your_address: [u8; 4],
    /// The client's hardware address.
    pub client: Mac,
    options: &'a [u8],
}

/// Options looked at in one DHCP message.
const DHCP_OPTIONS_MAX: usize = 64;

impl<'a> Dhcp<'a> {
    /// The message type of a server's acknowledgement (RFC 2132 §9.6).
    pub const ACKNOWLEDGE: u8 = 5;

    /// Parses the payload of a UDP datagram.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        const ETHERNET: [u8; 2] = [1, 6];
        const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
        if field(bytes, 1)? != ETHERNET || field(bytes, 236)? != MAGIC_COOKIE {
            return None;
        }
        Some(Self {
            operation: match field(bytes, 0)? {
                [1] => DhcpOperation::Request,
                [2] => DhcpOperation::Reply,
                _ => return None,
            },
            transaction: u32::from_be_bytes(field(bytes, 4)?),
            your_address: field(bytes, 16)?,
            client: Mac(field(bytes, 28)?),
            options: bytes.get(240..)?,
        })
    }

    /// Returns the message type (RFC 2132 §9.6).
    #[must_use]
    pub fn message_type(&self) -> Option<u8> {
        const PAD: u8 = 0;
        const MESSAGE_TYPE: u8 = 53;
        const END: u8 = 255;
        let mut rest = self.options;
        for _ in 0..DHCP_OPTIONS_MAX {
            let (&code, behind) = rest.split_first()?;
            if code == PAD {
                rest = behind;
                continue;
            }
            let (&len, value) = behind.split_first()?;
            match (code, len) {
                (END, _) => return None,
                (MESSAGE_TYPE, 1) => return value.first().copied(),
                _ => rest = value.get(usize::from(len)..)?,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ipv6::{Icmpv6, Ipv6};
    use crate::net::test_frames::Random;

    #[test]
    fn no_bytes_of_any_length_panic_a_parser() {
        let mut random = Random(0x5eed_0001);
        let mut bytes = [0; 320];
        for round in 0..200_000_usize {
            let len = round % bytes.len();
            for byte in &mut bytes {
                *byte = random.byte();
            }
            bytes[0] = [0x45, 0x60, 0x4f, random.byte()][round % 4];
            let view = &bytes[..len];
            let _ = (Frame::parse(view), Arp::parse(view), Icmpv6::parse(view));
            let payload = Ipv4::parse(view).map_or(view, |ip| ip.payload);
            let payload = Udp::parse(payload).map_or(payload, |udp| udp.payload);
            assert!(payload.len() <= len);
            assert!(Ipv6::parse(view).is_none_or(|ip| ip.payload.len() + 40 <= len));
            bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
            bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
            let _ = Dhcp::parse(&bytes[..len]).and_then(|message| message.message_type());
        }
    }

    #[test]
    fn an_identifier_is_derived_by_eui_64_and_leads_back() {
        let mac = Mac([0x52, 0x54, 0, 1, 2, 3]);
        let identifier = [0x50, 0x54, 0, 0xff, 0xfe, 1, 2, 3];
        assert_eq!(mac.identifier(), identifier);
        assert_eq!(Mac::from_identifier(identifier), Some(mac));
        assert_eq!(Mac::from_identifier([1; 8]), None);
    }

    #[test]
    fn ipv4_lengths_that_contradict_each_other_do_not_parse() {
        let mut packet = [0; 40];
        packet[0] = 0x45;
        packet[3] = 40;
        assert_eq!(Ipv4::parse(&packet).unwrap().payload.len(), 20);
        packet[3] = 41;
        assert!(Ipv4::parse(&packet).is_none());
        packet[3] = 19;
        assert!(Ipv4::parse(&packet).is_none());
        packet[0] = 0x44;
        assert!(Ipv4::parse(&packet).is_none());
    }
}
