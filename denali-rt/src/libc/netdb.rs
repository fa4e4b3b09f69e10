//! `netdb.h`: names and addresses. Services are known by number alone.

use super::descriptor::socket::address::{self, AF_INET, AF_INET6, AF_UNSPEC};
use super::malloc;
use super::memory::{In, Out, Text};
use crate::heap;
use crate::io::ErrorKind;
use crate::net::{self, IpAddr, SocketAddr};
use alloc::vec::Vec;
use core::ffi::c_int;
use core::fmt::Write as _;
use core::net::{Ipv4Addr, Ipv6Addr};

const AI_PASSIVE: c_int = 1;
const AI_CANONNAME: c_int = 2;
const AI_NUMERICHOST: c_int = 4;
const AI_V4MAPPED: c_int = 8;

const EAI_BADFLAGS: c_int = -1;
const EAI_NONAME: c_int = -2;
const EAI_AGAIN: c_int = -3;
const EAI_FAMILY: c_int = -6;
const EAI_SOCKTYPE: c_int = -7;
const EAI_SERVICE: c_int = -8;
const EAI_MEMORY: c_int = -10;
const EAI_OVERFLOW: c_int = -12;

const SOCK_STREAM: c_int = 1;
const SOCK_DGRAM: c_int = 2;

/// One address of a list.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AddrInfo {
    /// Flags of a request.
    pub ai_flags: c_int,
    /// The address family.
    pub ai_family: c_int,
    /// Stream or datagrams.
    pub ai_socktype: c_int,
    /// TCP or UDP.
    pub ai_protocol: c_int,
    /// Length of the address.
    pub ai_addrlen: u32,
    /// The address.
    pub ai_addr: Out<u8>,
    /// The name that was asked for, in the first of a list if so flagged.
    pub ai_canonname: Out<u8>,
    /// The next of the list.
    pub ai_next: Out<AddrInfo>,
}

/// What was asked for.
struct Request {
    flags: c_int,
    family: c_int,
    /// The type of socket, 0 for all.
    kind: c_int,
}

/// Finds the addresses of a host and a port. Returns 0 and a list to be freed, or an `EAI_` number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getaddrinfo(
    host: Text,
    service: Text,
    hints: In<AddrInfo>,
    result: Out<Out<AddrInfo>>,
) -> c_int {
    match find(host, service, hints) {
        Ok(list) => {
            result.write(list);
            0
        }
        Err(number) => number,
    }
}

fn find(host: Text, service: Text, hints: In<AddrInfo>) -> Result<Out<AddrInfo>, c_int> {
    let hints = hints.read();
    let request = Request {
        flags: hints.map_or(AI_V4MAPPED, |hints| hints.ai_flags),
        family: hints.map_or(AF_UNSPEC, |hints| hints.ai_family),
        kind: hints.map_or(0, |hints| hints.ai_socktype),
    };
    if host.is_null() && service.is_null() {
        return Err(EAI_NONAME);
    }
    if request.flags & AI_CANONNAME != 0 && host.is_null() {
        return Err(EAI_BADFLAGS);
    }
    let kinds: &[(c_int, c_int)] = match request.kind {
        0 => &[(SOCK_STREAM, 6), (SOCK_DGRAM, 17)],
        SOCK_STREAM => &[(SOCK_STREAM, 6)],
        SOCK_DGRAM => &[(SOCK_DGRAM, 17)],
        _ => return Err(EAI_SOCKTYPE),
    };
    let port = port(service)?;
    if !heap::has_room() {
        return Err(EAI_MEMORY);
    }
    let mut list = Out::NULL;
    // The list is built from its end.
    for ip in addresses(host, &request)?.into_iter().rev() {
        for (kind, protocol) in kinds.iter().rev() {
            let entry = AddrInfo {
                ai_flags: request.flags,
                ai_socktype: *kind,
                ai_protocol: *protocol,
                ..entry(SocketAddr::new(ip, port), list)
            };
            list = prepend(entry, list)?;
        }
    }
    if request.flags & AI_CANONNAME != 0 {
        let name = super::string::strdup(host);
        if let Some(first) = list.read() {
            list.write(AddrInfo {
                ai_canonname: name,
                ..first
            });
        }
    }
    Ok(list)
}

fn port(service: Text) -> Result<u16, c_int> {
    if service.is_null() {
        return Ok(0);
    }
    let number = service.as_str().and_then(|text| text.parse().ok());
    number.ok_or(EAI_SERVICE)
}

