//! `arpa/inet.h` and `netinet/in.h`.

use super::descriptor::socket::address::{AF_INET, AF_INET6};
use super::errno::{self, EAFNOSUPPORT, ENOSPC};
use super::memory::{In, Out, Text};
use core::ffi::c_int;
use core::fmt::Write as _;
use core::net::{Ipv4Addr, Ipv6Addr};

/// The address of no interface in particular, `in6addr_any`.
#[cfg_attr(denali, unsafe(no_mangle))]
#[cfg_attr(not(denali), expect(non_upper_case_globals, reason = "its name in C"))]
pub static in6addr_any: [u8; 16] = Ipv6Addr::UNSPECIFIED.octets();

/// The address of this VM itself, `in6addr_loopback`.
#[cfg_attr(denali, unsafe(no_mangle))]
#[cfg_attr(not(denali), expect(non_upper_case_globals, reason = "its name in C"))]
pub static in6addr_loopback: [u8; 16] = Ipv6Addr::LOCALHOST.octets();

/// Length of the longest IPv6 address as text, its NUL included.
const TEXT_MAX: usize = 46;

/// Returns a number in the byte order of the network.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn htonl(number: u32) -> u32 {
    number.to_be()
}

/// Returns a number in the byte order of the network.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn htons(number: u16) -> u16 {
    number.to_be()
}

/// Returns a number of the network in our byte order.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ntohl(number: u32) -> u32 {
    u32::from_be(number)
}

/// Returns a number of the network in our byte order.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ntohs(number: u16) -> u16 {
    u16::from_be(number)
}

/// Reads an address. Returns 1, or 0 if it is none.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn inet_pton(family: c_int, text: Text, result: Out<u8>) -> c_int {
    let text = text.as_str().unwrap_or_default();
    match family {
        AF_INET => text.parse().map_or(0, |address: Ipv4Addr| {
            result.cast().write(address.octets());
            1
        }),
        AF_INET6 => text.parse().map_or(0, |address: Ipv6Addr| {
            result.cast().write(address.octets());
            1
        }),
        _ => errno::answer(Err(errno::Errno(EAFNOSUPPORT))),
    }
}

/// A short text on the stack.
struct Short {
    bytes: [u8; TEXT_MAX],
    used: usize,
}

impl core::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.get_mut(self.used..self.used + text.len());
        place
            .ok_or(core::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

/// Writes an address as text. Returns `to`, or null if it does not fit.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn inet_ntop(family: c_int, address: In<u8>, mut to: Out<u8>, len: u32) -> Out<u8> {
    let mut text = Short {
        bytes: [0; TEXT_MAX],
        used: 0,
    };
    let written = match family {
        AF_INET => address
            .cast::<[u8; 4]>()
            .read()
            .map(|octets| write!(text, "{}", Ipv4Addr::from(octets))),
        AF_INET6 => address
            .cast::<[u8; 16]>()
            .read()
            .map(|octets| write!(text, "{}", Ipv6Addr::from(octets))),
        _ => None,
    };
    if !matches!(written, Some(Ok(()))) {
        errno::set(EAFNOSUPPORT);
        return Out::NULL;
    }
    if text.used >= denali_abi::convert::u32_to_usize(len) {
        errno::set(ENOSPC);
        return Out::NULL;
    }
    to.slice(text.used)
        .copy_from_slice(&text.bytes[..text.used]);
    to.add(text.used).write(0);
    to
}

/// Reads an IPv4 address of one to four numbers, decimal, octal or hexadecimal. Returns 1, or 0 if
/// it is none.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn inet_aton(text: Text, result: Out<u32>) -> c_int {
    match text.as_str().and_then(numbers) {
        Some(address) => {
            result.write(address.to_be());
            1
        }
        None => 0,
    }
}

/// Returns an IPv4 address in the byte order of the network, all ones if it is none.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn inet_addr(text: Text) -> u32 {
    text.as_str().and_then(numbers).map_or(u32::MAX, u32::to_be)
}

/// Reads an address of one to four numbers; the last one fills what is left.
fn numbers(text: &str) -> Option<u32> {
    let mut parts = text.split('.').map(number);
    let mut address = 0;
    let mut room = 32;
    let mut last = parts.next()??;
    for next in parts {
        room -= 8;
        if room == 0 || last > 0xff {
            return None;
        }
        address |= last << room;
        last = next?;
    }
    (u64::from(last) < 1 << room).then_some(address | last)
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    let starts = digits.chars().next().is_some_and(|c| c.is_digit(radix));
    starts
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::{input, one, output, text};
    use super::*;
    use alloc::string::String;

    fn written(family: c_int, address: &[u8], len: u32) -> Option<String> {
        let mut buffer = [0; TEXT_MAX];
        let to = inet_ntop(family, input(address), output(&mut buffer), len);
        (!to.is_null()).then(|| to.text().as_str().unwrap().into())
    }

    #[test]
    fn addresses_are_read_and_written() {
        let mut four = [0; 4];
        assert_eq!(inet_pton(AF_INET, text(c"10.0.2.15"), output(&mut four)), 1);
        assert_eq!(written(AF_INET, &four, 16).as_deref(), Some("10.0.2.15"));
        assert_eq!(inet_pton(AF_INET, text(c"10.0.2"), output(&mut four)), 0);
        let mut six = [0; 16];
        assert_eq!(inet_pton(AF_INET6, text(c"fe80::1"), output(&mut six)), 1);
        assert_eq!(written(AF_INET6, &six, 46).as_deref(), Some("fe80::1"));
        assert_eq!(written(AF_INET6, &six, 7), None);
        assert_eq!(errno::get(), ENOSPC);
        assert_eq!(inet_pton(9, text(c"::1"), output(&mut six)), -1);
    }

    #[test]
    fn old_notations_are_read() {
        for (notation, expected) in [
            (c"127.0.0.1", Some(0x7f00_0001)),
            (c"127.1", Some(0x7f00_0001)),
            (c"0x7f.1", Some(0x7f00_0001)),
            (c"10.256", Some(0x0a00_0100)),
            (c"017.0.0.1", Some(0x0f00_0001)),
            (c"4294967295", Some(u32::MAX)),
            (c"1.2.3.256", None),
            (c"1.2.3.4.5", None),
            (c"1..2", None),
            (c"", None),
            (c"+1", None),
            (c"08.1.1.1", None),
        ] {
            let mut result = 0;
            let known = inet_aton(text(notation), one(&mut result));
            let read = (known == 1).then_some(u32::from_be(result));
            assert_eq!(read, expected, "{notation:?}");
        }
        assert_eq!(inet_addr(text(c"x")), u32::MAX);
        assert_eq!((htons(0x1234), ntohl(0x0102_0304)), (0x3412, 0x0403_0201));
    }
}
