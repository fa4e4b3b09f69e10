//! A port of this machine that nobody has.
//!
//! Somebody else binds it a moment later, so it must not be one that Linux gives to whoever connects
//! in between: those it takes from `ip_local_port_range` (ip(7)), 32768 and up unless told otherwise.

use crate::failure::{Failure, Status};
use anyhow::Result;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;

const PORTS: Range<u16> = 16_384..32_768;

/// Finds a port of 127.0.0.1 that is free for TCP and UDP now. Which one is left to chance, so that
/// two who look at the same time hardly find the same.
///
/// # Errors
///
/// All are taken.
pub fn free_port() -> Result<u16> {
    let [low, high, ..] = RandomState::new().hash_one(()).to_le_bytes();
    let count = PORTS.end - PORTS.start;
    let first = u16::from_le_bytes([low, high]) % count;
    let mut all = (0..count).map(|step| PORTS.start + (first + step) % count);
    let free = |port: &u16| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let taken = || {
        let what = format!("no port of {} to {} is free", PORTS.start, PORTS.end - 1);
        Failure::new(Status::Refused, what)
            .help("end what listens on them, or name a port with --port")
    };
    all.find(free).ok_or_else(|| taken().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_bound_and_is_no_ephemeral_port() {
        for _ in 0..100 {
            let port = free_port().unwrap();
            assert!(PORTS.contains(&port), "{port}");
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
