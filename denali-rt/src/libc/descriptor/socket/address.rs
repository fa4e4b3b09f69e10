//! `struct sockaddr` and its kin, as Linux lays them out: numbers of the network in its byte order.

use super::Family;
use crate::libc::errno::{EAFNOSUPPORT, EINVAL, Errno};
use crate::libc::memory::{In, Out};
use crate::net::SocketAddr;
use core::ffi::c_int;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

pub(in crate::libc) const AF_UNSPEC: c_int = 0;
pub(in crate::libc) const AF_INET: c_int = 2;
pub(in crate::libc) const AF_INET6: c_int = 10;

/// Length of `struct sockaddr_in`.
const V4_LEN: usize = 16;

/// Length of `struct sockaddr_in6`.
const V6_LEN: usize = 28;

/// The bytes of an address.
#[derive(Clone, Copy, Debug)]
pub(in crate::libc) struct Encoded {
    bytes: [u8; V6_LEN],
    len: usize,
}

impl Encoded {
    pub(in crate::libc) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Returns the family as its number.
pub(in crate::libc) fn number(family: Family) -> c_int {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

/// Reads an address of `len` bytes.
pub(in crate::libc) fn decode(address: In<u8>, len: u32) -> Result<SocketAddr, Errno> {
    let bytes = address.slice(denali_abi::convert::u32_to_usize(len).min(V6_LEN));
    let (family, rest) = bytes.split_first_chunk::<2>().ok_or(Errno(EINVAL))?;
    let (port, rest) = rest.split_first_chunk::<2>().ok_or(Errno(EINVAL))?;
    let port = u16::from_be_bytes(*port);
    match c_int::from(u16::from_le_bytes(*family)) {
        AF_INET => {
            let octets = rest.first_chunk::<4>().filter(|_| bytes.len() >= V4_LEN);
            let ip = Ipv4Addr::from(*octets.ok_or(Errno(EINVAL))?);
            Ok(SocketAddr::from((ip, port)))
        }
        AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk::<4>().ok_or(Errno(EINVAL))?;
            let (octets, rest) = rest.split_first_chunk::<16>().ok_or(Errno(EINVAL))?;
            let scope = rest.first_chunk::<4>().ok_or(Errno(EINVAL))?;
            Ok(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(*octets),
                port,
                u32::from_be_bytes(*flow),
                u32::from_le_bytes(*scope),
            )))
        }
        _ => Err(Errno(EAFNOSUPPORT)),
    }
}

/// Writes an address as C lays it out.
pub(in crate::libc) fn encode(address: SocketAddr) -> Encoded {
    let mut bytes = [0; V6_LEN];
    let port = address.port().to_be_bytes();
    bytes[2..4].copy_from_slice(&port);
    let (family, len) = match address {
        SocketAddr::V4(address) => {
            bytes[4..8].copy_from_slice(&address.ip().octets());
            (AF_INET, V4_LEN)
        }
        SocketAddr::V6(address) => {
            bytes[4..8].copy_from_slice(&address.flowinfo().to_be_bytes());
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..].copy_from_slice(&address.scope_id().to_le_bytes());
            (AF_INET6, V6_LEN)
        }
    };
    bytes[..2].copy_from_slice(&family.to_le_bytes()[..2]);
    Encoded { bytes, len }
}

/// Stores an address in the room that `len` says there is, and its whole length there.
pub(in crate::libc) fn store(address: SocketAddr, mut to: Out<u8>, len: Out<u32>) {
    let Some(room) = len.read() else {
        return;
    };
    let encoded = encode(address);
    let count = encoded.len.min(denali_abi::convert::u32_to_usize(room));
    let place = to.slice(count);
    let count = place.len();
    place.copy_from_slice(&encoded.bytes[..count]);
    len.write(u32::try_from(encoded.len).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libc::memory::test::{input, one, output};
    use alloc::string::ToString;

    #[test]
    fn addresses_survive_the_way_to_c_and_back() {
        for text in ["1.2.3.4:80", "[fe80::1]:8080", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let encoded = encode(address);
            let len = u32::try_from(encoded.bytes().len()).unwrap();
            assert_eq!(
                decode(input(encoded.bytes()), len).unwrap().to_string(),
                text
            );
            assert_eq!(decode(input(encoded.bytes()), len - 1), Err(Errno(EINVAL)));
        }
        let bytes = encode("1.2.3.4:80".parse().unwrap());
        assert_eq!(bytes.bytes()[..8], [2, 0, 0, 80, 1, 2, 3, 4]);
        assert_eq!(
            decode(input(&[9, 0, 0, 0, 0, 0]), 6),
            Err(Errno(EAFNOSUPPORT))
        );
        assert_eq!(decode(In::NULL, 16), Err(Errno(EINVAL)));
    }

    #[test]
    fn an_address_is_cut_to_the_room_there_is() {
        let (mut bytes, mut len) = ([9; 8], 4);
        store(
            "1.2.3.4:80".parse().unwrap(),
            output(&mut bytes),
            one(&mut len),
        );
        assert_eq!((bytes, len), ([2, 0, 0, 80, 9, 9, 9, 9], 16));
        store("1.2.3.4:80".parse().unwrap(), Out::NULL, Out::NULL);
    }
}
