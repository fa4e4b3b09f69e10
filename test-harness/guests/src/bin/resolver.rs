//! Looks up the name given as its first argument and prints what it finds.
//!
//! It asks the host's name server, or the one whose address is the second argument.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use denali_rt::env;
use denali_rt::io::{self, ErrorKind};
use denali_rt::net::{UdpSocket, lookup};

denali_rt::entry!(main);

/// Questions asked before giving up: a datagram may be lost.
const TRIES: u32 = 5;

fn main() -> io::Result<()> {
    let name = env::args().next().unwrap_or("localhost");
    let address = match env::args()
        .nth(1)
        .and_then(|server| server.parse::<Ipv4Addr>().ok())
    {
        Some(server) => ask(name, server)?,
        None => lookup(name)?
            .first()
            .ok_or(ErrorKind::NotFound)?
            .to_string(),
    };
    denali_rt::println!("{name} is {address}");
    Ok(())
}

/// Asks `server` for the IPv4 address of `name` (RFC 1035 §4.1).
fn ask(name: &str, server: Ipv4Addr) -> io::Result<alloc::string::String> {
    let mut question = Vec::from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).map_err(|_| ErrorKind::InvalidInput)?);
        question.extend_from_slice(label.as_bytes());
    }
    // The empty label; type A, class IN.
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind(0)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut answer = [0; 512];
    for _ in 0..TRIES {
        socket.send_to(&question, SocketAddr::new(IpAddr::V4(server), 53))?;
        let Ok((len, _)) = socket.recv_from(&mut answer) else {
            continue;
        };
        if let Some(address) = answer[..len].last_chunk::<4>() {
            return Ok(Ipv4Addr::from(*address).to_string());
        }
    }
    Err(ErrorKind::TimedOut.into())
}
