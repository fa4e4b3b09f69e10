//! The other end of a host's Ethernet: IPv4 packets in and out of frames, neighbours found by ARP.
//!
//! Frames are datagrams of Unix sockets, as `host up --ethernet` makes them. Every neighbour has its
//! own entry and its own patience, so that asking for ten thousand at once works; the interface
//! above sees packets only.

use denali_build::qemu::UPLINK;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as Time;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Ipv4Packet,
};
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest frame, without its checksum.
const FRAME_MAX: usize = 1514;

/// Our hardware address.
const OURS: EthernetAddress = EthernetAddress([0x02, 0xff, 0xff, 0x10, 0xad, 0x01]);

/// Time between two questions for one neighbour.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// Packets that wait for one neighbour's address.
const WAITING_MAX: usize = 4;

/// A neighbour.
#[derive(Debug)]
enum Neighbour {
    Known(EthernetAddress),
    Asked { at: Instant, waiting: Vec<Vec<u8>> },
}

/// The link; its sockets go with it.
#[derive(Debug)]
pub struct Link {
    socket: UnixDatagram,
    host: PathBuf,
    address: Ipv4Addr,
    neighbours: HashMap<Ipv4Addr, Neighbour>,
    received: VecDeque<Vec<u8>>,
    backlog: VecDeque<Vec<u8>>,
}

impl Link {
    /// Waits in `folder` for a host to come up there; our address is `address`.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub fn bind(folder: &Path, address: Ipv4Addr) -> io::Result<Self> {
        let [host, ours] = UPLINK;
        let socket = UnixDatagram::bind(folder.join(ours))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            host: folder.join(host),
            address,
            neighbours: HashMap::new(),
            received: VecDeque::new(),
            backlog: VecDeque::new(),
        })
    }

    /// Takes in what has arrived, answers who asks for us, and asks again for silent neighbours.
    ///
    /// # Errors
    ///
    /// The socket fails.
    pub fn turn(&mut self) -> io::Result<()> {
        let mut frame = vec![0; 65536];
        loop {
            match self.socket.recv(&mut frame) {
                Ok(length) => self.take(&frame[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let now = Instant::now();
        let silent: Vec<Ipv4Addr> = self
            .neighbours
            .iter_mut()
            .filter_map(|(address, neighbour)| match neighbour {
                Neighbour::Asked { at, .. } if now - *at > ASK_AGAIN => {
                    *at = now;
                    Some(*address)
                }
                _ => None,
            })
            .collect();
        for address in silent {
            self.ask(address);
        }
        while let Some(frame) = self.backlog.pop_front() {
            if !self.put(&frame) {
                self.backlog.push_front(frame);
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        let Ok(frame) = EthernetFrame::new_checked(bytes) else {
            return;
        };
        match frame.ethertype() {
            EthernetProtocol::Ipv4 if frame.dst_addr() == OURS => {
                self.received.push_back(frame.payload().to_vec());
            }
            EthernetProtocol::Arp => self.take_arp(frame.payload()),
            _ => {}
        }
    }

    fn take_arp(&mut self, payload: &[u8]) {
        let packet = ArpPacket::new_checked(payload);
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = packet.and_then(|packet| ArpRepr::parse(&packet))
        else {
            return;
        };
        if target_protocol_addr != self.address {
            return;
        }
        match operation {
            ArpOperation::Request => {
                let reply = self.arp(
                    ArpOperation::Reply,
                    source_hardware_addr,
                    source_protocol_addr,
                );
                self.send(reply);
            }
            ArpOperation::Reply => {
                let known = Neighbour::Known(source_hardware_addr);
                let before = self.neighbours.insert(source_protocol_addr, known);
                if let Some(Neighbour::Asked { waiting, .. }) = before {
                    for packet in waiting {
                        self.send(framed(source_hardware_addr, &packet));
                    }
                }
            }
            ArpOperation::Unknown(_) => {}
        }
    }

    /// Sends an IPv4 packet, when its receiver is known.
    fn send_packet(&mut self, packet: Vec<u8>) {
        let Ok(header) = Ipv4Packet::new_checked(&packet) else {
            return;
        };
        let to = header.dst_addr();
        match self.neighbours.get_mut(&to) {
            Some(Neighbour::Known(hardware)) => {
                let frame = framed(*hardware, &packet);
                self.send(frame);
            }
            Some(Neighbour::Asked { waiting, .. }) => {
                if waiting.len() < WAITING_MAX {
                    waiting.push(packet);
                }
            }
            None => {
                let asked = Neighbour::Asked {
                    at: Instant::now(),
                    waiting: vec![packet],
                };
                self.neighbours.insert(to, asked);
                self.ask(to);
            }
        }
    }

    fn ask(&mut self, address: Ipv4Addr) {
        let request = self.arp(ArpOperation::Request, EthernetAddress::BROADCAST, address);
        self.send(request);
    }

    fn arp(&self, operation: ArpOperation, to: EthernetAddress, address: Ipv4Addr) -> Vec<u8> {
        let repr = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: OURS,
            source_protocol_addr: self.address,
            target_hardware_addr: to,
            target_protocol_addr: address,
        };
        let mut payload = vec![0; repr.buffer_len()];
        repr.emit(&mut ArpPacket::new_unchecked(&mut payload));
        let ethernet = EthernetRepr {
            src_addr: OURS,
            dst_addr: to,
            ethertype: EthernetProtocol::Arp,
        };
        with_header(&ethernet, &payload)
    }

    fn send(&mut self, frame: Vec<u8>) {
        if !self.backlog.is_empty() || !self.put(&frame) {
            self.backlog.push_back(frame);
        }
    }

    /// Hands a frame to the host; `false` if it has no room now, or is not there yet.
    fn put(&self, frame: &[u8]) -> bool {
        self.socket.send_to(frame, &self.host).is_ok()
    }
}

fn framed(to: EthernetAddress, packet: &[u8]) -> Vec<u8> {
    let ethernet = EthernetRepr {
        src_addr: OURS,
        dst_addr: to,
        ethertype: EthernetProtocol::Ipv4,
    };
    with_header(&ethernet, packet)
}

fn with_header(ethernet: &EthernetRepr, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; EthernetFrame::<&[u8]>::header_len() + payload.len()];
    let mut view = EthernetFrame::new_unchecked(&mut frame);
    ethernet.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    frame
}

/// A received packet.
#[derive(Debug)]
pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// Room for a packet to send.
#[derive(Debug)]
pub struct Room<'a>(&'a mut Link);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.send_packet(packet);
        result
    }
}

impl Device for Link {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Time) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), Room(self)))
    }

    fn transmit(&mut self, _: Time) -> Option<Self::TxToken<'_>> {
        Some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = FRAME_MAX - 14;
        capabilities
    }
}
