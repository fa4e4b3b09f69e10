//! Prints every datagram that comes to port 9999, and from where.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::string::String;
use denali_rt::io;
use denali_rt::net::UdpSocket;

denali_rt::entry!(main);

fn main() -> io::Result<()> {
    let socket = UdpSocket::bind(9999)?;
    denali_rt::println!("listening");
    let mut datagram = [0; 64];
    loop {
        let (len, peer) = socket.recv_from(&mut datagram)?;
        denali_rt::println!("{peer}: {}", String::from_utf8_lossy(&datagram[..len]));
    }
}
