//! Answers every DNS question for an address with the one given as its first argument (RFC 1035).

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use denali_rt::io;
use denali_rt::net::UdpSocket;

denali_rt::entry!(main);

/// Length of the header of a message.
const HEADER_LEN: usize = 12;

fn main() -> io::Result<()> {
    let argument = denali_rt::env::args()
        .next()
        .and_then(|argument| argument.parse().ok());
    let address: Ipv4Addr = argument.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let socket = UdpSocket::bind(53)?;
    denali_rt::println!("answering with {address}");
    let mut question = [0; 512];
    loop {
        let (len, peer) = socket.recv_from(&mut question)?;
        if let Some(answer) = answer(&question[..len], address) {
            socket.send_to(&answer, peer)?;
        }
    }
}

/// Returns the question with one answer behind it: type A, class IN, valid for a minute.
fn answer(question: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    // A name ends with an empty label; type and class follow.
    let name_len = question
        .get(HEADER_LEN..)?
        .iter()
        .position(|&byte| byte == 0)?
        + 1;
    let mut answer = question.get(..HEADER_LEN + name_len + 4)?.to_vec();
    // A response, recursion available, no error; one question, one answer, nothing else.
    answer[2..HEADER_LEN].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    // The name by its position behind the header.
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend_from_slice(&address.octets());
    Some(answer)
}