fn addresses(host: Text, request: &Request) -> Result<Vec<IpAddr>, c_int> {
    let found = if host.is_null() {
        let passive = request.flags & AI_PASSIVE != 0;
        let (four, six) = match passive {
            true => (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
            false => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        };
        Vec::from(match request.family {
            AF_INET6 => [IpAddr::V6(six)],
            _ => [IpAddr::V4(four)],
        })
    } else {
        let name = host.as_str().ok_or(EAI_NONAME)?;
        match name.parse() {
            Ok(address) => Vec::from([address]),
            Err(_) if request.flags & AI_NUMERICHOST != 0 => return Err(EAI_NONAME),
            Err(_) => net::lookup(name).map_err(|error| match error.kind() {
                ErrorKind::NotFound | ErrorKind::InvalidInput => EAI_NONAME,
                ErrorKind::OutOfMemory => EAI_MEMORY,
                _ => EAI_AGAIN,
            })?,
        }
    };
    let maps = request.flags & AI_V4MAPPED != 0;
    let of_family = found
        .into_iter()
        .filter_map(|ip| match (request.family, ip) {
            (AF_UNSPEC, ip) | (AF_INET, ip @ IpAddr::V4(_)) | (AF_INET6, ip @ IpAddr::V6(_)) => {
                Some(ip)
            }
            (AF_INET6, IpAddr::V4(ip)) if maps => Some(IpAddr::V6(ip.to_ipv6_mapped())),
            _ => None,
        });
    let of_family: Vec<_> = of_family.collect();
    match request.family {
        AF_UNSPEC | AF_INET | AF_INET6 if of_family.is_empty() => Err(EAI_NONAME),
        AF_UNSPEC | AF_INET | AF_INET6 => Ok(of_family),
        _ => Err(EAI_FAMILY),
    }
}

fn entry(address: SocketAddr, next: Out<AddrInfo>) -> AddrInfo {
    AddrInfo {
        ai_flags: 0,
        ai_family: if address.is_ipv4() { AF_INET } else { AF_INET6 },
        ai_socktype: 0,
        ai_protocol: 0,
        ai_addrlen: 0,
        ai_addr: store(address),
        ai_canonname: Out::NULL,
        ai_next: next,
    }
}

/// Puts an entry and its address before a list, or frees that without memory for it.
fn prepend(entry: AddrInfo, list: Out<AddrInfo>) -> Result<Out<AddrInfo>, c_int> {
    let place: Out<AddrInfo> = malloc::malloc(size_of::<AddrInfo>()).cast();
    if place.is_null() || entry.ai_addr.is_null() {
        malloc::free(place.cast());
        malloc::free(entry.ai_addr);
        freeaddrinfo(list);
        return Err(EAI_MEMORY);
    }
    let len = malloc::malloc_usable_size(entry.ai_addr);
    place.write(AddrInfo {
        ai_addrlen: u32::try_from(len).unwrap_or(0),
        ..entry
    });
    Ok(place)
}

/// Returns an address in memory of its own.
fn store(address: SocketAddr) -> Out<u8> {
    let encoded = address::encode(address);
    let mut place = malloc::malloc(encoded.bytes().len());
    if !place.is_null() {
        place
            .slice(encoded.bytes().len())
            .copy_from_slice(encoded.bytes());
    }
    place
}

/// Frees a list.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn freeaddrinfo(list: Out<AddrInfo>) {
    let mut next = list;
    while let Some(entry) = next.read() {
        malloc::free(entry.ai_addr);
        malloc::free(entry.ai_canonname);
        malloc::free(next.cast());
        next = entry.ai_next;
    }
}

/// Returns what an `EAI_` number means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn gai_strerror(number: c_int) -> Text {
    Text::of(match number {
        0 => c"Success",
        EAI_BADFLAGS => c"Bad value for ai_flags",
        EAI_NONAME => c"Name or service not known",
        EAI_AGAIN => c"Temporary failure in name resolution",
        EAI_FAMILY => c"ai_family not supported",
        EAI_SOCKTYPE => c"ai_socktype not supported",
        EAI_SERVICE => c"Servname not supported for ai_socktype",
        EAI_MEMORY => c"Memory allocation failure",
        EAI_OVERFLOW => c"Argument buffer overflow",
        _ => c"Unknown error",
    })
}

/// A buffer of a caller's for a text.
struct Buffer {
    place: Out<u8>,
    room: usize,
    used: usize,
}

impl core::fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        if self.used + text.len() >= self.room {
            return Err(core::fmt::Error);
        }
        let mut place = self.place.add(self.used);
        place.slice(text.len()).copy_from_slice(text.as_bytes());
        self.used += text.len();
        self.place.add(self.used).write(0);
        Ok(())
    }
}

