//! Joins and leaves a multicast group as it is told by datagrams on port 5007, and says how many others
//! it has heard.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::format;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use denali_rt::io;
use denali_rt::net::UdpSocket;

denali_rt::entry!(main);

/// The group, by either protocol.
const GROUPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3)),
    IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x0102, 0x0003)),
];

fn main() -> io::Result<()> {
    let socket = UdpSocket::bind(5007)?;
    denali_rt::println!("listening");
    let mut heard = 0;
    let mut words = [0; 64];
    loop {
        let (len, peer) = socket.recv_from(&mut words)?;
        match &words[..len] {
            b"join" => GROUPS
                .iter()
                .try_for_each(|&group| socket.join_multicast(group))?,
            b"leave" => GROUPS
                .iter()
                .try_for_each(|&group| socket.leave_multicast(group))?,
            b"count" => {}
            _ => {
                heard += 1;
                continue;
            }
        }
        socket.send_to(format!("{heard}").as_bytes(), peer)?;
    }
}
