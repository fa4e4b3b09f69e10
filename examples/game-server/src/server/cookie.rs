//! Proof that somebody gets datagrams where it says it is (as in RFC 9000 §8.1.2).
//!
//! A cookie is a hash of a secret, the address and the time, so the server keeps nothing for those
//! who only ask.

use core::net::{IpAddr, SocketAddr};
use sha2::{Digest as _, Sha256};

/// Ticks after which a cookie is made with another time; it is good for one such span more.
const SPAN: u32 = 100;

#[derive(Debug)]
pub(super) struct Cookies {
    secret: [u8; 32],
    ticks: u32,
}

impl Cookies {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret, ticks: 0 }
    }

    /// Lets a tick pass.
    pub(super) fn tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
    }

    /// Returns the cookie for an address; it is never 0.
    pub(super) fn bake(&self, address: SocketAddr) -> u64 {
        self.baked_in(address, self.ticks / SPAN)
    }

    /// Returns whether this is the cookie of an address, and not too old.
    pub(super) fn fits(&self, address: SocketAddr, cookie: u64) -> bool {
        let span = self.ticks / SPAN;
        let spans = [span, span.wrapping_sub(1)];
        spans
            .iter()
            .any(|span| self.baked_in(address, *span) == cookie)
    }

    fn baked_in(&self, address: SocketAddr, span: u32) -> u64 {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        // All inputs have fixed lengths and most of the hash stays here, so it cannot be extended.
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(ip.octets());
        hash.update(address.port().to_be_bytes());
        hash.update(span.to_be_bytes());
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn a_cookie_is_good_for_its_address_and_a_while() {
        let mut cookies = Cookies::new([7; 32]);
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let cookie = cookies.bake(address(1));
        assert!(!cookies.fits(address(2), cookie) && !cookies.fits(address(1), 0));
        assert!(!Cookies::new([8; 32]).fits(address(1), cookie));
        for _ in 0..2 * SPAN - 1 {
            assert!(cookies.fits(address(1), cookie));
            cookies.tick();
        }
        cookies.tick();
        assert!(!cookies.fits(address(1), cookie));
    }
}
