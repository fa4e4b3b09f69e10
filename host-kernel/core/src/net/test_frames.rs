//! Frames, stations and random numbers for the tests of this folder.

use super::ethernet::Mac;
use super::switch::Switch;
use denali_abi::net::{NetworkConfig, addressing};
use std::vec;
use std::vec::Vec;

pub(super) const NIC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
pub(super) const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
pub(super) const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
pub(super) const D: Mac = Mac([2, 0, 0, 0, 0, 0xd]);
pub(super) const ELSEWHERE: Mac = Mac([2, 0, 0, 0, 0, 0xee]);
pub(super) const IP_A: [u8; 4] = [10, 90, 1, 1];
pub(super) const IP_B: [u8; 4] = [10, 90, 1, 2];
pub(super) const IP_D: [u8; 4] = [10, 90, 9, 9];
pub(super) const IP_ELSEWHERE: [u8; 4] = [10, 90, 0, 2];
pub(super) const ANY: [u8; 4] = [0; 4];
pub(super) const ALL: [u8; 4] = [255; 4];
pub(super) const VM_A: u32 = 3;
pub(super) const VM_B: u32 = 40;
pub(super) const VM_D: u32 = 5;

/// A xorshift generator (Marsaglia 2003); the seed is the state and must not be zero.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

pub(super) fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to.0[..], &from.0, &ethertype.to_be_bytes(), payload].concat()
}

pub(super) fn arp(to: Mac, from: Mac, op: u8, sender: (Mac, [u8; 4]), target: [u8; 4]) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, op];
    let packet = [&fixed[..], &sender.0.0, &sender.1, &[0; 6], &target].concat();
    ethernet(to, from, 0x0806, &packet)
}

pub(super) fn ipv4(to: Mac, from: Mac, ips: [[u8; 4]; 2], protocol: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let fixed = [0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0];
    let packet = [&fixed[..], &ips[0], &ips[1], body].concat();
    ethernet(to, from, 0x0800, &packet)
}

pub(super) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let ports = [
        source.to_be_bytes(),
        destination.to_be_bytes(),
        length.to_be_bytes(),
        [0; 2],
    ];
    [ports.as_flattened(), payload].concat()
}

/// A DHCP message: `op` 1 asks, 2 answers; `kind` is its message type.
pub(super) fn dhcp(op: u8, kind: u8, transaction: u32, client: Mac, yours: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..4].copy_from_slice(&[op, 1, 6, 0]);
    message[4..8].copy_from_slice(&transaction.to_be_bytes());
    message[16..20].copy_from_slice(&yours);
    message[28..34].copy_from_slice(&client.0);
    message[236..240].copy_from_slice(&[99, 130, 83, 99]);
    message.extend([0, 54, 4, 10, 0, 2, 2, 53, 1, kind, 255]);
    message
}

pub(super) fn ipv6(to: Mac, from: Mac, source: [u8; 16], next: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let fixed = [0x60, 0, 0, 0, high, low, next, 255];
    let packet = [&fixed[..], &source, &[0xff; 16], body].concat();
    ethernet(to, from, 0x86dd, &packet)
}

/// Returns the address of a station in the network fe80::/64.
pub(super) fn link_local(mac: Mac) -> [u8; 16] {
    in_network([0xfe, 0x80, 0, 0, 0, 0, 0, 0], mac)
}

/// Returns the address of a station in a network.
pub(super) fn in_network(network: [u8; 8], mac: Mac) -> [u8; 16] {
    let mut address = [0; 16];
    address[..8].copy_from_slice(&network);
    address[8..].copy_from_slice(&mac.identifier());
    address
}

pub(super) fn config(mac: Mac, address: [u8; 4], addressing: u32) -> NetworkConfig {
    NetworkConfig {
        mac: mac.0,
        address,
        addressing,
        prefix_len: 16,
        ..Default::default()
    }
}

/// A and B have static addresses, D asks a DHCP server.
pub(super) fn switch() -> Switch {
    let mut switch = Switch::new(NIC.0);
    switch
        .connect(VM_A, &config(A, IP_A, addressing::STATIC))
        .unwrap();
    switch
        .connect(VM_B, &config(B, IP_B, addressing::STATIC))
        .unwrap();
    switch
        .connect(VM_D, &config(D, ANY, addressing::DHCP))
        .unwrap();
    switch
}

pub(super) fn tcp(to: Mac, from: Mac, source: [u8; 4]) -> Vec<u8> {
    ipv4(to, from, [source, IP_B], 6, &[0; 20])
}

pub(super) fn request(client: Mac, transaction: u32) -> Vec<u8> {
    let message = udp(68, 67, &dhcp(1, 3, transaction, client, ANY));
    ipv4(Mac::BROADCAST, client, [ANY, ALL], 17, &message)
}
