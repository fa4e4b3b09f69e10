//! IPv6 and its neighbour discovery, as far as the switch looks.
//!
//! As for the other headers, every access is checked and no input panics.

use super::ethernet::{Mac, field, field_u16, protocol};

/// Options looked at in one message.
const OPTIONS_MAX: usize = 16;

/// Group records looked at in one report.
const RECORDS_MAX: u16 = 16;

/// An IPv6 packet (RFC 8200), its optional hop-by-hop header already skipped.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    /// From whom, as alleged.
    pub source: [u8; 16],
    /// One of [`protocol`], or anything.
    pub protocol: u8,
    /// What the header's own length leaves behind the headers skipped, padding excluded.
    pub payload: &'a [u8],
}

impl<'a> Ipv6<'a> {
    /// Parses the payload of an IPv6 frame.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [version] = field(bytes, 0)?;
        if version >> 4 != 6 {
            return None;
        }
        let len = usize::from(field_u16(bytes, 4)?);
        let [mut protocol] = field(bytes, 6)?;
        let mut payload = bytes.get(40..)?.get(..len)?;
        if protocol == protocol::HOP_BY_HOP {
            let [next, eights] = field(payload, 0)?;
            payload = payload.get((usize::from(eights) + 1) * 8..)?;
            protocol = next;
        }
        Some(Self {
            source: field(bytes, 8)?,
            protocol,
            payload,
        })
    }
}

/// Message types of ICMPv6 (RFC 4861 §4, RFC 3810 §5.2).
pub mod icmpv6 {
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report, version 1.
    pub const LISTENER_REPORT_V1: u8 = 131;
    /// Multicast listener done, version 1.
    pub const LISTENER_DONE_V1: u8 = 132;
    /// Multicast listener report, version 2.
    pub const LISTENER_REPORT: u8 = 143;
}

/// An ICMPv6 message, as far as neighbour discovery goes.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6<'a> {
    /// One of [`icmpv6`], or anything.
    pub kind: u8,
    bytes: &'a [u8],
}

impl<'a> Icmpv6<'a> {
    /// Parses the payload of an ICMPv6 packet.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [kind, _code, _, _] = field(bytes, 0)?;
        Some(Self { kind, bytes })
    }

    /// Returns the target address of a neighbour message (RFC 4861 §4.4).
    #[must_use]
    pub fn target(&self) -> Option<[u8; 16]> {
        field(self.bytes, 8)
    }

    /// Returns whether the options of a solicitation or neighbour message name no hardware address
    /// but `own`, as far as options are known at all (RFC 4861 §4.6.1).
    #[must_use]
    pub fn names_only(&self, own: Mac) -> bool {
        const SOURCE_LINK_LAYER: u8 = 1;
        const TARGET_LINK_LAYER: u8 = 2;
        let header_len = match self.kind {
            icmpv6::ROUTER_SOLICITATION => 8,
            icmpv6::NEIGHBOR_SOLICITATION | icmpv6::NEIGHBOR_ADVERTISEMENT => 24,
            _ => return true,
        };
        let mut rest = self.bytes.get(header_len..).unwrap_or_default();
        for _ in 0..OPTIONS_MAX {
            if rest.is_empty() {
                return true;
            }
            let Some([kind, eights]) = field(rest, 0) else {
                return false;
            };
            let len = usize::from(eights) * 8;
            let names = matches!(kind, SOURCE_LINK_LAYER | TARGET_LINK_LAYER);
            if len == 0 || names && field(rest, 2) != Some(own.0) {
                return false;
            }
            let Some(behind) = rest.get(len..) else {
                return false;
            };
            rest = behind;
        }
        false
    }

    /// Returns the group addresses a listener's report is about (RFC 2710 §3, RFC 3810 §5.2), those
    /// it leaves included.
    pub fn groups(&self) -> impl Iterator<Item = [u8; 16]> + '_ {
        let is_first_version = self.kind == icmpv6::LISTENER_REPORT_V1;
        let one = is_first_version.then(|| self.target()).flatten();
        let mut left = match self.kind {
            icmpv6::LISTENER_REPORT => field_u16(self.bytes, 6).unwrap_or(0).min(RECORDS_MAX),
            _ => 0,
        };
        let mut at = 8;
        let records = core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let [_kind, auxiliary_words] = field(self.bytes, at)?;
            let sources = usize::from(field_u16(self.bytes, at + 2)?);
            let group = field(self.bytes, at + 4)?;
            at += 20 + sources * 16 + usize::from(auxiliary_words) * 4;
            Some(group)
        });
        one.into_iter().chain(records)
    }
}

