//! Sends datagrams under names that are not its own, past its library OS, and an honest one last.
//!
//! They go to port 9999 of the address given as the first argument.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

extern crate alloc;

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::net::{Descriptor, NetworkConfig, RING_LEN};
use denali_abi::shared::SharedPage;

denali_rt::entry!(main);

/// An address of the documentation (RFC 5737), so nobody's.
const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

const BROADCAST: [u8; 6] = [0xff; 6];

fn main() -> Result<(), &'static str> {
    let target = denali_rt::env::args()
        .next()
        .and_then(|argument| argument.parse().ok());
    let target: Ipv4Addr = target.ok_or("no address to send to")?;
    let own: &NetworkConfig = &denali_rt::registers::get().network;
    let address = Ipv4Addr::from(own.address);
    let other_mac = own.mac.map(|byte| byte ^ 2);
    send(&datagram(other_mac, address, target, b"forged mac"));
    send(&datagram(own.mac, NOBODY, target, b"forged address"));
    send(&datagram(own.mac, target, target, b"forged victim"));
    send(&arp_reply(own.mac, target));
    send(&datagram(own.mac, address, target, b"honest"));
    denali_rt::println!("sent");
    Ok(())
}

/// Puts one frame into the transmit ring and has it sent.
fn send(frame: &[u8]) {
    let shared = SHARED_ADDRESS as *mut SharedPage;
    // SAFETY: the shared page is this VM's, and nothing else runs.
    let mut page = unsafe { shared.read_volatile() };
    let length = u32::try_from(frame.len()).unwrap_or(0);
    let descriptor = Descriptor {
        address: frame.as_ptr() as u64,
        length,
        flags: 0,
        segment_size: 0,
    };
    page.tx[(page.tx_produced % RING_LEN) as usize] = descriptor;
    page.tx_produced = page.tx_produced.wrapping_add(1);
    // SAFETY: as above.
    unsafe { shared.write_volatile(page) };
    denali_rt::hypercall::network_notify();
}

/// Returns a UDP datagram to port 9999 in a broadcast frame.
fn datagram(mac: [u8; 6], source: Ipv4Addr, target: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let [udp_len, ip_len] = [8, 28].map(|more| u16::try_from(payload.len() + more).unwrap_or(0));
    let mut ip = Vec::from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
    ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
    ip.extend_from_slice(&source.octets());
    ip.extend_from_slice(&target.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&BROADCAST[..], &mac, &[8, 0], &ip].concat();
    // Source port, destination port, length, no checksum.
    for word in [9999, 9999, udp_len, 0] {
        frame.extend_from_slice(&word.to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

/// Returns the internet checksum of an IPv4 header (RFC 791 §3.1).
fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

/// Returns an ARP reply that claims `address` for `mac` (RFC 826).
fn arp_reply(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let kind = [0, 1, 8, 0, 6, 4, 0, 2];
    let claim = [&mac[..], &address.octets()].concat();
    [&BROADCAST[..], &mac, &[8, 6], &kind, &claim, &claim].concat()
}
