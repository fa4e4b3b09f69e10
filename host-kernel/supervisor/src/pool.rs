//! The pool of addresses for services.

use crate::config::Subnet;
use core::net::Ipv4Addr;

/// Addresses from a start to the end of the subnet, handed out in turn.
///
/// A freed address is reused as late as possible, so that peers' ARP caches forget its old owner.
#[derive(Clone, Debug)]
pub struct Pool {
    subnet: Subnet,
    first: u32,
    last: u32,
    next: u32,
}

impl Pool {
    /// Returns the pool from `start` to the end of `subnet`; `start` must lie inside.
    #[must_use]
    pub fn new(subnet: Subnet, start: Ipv4Addr) -> Self {
        let first = start.to_bits();
        let last = subnet.broadcast().to_bits().saturating_sub(1).max(first);
        Self {
            subnet,
            first,
            last,
            next: first,
        }
    }

    /// Returns how many addresses it has, the host's own and the like included.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::from(self.last - self.first) + 1
    }

    /// Returns whether it has none, which no pool is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an address for which `taken` is false, or `None` if there is none left.
    pub fn take(&mut self, taken: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        for _ in self.first..=self.last {
            let candidate = Ipv4Addr::from_bits(self.next);
            self.next = if self.next == self.last {
                self.first
            } else {
                self.next + 1
            };
            if self.subnet.has_room_for(candidate) && !taken(candidate) {
                return Some(candidate);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet() -> Subnet {
        Subnet {
            address: Ipv4Addr::new(10, 0, 0, 1),
            prefix_len: 29,
            gateway: Some(Ipv4Addr::new(10, 0, 0, 2)),
            dns: Some(Ipv4Addr::new(10, 0, 0, 3)),
        }
    }

    #[test]
    fn addresses_are_handed_out_in_turn_and_wrap() {
        let mut pool = Pool::new(subnet(), Ipv4Addr::new(10, 0, 0, 4));
        let last_bytes: [u8; 4] =
            core::array::from_fn(|_| pool.take(|_| false).unwrap().octets()[3]);
        assert_eq!(last_bytes, [4, 5, 6, 4]);
    }

    #[test]
    fn configured_and_taken_addresses_are_skipped() {
        let mut pool = Pool::new(subnet(), Ipv4Addr::new(10, 0, 0, 1));
        let taken = Ipv4Addr::new(10, 0, 0, 4);
        assert_eq!(
            pool.take(|address| address == taken),
            Some(Ipv4Addr::new(10, 0, 0, 5))
        );
    }

    #[test]
    fn a_full_pool_says_so() {
        let mut pool = Pool::new(subnet(), Ipv4Addr::new(10, 0, 0, 4));
        assert_eq!(pool.take(|_| true), None);
    }
}
