//! Multicast groups: which VMs hear which.
//!
//! A frame to a group wakes who hears it, and sleeping services are many. So the switch remembers
//! what a VM reports to routers (IGMP, MLD), as a card does with a hash filter: a group sets one bit
//! of 32, for good. A wrong hit costs the VM a frame it drops; a group it joined is never missed.

use super::ethernet::{Frame, Ipv4, Mac, ethertype, protocol};
use super::ipv6::{Icmpv6, Ipv6};

/// The groups of one VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter(u32);

impl GroupFilter {
    /// Adds the groups that a VM's report is about.
    pub fn hear_report(&mut self, frame: &Frame<'_>) {
        match frame.ethertype {
            // Reports of IGMP up to version 2 go to the group itself (RFC 2236 §9).
            ethertype::IPV4 => {
                let packet = Ipv4::parse(frame.payload);
                if packet.is_some_and(|packet| packet.protocol == protocol::IGMP) {
                    self.add(frame.destination);
                }
            }
            _ => {
                let message = Ipv6::parse(frame.payload)
                    .filter(|packet| packet.protocol == protocol::ICMPV6)
                    .and_then(|packet| Icmpv6::parse(packet.payload));
                for [.., a, b, c, d] in message.iter().flat_map(Icmpv6::groups) {
                    self.add(Mac([0x33, 0x33, a, b, c, d]));
                }
            }
        }
    }

    /// Returns whether a frame to `group` may concern the VM.
    #[must_use]
    pub const fn hears(self, group: Mac) -> bool {
        self.0 & bit(group) != 0
    }

    fn add(&mut self, group: Mac) {
        self.0 |= bit(group);
    }
}

/// Returns whether frames to this group go to everybody: broadcast, the groups of all hosts, and
/// what is no group of IP.
#[must_use]
pub const fn concerns_all(group: Mac) -> bool {
    match group.0 {
        [0x01, 0x00, 0x5e, 0, 0, 1] | [0x33, 0x33, 0, 0, 0, 1] => true,
        [0x01, 0x00, 0x5e, ..] | [0x33, 0x33, ..] => false,
        _ => true,
    }
}

/// Returns the bit of a group (multiplicative hashing, Knuth vol. 3 §6.4).
const fn bit(group: Mac) -> u32 {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    1 << (group.key().wrapping_mul(GOLDEN_RATIO) >> 59)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::test_frames::{A, IP_A, ethernet, ipv4};

    #[test]
    fn what_is_reported_is_heard() {
        let group = Mac([1, 0, 0x5e, 1, 2, 3]);
        let report = ipv4(
            group,
            A,
            [IP_A, [239, 1, 2, 3]],
            2,
            &[0x16, 0, 0, 0, 239, 1, 2, 3],
        );
        let mut filter = GroupFilter::default();
        assert!(!filter.hears(group));
        filter.hear_report(&Frame::parse(&report).unwrap());
        assert!(filter.hears(group));
        let others = (0..32).filter(|last| filter.hears(Mac([1, 0, 0x5e, 9, 9, *last])));
        assert!(others.count() <= 4, "one bit of 32");
    }

    #[test]
    fn garbage_joins_nothing() {
        let mut filter = GroupFilter::default();
        for ethertype in [0x0800, 0x86dd] {
            for len in 0..60 {
                let frame = ethernet(A, A, ethertype, &std::vec![0x60; len]);
                filter.hear_report(&Frame::parse(&frame).unwrap());
            }
        }
        assert_eq!(filter, GroupFilter::default());
    }

    #[test]
    fn groups_of_all_hosts_concern_all() {
        assert!(concerns_all(Mac::BROADCAST));
        assert!(concerns_all(Mac([0x33, 0x33, 0, 0, 0, 1])));
        assert!(!concerns_all(Mac([0x33, 0x33, 0xff, 0, 0, 1])));
        assert!(!concerns_all(Mac([1, 0, 0x5e, 0, 0, 0xfb])));
    }
}
