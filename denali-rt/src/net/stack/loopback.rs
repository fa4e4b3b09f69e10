//! The way to oneself: 127.0.0.1, `::1` and the VM's own addresses.
//!
//! Packets between sockets of one VM never become frames. They pass through a queue and an interface
//! of their own, which exist from the first such packet on, and nothing from the wire can enter
//! there: a frame that claims a loopback address or one of ours as its source is dropped.

use super::smol;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpProtocol, IpRepr, UdpPacket, UdpRepr};

/// Packets on their way; who wants to send more waits.
const QUEUE_MAX: usize = 256;

/// Longest packet: what the length field of IPv4 can say.
const PACKET_LEN_MAX: usize = 65_535;

/// Bytes of headers before a UDP payload, at most.
const HEADERS_LEN: usize = 40 + 8;

/// Interface and queue.
pub(super) struct Loopback {
    pub(super) interface: Interface,
    pub(super) queue: Queue,
}

/// Packets on their way, the next first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: VecDeque<Vec<u8>>,
}

impl Loopback {
    /// Makes the way to the addresses that are everybody's own.
    pub(super) fn new(seed: u64, now: Instant) -> Box<Self> {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut queue = Queue::default();
        let interface = Interface::new(config, &mut queue, smol(now));
        let mut loopback = Box::new(Self { interface, queue });
        loopback.update(&[]);
        loopback
    }

    /// Follows a change of our addresses on the wire.
    pub(super) fn update(&mut self, addresses: &[IpCidr]) {
        let everybodys = [
            IpCidr::new(Ipv4Addr::LOCALHOST.into(), 8),
            IpCidr::new(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        let ours = addresses.iter().map(|cidr| host_only(cidr.address()));
        let wanted: Vec<_> = everybodys.into_iter().chain(ours).collect();
        if self.interface.ip_addrs() != wanted {
            self.interface.update_ip_addrs(|present| {
                present.clear();
                // Two more than the wire has, which has room for three more than it takes.
                present.extend(wanted);
            });
        }
    }

    /// Sends a datagram, or returns false if the queue is full.
    pub(super) fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        if !self.queue.has_room() {
            return false;
        }
        let udp = UdpRepr {
            src_port: from.port(),
            dst_port: to.port(),
        };
        let (source, destination) = (IpAddress::from(from.ip()), IpAddress::from(to.ip()));
        let len = udp.header_len() + payload.len();
        let ip = IpRepr::new(source, destination, IpProtocol::Udp, len, 64);
        let mut packet = vec![0; ip.buffer_len()];
        ip.emit(&mut packet[..], &ChecksumCapabilities::default());
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut packet[ip.header_len()..]),
            &source,
            &destination,
            payload.len(),
            |buffer| buffer.copy_from_slice(payload),
            &ChecksumCapabilities::default(),
        );
        self.queue.packets.push_back(packet);
        true
    }

    /// Returns the longest datagram.
    pub(super) const fn payload_max() -> usize {
        PACKET_LEN_MAX - HEADERS_LEN
    }
}

fn host_only(address: IpAddress) -> IpCidr {
    match address {
        IpAddress::Ipv4(_) => IpCidr::new(address, 32),
        IpAddress::Ipv6(_) => IpCidr::new(address, 128),
    }
}

/// Returns whether an address is everybody's own.
pub(super) fn is_everybodys_own(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

impl Queue {
    /// Returns the next packet, without taking it.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        self.packets.front().map(Vec::as_slice)
    }

    /// Drops the next packet.
    pub(super) fn skip(&mut self) {
        self.packets.pop_front();
    }

    /// Returns whether another packet may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.packets.len() < QUEUE_MAX
    }

    /// Returns whether no packet is on its way. Frees the queue if it was a long one.
    pub(super) fn is_at_rest(&mut self) -> bool {
        if self.packets.is_empty() {
            self.packets = VecDeque::new();
        }
        self.packets.is_empty()
    }
}

/// A packet taken from the queue.
#[derive(Debug)]
pub(super) struct Taken(Vec<u8>);

impl RxToken for Taken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// The right to send a packet.
#[derive(Debug)]
pub(super) struct Room<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Queue {
    type RxToken<'a> = Taken;
    type TxToken<'a> = Room<'a>;

    /// The answer to a packet goes out whatever the length of the queue: it takes the packet's place.
    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Taken, Room<'_>)> {
        let packet = self.packets.pop_front()?;
        Some((Taken(packet), Room(&mut self.packets)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Room<'_>> {
        self.has_room().then_some(Room(&mut self.packets))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = PACKET_LEN_MAX;
        // Nothing is damaged on the way.
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}