/// Returns whether `address` may be one of the station `mac`: any network, this very interface.
///
/// Networks are not checked: which are on the link, routers say, and no other station has the same
/// interface identifier, so nobody can be impersonated (RFC 7039 §3).
#[must_use]
pub fn is_own(address: [u8; 16], mac: Mac) -> bool {
    let [network @ .., _, _, _, _, _, _, _, _] = address;
    let is_link_local_range = network[0] == 0xfe && network[1] & 0xc0 == 0x80;
    let is_network = match network[0] {
        // Loopback and embedded IPv4 addresses; groups.
        0x00 | 0xff => false,
        _ if is_link_local_range => network == [0xfe, 0x80, 0, 0, 0, 0, 0, 0],
        _ => true,
    };
    is_network && address[8..] == mac.identifier()
}

/// Returns the station whose address this is, if its interface identifier tells.
#[must_use]
pub fn station(address: [u8; 16]) -> Option<Mac> {
    Mac::from_identifier(field(&address, 8)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::test_frames::Random;
    use std::vec::Vec;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0xa]);

    fn address(network: [u8; 8], mac: Mac) -> [u8; 16] {
        let mut address = [0; 16];
        address[..8].copy_from_slice(&network);
        address[8..].copy_from_slice(&mac.identifier());
        address
    }

    #[test]
    fn an_address_is_own_in_every_network_of_hosts() {
        for network in [
            [0xfe, 0x80, 0, 0, 0, 0, 0, 0],
            [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1],
            [0xfd, 0, 0, 0, 0, 0, 0, 0],
            [0xfe, 0xc0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(is_own(address(network, MAC), MAC));
            assert!(!is_own(address(network, Mac([2; 6])), MAC));
            assert_eq!(station(address(network, MAC)), Some(MAC));
        }
        for network in [
            [0; 8],
            [0xff, 2, 0, 0, 0, 0, 0, 0],
            [0xfe, 0x80, 0, 0, 0, 0, 0, 1],
            [0xfe, 0xbf, 0, 0, 0, 0, 0, 0],
            [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0],
        ] {
            assert!(!is_own(address(network, MAC), MAC));
        }
    }

    #[test]
    fn options_name_nobody_else() {
        let message = |kind: u8, header_len: usize, options: &[u8]| -> Vec<u8> {
            let mut bytes = std::vec![0; header_len];
            bytes[0] = kind;
            bytes.extend_from_slice(options);
            bytes
        };
        let names = |bytes: &[u8]| Icmpv6::parse(bytes).unwrap().names_only(MAC);
        let own = [1, 1, 2, 0, 0, 0, 0, 0xa];
        let other = [2, 1, 2, 0, 0, 0, 0, 0xb];
        let nonce = [14, 1, 9, 9, 9, 9, 9, 9];
        for (kind, len) in [(133, 8), (135, 24), (136, 24)] {
            assert!(names(&message(kind, len, &[])));
            assert!(names(&message(kind, len, &own)));
            assert!(names(&message(kind, len, &[nonce, own].concat())));
            assert!(!names(&message(kind, len, &other)));
            assert!(!names(&message(kind, len, &[nonce, own, other].concat())));
            assert!(!names(&message(kind, len, &[1, 0, 2, 0, 0, 0, 0, 0xa])));
            assert!(!names(&message(kind, len, &own[..7])));
        }
        assert!(names(&message(128, 8, &other)));
    }

    #[test]
    fn reports_name_their_groups() {
        let group = |last: u8| {
            let mut group = [0; 16];
            group[..2].copy_from_slice(&[0xff, 2]);
            group[15] = last;
            group
        };
        let old = [&[131, 0, 0, 0, 0, 0, 0, 0][..], &group(7)].concat();
        let found: Vec<_> = Icmpv6::parse(&old).unwrap().groups().collect();
        assert_eq!(found, [group(7)]);
        let new = [
            &[143, 0, 0, 0, 0, 0, 0, 2][..],
            &[4, 1, 0, 1],
            &group(8),
            &[0; 16 + 4],
            &[4, 0, 0, 0],
            &group(9),
        ]
        .concat();
        let found: Vec<_> = Icmpv6::parse(&new).unwrap().groups().collect();
        assert_eq!(found, [group(8), group(9)]);
        let mut random = Random(0x5eed_0009);
        for round in 0..50_000_usize {
            let mut bytes: Vec<u8> = (0..round % 90).map(|_| random.byte()).collect();
            if let Some(first) = bytes.first_mut() {
                *first = [131, 143, 135, 133][round % 4];
            }
            if let Some(message) = Icmpv6::parse(&bytes) {
                assert!(message.groups().count() <= 16);
                let _ = message.names_only(MAC);
            }
        }
    }
}
