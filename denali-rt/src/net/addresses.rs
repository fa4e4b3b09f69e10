//! What can stand for addresses of a peer: addresses, or names that are looked up.

use super::dns::lookup;
use crate::io::{Error, ErrorKind, Result};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Something that stands for one or more addresses with a port, as in `std`.
pub trait ToSocketAddrs {
    /// Returns the addresses, asking the name servers if need be.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for text that is no address, and as [`lookup`] for a name.
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>>;
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

impl ToSocketAddrs for SocketAddr {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        Ok(vec![*self].into_iter())
    }
}

impl ToSocketAddrs for SocketAddrV4 {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        SocketAddr::V4(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for SocketAddrV6 {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        SocketAddr::V6(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (IpAddr, u16) {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (Ipv4Addr, u16) {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (Ipv6Addr, u16) {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for ([u8; 4], u16) {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        let (host, port) = *self;
        let addresses: Vec<_> = lookup(host)?
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        Ok(addresses.into_iter())
    }
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return address.to_socket_addrs();
        }
        let malformed = Error::new(
            ErrorKind::InvalidInput,
            "neither ADDRESS:PORT nor NAME:PORT",
        );
        let (host, port) = self.rsplit_once(':').ok_or(malformed)?;
        let port = port.parse::<u16>().map_err(|_| malformed)?;
        (host, port).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> Result<vec::IntoIter<SocketAddr>> {
        Ok(Vec::from(self).into_iter())
    }
}

/// Tries `attempt` with one address after the other. Returns the first success, or the last error.
pub(super) fn first_reachable<R>(
    addresses: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> Result<R>,
) -> Result<R> {
    let mut error = Error::new(ErrorKind::InvalidInput, "no address to connect to");
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(reached) => return Ok(reached),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(addresses: impl ToSocketAddrs) -> SocketAddr {
        addresses.to_socket_addrs().unwrap().next().unwrap()
    }

    #[test]
    fn addresses_come_in_many_forms() {
        let expected = SocketAddr::from(([10, 0, 0, 1], 80));
        assert_eq!(one(expected), expected);
        assert_eq!(one(([10, 0, 0, 1], 80)), expected);
        assert_eq!(one(("10.0.0.1", 80)), expected);
        assert_eq!(one("10.0.0.1:80"), expected);
        assert_eq!(one(String::from("10.0.0.1:80")), expected);
        assert_eq!(one("[::1]:7"), SocketAddr::from((Ipv6Addr::LOCALHOST, 7)));
        assert_eq!(one("localhost:7").port(), 7);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", ":", "host", "host:", "host:65536", "10.0.0.1"] {
            assert!(text.to_socket_addrs().is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_address_that_answers_is_taken() {
        let addresses = [1, 2, 3].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let answer = first_reachable(&addresses[..], |address| match address.port() {
            2 => Ok(address.port()),
            _ => Err(ErrorKind::ConnectionRefused.into()),
        });
        assert_eq!(answer.unwrap(), 2);
        let refused = first_reachable(&addresses[..1], |_| -> Result<()> {
            Err(ErrorKind::ConnectionRefused.into())
        });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
