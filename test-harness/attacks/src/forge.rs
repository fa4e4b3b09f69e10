//! Frames from scratch: Ethernet, ARP, IPv4, UDP, IPv6 and ICMPv6, as true or false as asked.

use crate::raw::{address_of, descriptor, shared, transmit, wait};
use alloc::vec::Vec;
use denali_abi::net::{NetworkConfig, RING_LEN};
use denali_rt::registers;

/// Everybody.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// The supervisor of a local host.
pub const SUPERVISOR: [u8; 4] = [10, 90, 0, 15];

/// An address of the documentation (RFC 5737), so nobody's.
pub const NOBODY: [u8; 4] = [192, 0, 2, 1];

/// Returns this VM's network.
#[must_use]
pub fn own() -> &'static NetworkConfig {
    &registers::get().network
}

/// Returns the hardware address of somebody else: the VM created before this one.
#[must_use]
pub fn neighbour() -> [u8; 6] {
    let mut mac = own().mac;
    mac[5] = mac[5].wrapping_sub(1);
    mac
}

/// Sends frames, one descriptor each.
pub fn send(frames: &[Vec<u8>]) {
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        transmit(&[descriptor(address_of(frame.as_ptr()), length)]);
    }
}

/// Returns an Ethernet frame.
#[must_use]
pub fn ethernet(to: [u8; 6], from: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// Returns an ARP packet (RFC 826).
#[must_use]
pub fn arp(operation: u8, mac: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let kind = [0, 1, 8, 0, 6, 4, 0, operation];
    [&kind[..], &mac, &sender, &[0; 6], &target].concat()
}

/// Returns an IPv4 packet (RFC 791).
#[must_use]
pub fn ipv4(source: [u8; 4], target: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 20).unwrap_or(u16::MAX);
    let mut packet = Vec::from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0]);
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&source);
    packet.extend_from_slice(&target);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// Returns a UDP datagram without a checksum (RFC 768).
#[must_use]
pub fn udp(source: u16, target: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
    let mut datagram: Vec<u8> = [source, target, length, 0]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect();
    datagram.extend_from_slice(payload);
    datagram
}

/// Returns an IPv6 packet (RFC 8200) to all nodes.
#[must_use]
pub fn ipv6(source: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let mut all_nodes = [0; 16];
    all_nodes[..2].copy_from_slice(&[0xff, 2]);
    all_nodes[15] = 1;
    let head = [0x60, 0, 0, 0, length[0], length[1], next, 255];
    [&head[..], &source, &all_nodes, payload].concat()
}

/// Returns the link-local address of a hardware address (RFC 4291 appendix A).
#[must_use]
pub fn link_local(mac: [u8; 6]) -> [u8; 16] {
    let [a, b, c, d, e, f] = mac;
    [
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ]
}

/// Returns a message of a DHCP server (RFC 2131) that offers `address` to `client`.
#[must_use]
pub fn dhcp(operation: u8, kind: u8, client: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    let mut message = alloc::vec![0; 240];
    message[..4].copy_from_slice(&[operation, 1, 6, 0]);
    message[16..20].copy_from_slice(&address);
    message[28..34].copy_from_slice(&client);
    message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend_from_slice(&[53, 1, kind, 255]);
    message
}

/// Returns the internet checksum of an IPv4 header.
fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

/// Returns an honest question for the router, which answers this VM alone.
#[must_use]
pub fn question() -> Vec<u8> {
    let NetworkConfig {
        mac,
        address,
        gateway,
        ..
    } = *own();
    ethernet(BROADCAST, mac, 0x0806, &arp(1, mac, address, gateway))
}

/// Posts `count` receive buffers of `length` bytes, all of the memory in one.
pub fn post(buffers: &[u64], length: u32) {
    shared(|page| {
        for &buffer in buffers {
            page.rx[(page.rx_posted % RING_LEN) as usize] = descriptor(buffer, length);
            page.rx_posted = page.rx_posted.wrapping_add(1);
        }
    });
}

/// Asks the router something and waits for frames, so that the kernel looks at the receive ring.
pub fn provoke_delivery() {
    for _ in 0..20 {
        send(&[question()]);
        wait(100);
        if shared(|page| page.rx_filled) != 0 {
            return;
        }
    }
}
