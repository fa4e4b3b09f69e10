//! Connects to port 80 of every address given as an argument, and tells who answered.

#![no_std]
#![cfg_attr(denali, no_main)]

use core::net::{Ipv4Addr, SocketAddr};
use denali_rt::io::{Read, Write};
use denali_rt::net::TcpStream;

denali_rt::entry!(main);

fn main() {
    let answered = denali_rt::env::args()
        .filter(|address| answers(address))
        .count();
    denali_rt::println!("{answered} answered");
}

fn answers(address: &str) -> bool {
    let Ok(address) = address.parse::<Ipv4Addr>() else {
        return false;
    };
    let Ok(mut stream) = TcpStream::connect(SocketAddr::new(address.into(), 80)) else {
        return false;
    };
    let mut start = [0; 12];
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: neighbour\r\n\r\n")
        .is_ok()
        && stream.read_exact(&mut start).is_ok()
        && start == *b"HTTP/1.1 200"
}