/// Writes an address and a port as numbers: nobody is asked for names.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getnameinfo(
    address: In<u8>,
    len: u32,
    host: Out<u8>,
    host_len: u32,
    service: Out<u8>,
    service_len: u32,
    _flags: c_int,
) -> c_int {
    let Ok(address) = address::decode(address, len) else {
        return EAI_FAMILY;
    };
    let buffer = |place: Out<u8>, len| Buffer {
        place,
        room: denali_abi::convert::u32_to_usize(len),
        used: 0,
    };
    let wrote_host = host.is_null() || write!(buffer(host, host_len), "{}", address.ip()).is_ok();
    let wrote_service =
        service.is_null() || write!(buffer(service, service_len), "{}", address.port()).is_ok();
    if wrote_host && wrote_service {
        0
    } else {
        EAI_OVERFLOW
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::{input, one, output, text};
    use super::*;

    fn hints(family: c_int, kind: c_int, flags: c_int) -> AddrInfo {
        AddrInfo {
            ai_flags: flags,
            ai_family: family,
            ai_socktype: kind,
            ..entry(SocketAddr::from(([0; 4], 0)), Out::NULL)
        }
    }

    #[test]
    fn numbers_become_addresses() {
        let mut list = Out::NULL;
        let hints = [hints(AF_UNSPEC, SOCK_STREAM, AI_CANONNAME)];
        let found = getaddrinfo(
            text(c"10.0.0.1"),
            text(c"8080"),
            input(&hints),
            one(&mut list),
        );
        assert_eq!(found, 0);
        let first = list.read().unwrap();
        let address = address::decode(first.ai_addr.readable(), first.ai_addrlen).unwrap();
        assert_eq!(address, "10.0.0.1:8080".parse().unwrap());
        assert_eq!((first.ai_socktype, first.ai_protocol), (SOCK_STREAM, 6));
        assert!(first.ai_next.is_null());
        assert_eq!(first.ai_canonname.text().bytes(), b"10.0.0.1");
        let mut host = [0; 16];
        let mut port = [0; 6];
        let (host_out, port_out) = (output(&mut host), output(&mut port));
        let told = getnameinfo(
            first.ai_addr.readable(),
            first.ai_addrlen,
            host_out,
            16,
            port_out,
            6,
            0,
        );
        assert_eq!(
            (told, host_out.text().bytes(), port_out.text().bytes()),
            (0, &b"10.0.0.1"[..], &b"8080"[..])
        );
        freeaddrinfo(list);
    }

    #[test]
    fn without_a_host_it_is_ours_and_both_types_are_told() {
        let mut list = Out::NULL;
        assert_eq!(
            getaddrinfo(Text::NULL, text(c"53"), In::NULL, one(&mut list)),
            0
        );
        let first = list.read().unwrap();
        let second = first.ai_next.read().unwrap();
        assert_eq!(
            (first.ai_socktype, second.ai_socktype),
            (SOCK_STREAM, SOCK_DGRAM)
        );
        let address = address::decode(first.ai_addr.readable(), first.ai_addrlen).unwrap();
        assert_eq!(address, "127.0.0.1:53".parse().unwrap());
        freeaddrinfo(list);
    }

    #[test]
    fn what_cannot_be_found_has_its_number() {
        let mut list = Out::NULL;
        let mut ask = |host, service, hints: &AddrInfo| {
            getaddrinfo(host, service, In::from_ref(hints), one(&mut list))
        };
        let plain = hints(AF_UNSPEC, 0, 0);
        assert_eq!(ask(Text::NULL, Text::NULL, &plain), EAI_NONAME);
        assert_eq!(ask(text(c"1.1.1.1"), text(c"http"), &plain), EAI_SERVICE);
        assert_eq!(
            ask(text(c"1.1.1.1"), Text::NULL, &hints(99, 0, 0)),
            EAI_FAMILY
        );
        assert_eq!(
            ask(text(c"1.1.1.1"), Text::NULL, &hints(AF_INET, 3, 0)),
            EAI_SOCKTYPE
        );
        assert_eq!(ask(text(c"a b"), Text::NULL, &plain), EAI_NONAME);
        assert_eq!(
            ask(text(c"name"), Text::NULL, &hints(0, 0, AI_NUMERICHOST)),
            EAI_NONAME
        );
        assert_eq!(
            ask(text(c"::1"), Text::NULL, &hints(AF_INET, 0, 0)),
            EAI_NONAME
        );
        assert_eq!(
            gai_strerror(EAI_NONAME).bytes(),
            b"Name or service not known"
        );
    }
}
