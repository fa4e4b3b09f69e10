//! The Ethernet switch among the VMs and the wire.
//!
//! It demultiplexes by hardware address, whose owners it knows beforehand: nothing is learnt from
//! sources, so no guest can draw another's frames to itself. Broadcasts that concern one VM or
//! none wake one VM or none: sleeping services outnumber working ones by far.

use super::ethernet::{
    Arp, ArpOperation, Dhcp, DhcpOperation, Frame, Ipv4, Mac, Udp, ethertype, port, protocol,
};
use super::group::{self, GroupFilter};
use super::ipv6::{self, Icmpv6, Ipv6, icmpv6};
use super::ports::{address_key, is_host_address};
use super::refusal::{Refusal, RefusalCounters};
use super::source::{self, Addressing, Identity, Kind};
use super::succession::Succession;
use super::table::{self, Table};
use alloc::vec::Vec;
use denali_abi::convert::u32_to_usize;
use denali_abi::net::FRAME_LEN_MAX;

/// Ports of a switch; VM indices are below.
pub const PORTS_MAX: u32 = 1 << 20;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the physical network.
    Wire,
    /// To this VM.
    Vm(u32),
    /// To every VM that [`Switch::hears`] it. Offer it to the wire first: then a full NIC can still
    /// leave it with its sender.
    AllVms {
        /// Who hears it.
        audience: Audience,
        /// The sender, which does not hear itself.
        except: Option<u32>,
        /// Whether the physical network gets it too.
        wire: bool,
    },
    /// To nobody.
    Nowhere,
}

/// Whom a frame to a group concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All.
    Everybody,
    /// Who has reported to be in this group.
    Group(Mac),
    /// Who has asked for a router and has not heard of one since.
    AwaitingRouter,
    /// Two VMs with one address.
    Twins([u32; 2]),
}

/// One VM's place at the switch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) identity: Identity,
    /// The DHCP transaction that may bring an address.
    pub(super) transaction: Option<u32>,
    pub(super) groups: GroupFilter,
    pub(super) awaits_router: bool,
}

const _: () = assert!(size_of::<Option<Port>>() <= 32);

/// Most bytes that a VM takes in the switch: its port, and its places in both tables.
pub const ENTRY_BYTES: usize = size_of::<Option<Port>>() + 2 * table::ENTRY_BYTES_MAX;

/// The switch of one host.
#[derive(Debug)]
pub struct Switch {
    has_wire: bool,
    /// By VM index.
    pub(super) ports: Vec<Option<Port>>,
    pub(super) connected: usize,
    pub(super) by_mac: Table,
    pub(super) by_address: Table,
    pub(super) successions: Vec<Succession>,
    refused: RefusalCounters,
}

impl Switch {
    /// Makes a switch whose wire is the NIC with address `nic_mac`; all zero means no wire.
    #[must_use]
    pub fn new(nic_mac: [u8; 6]) -> Self {
        Self {
            has_wire: nic_mac != [0; 6],
            ports: Vec::new(),
            connected: 0,
            by_mac: Table::default(),
            by_address: Table::default(),
            successions: Vec::new(),
            refused: RefusalCounters::default(),
        }
    }

    /// Checks a frame that `vm` sends and returns where it goes.
    ///
    /// # Errors
    ///
    /// Why the frame is dropped; it is counted already.
    pub fn check_transmit(&mut self, vm: u32, frame: &[u8]) -> Result<Destination, Refusal> {
        let result = if frame.len() > FRAME_LEN_MAX {
            Err(Refusal::Length)
        } else {
            self.checked_route(vm, frame)
        };
        self.record(result)
    }

    /// Checks a super-segment that `vm` sends and returns where it goes, always to one.
    ///
    /// # Errors
    ///
    /// Why the frame is dropped; it is counted already.
    pub fn check_super_segment(&mut self, vm: u32, frame: &[u8]) -> Result<Destination, Refusal> {
        let result = match self.checked_route(vm, frame) {
            Ok(Destination::AllVms { .. }) => Err(Refusal::Malformed),
            result => result,
        };
        self.record(result)
    }

    /// Counts a refusal.
    pub fn record<T>(&mut self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        if let Err(refusal) = result {
            self.refused.record(refusal);
        }
        result
    }

    /// Returns where a frame from the wire goes, and learns from it a lease that a VM asked for.
    pub fn route_received(&mut self, frame: &[u8]) -> Destination {
        let Some(frame) = Frame::parse(frame) else {
            return Destination::Nowhere;
        };
        let known = matches!(
            frame.ethertype,
            ethertype::IPV4 | ethertype::ARP | ethertype::IPV6
        );
        // A source of ours is an echo or a forgery: VMs' frames to each other never reach the wire.
        let ours = self.by_mac.get(frame.source.key()).is_some();
        if !known || ours || frame.destination.is_reserved_group() {
            return Destination::Nowhere;
        }
        let lease = self.learn_lease(&frame);
        if !frame.destination.is_group() && !cfg!(sabotage = "flood-unicast") {
            // Of two with one address the one that asked its DHCP server.
            let is_theirs = |vm: &u32| {
                let port = self.port(*vm);
                port.is_some_and(|port| port.identity.mac == frame.destination)
            };
            if let Some(asker) = lease.flatten().filter(is_theirs) {
                return Destination::Vm(asker);
            }
            let owner = self.by_mac.get(frame.destination.key());
            return owner.map_or(Destination::Nowhere, |owner| {
                self.recipient(owner, &frame, None)
            });
        }
        if let Some(recipient) = lease {
            return recipient.map_or(Destination::Nowhere, Destination::Vm);
        }
        let everybody = Destination::AllVms {
            audience: audience(frame.destination),
            except: None,
            wire: false,
        };
        match frame.ethertype {
            ethertype::ARP => {}
            ethertype::IPV6 => return self.route_received_ipv6(&frame).unwrap_or(everybody),
            _ => return everybody,
        }
        match Arp::parse(frame.payload) {
            // An announcement (RFC 5227 §2.3) is news to all that have the sender in their cache.
            Some(arp) if arp.operation == ArpOperation::Reply || arp.sender == arp.target => {
                everybody
            }
            Some(arp) => self
                .owner(arp.target)
                .map_or(Destination::Nowhere, Destination::Vm),
            None => Destination::Nowhere,
        }
    }

    /// Returns where the kernel's answer to somebody's question goes.
    pub fn route_answer(&mut self, frame: &[u8]) -> Destination {
        let frame = Frame::parse(frame).filter(|frame| !frame.destination.is_group());
        let Some(frame) = frame else {
            return Destination::Nowhere;
        };
        match self.by_mac.get(frame.destination.key()) {
            Some(owner) => self.recipient(owner, &frame, None),
            None => self.wire(),
        }
    }

    /// Returns where neighbour discovery from the wire goes; `None` for anything else.
    ///
    /// An advertisement that nobody here asked for wakes nobody: routers send them every few minutes
    /// (RFC 4861 §6.2.1), and who sleeps can ask when it wakes.
    fn route_received_ipv6(&self, frame: &Frame<'_>) -> Option<Destination> {
        let packet = Ipv6::parse(frame.payload)?;
        let message = Icmpv6::parse(packet.payload);
        match message.filter(|_| packet.protocol == protocol::ICMPV6)? {
            message if message.kind == icmpv6::NEIGHBOR_SOLICITATION => {
                let owner = message.target().and_then(|target| self.owner6(target));
                Some(owner.map_or(Destination::Nowhere, Destination::Vm))
            }
            message if message.kind == icmpv6::ROUTER_ADVERTISEMENT => Some(Destination::AllVms {
                audience: Audience::AwaitingRouter,
                except: None,
                wire: false,
            }),
            _ => None,
        }
    }

    /// Returns whether `vm` hears a frame to this audience. A router that is awaited is so once.
    pub fn hears(&mut self, vm: u32, audience: Audience) -> bool {
        let port = self.ports.get_mut(u32_to_usize(vm));
        port.and_then(Option::as_mut)
            .is_some_and(|port| match audience {
                Audience::Everybody => true,
                Audience::Group(group) => port.groups.hears(group),
                Audience::AwaitingRouter => core::mem::take(&mut port.awaits_router),
                Audience::Twins(twins) => twins.contains(&vm),
            })
    }

    /// Returns the IPv4 address of `vm`: configured, or learnt from its DHCP server.
    #[must_use]
    pub fn address_of(&self, vm: u32) -> Option<[u8; 4]> {
        self.port(vm)?.identity.address
    }

    /// Returns the indices of all VMs with a port, in order.
    pub fn connected(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.ports)
            .filter_map(|(vm, port)| port.is_some().then_some(vm))
    }

    /// Returns how often frames were refused on transmit, by reason.
    #[must_use]
    pub const fn refused(&self) -> &RefusalCounters {
        &self.refused
    }

    pub(super) fn port(&self, vm: u32) -> Option<&Port> {
        self.ports.get(u32_to_usize(vm))?.as_ref()
    }

    pub(super) fn owner(&self, address: [u8; 4]) -> Option<u32> {
        self.by_address.get(address_key(address))
    }

    /// Returns the VM whose IPv6 address this is, by its interface identifier.
    fn owner6(&self, address: [u8; 16]) -> Option<u32> {
        self.by_mac.get(ipv6::station(address)?.key())
    }

    /// Returns the VM that has the addresses of `vm`, too.
    pub(super) fn twin(&self, vm: u32) -> Option<u32> {
        let mut all = self.successions.iter();
        all.find_map(|succession| succession.twin(vm))
    }

    /// Returns where a frame goes that is for the addresses of `owner`.
    fn recipient(&mut self, owner: u32, frame: &Frame<'_>, from: Option<u32>) -> Destination {
        let mut all = self.successions.iter_mut();
        match all.find(|succession| succession.twin(owner).is_some()) {
            Some(succession) => succession.recipient(frame, from),
            None => Destination::Vm(owner),
        }
    }

    fn wire(&self) -> Destination {
        if self.has_wire {
            Destination::Wire
        } else {
            Destination::Nowhere
        }
    }

    fn checked_route(&mut self, vm: u32, frame: &[u8]) -> Result<Destination, Refusal> {
        let port = self
            .ports
            .get_mut(u32_to_usize(vm))
            .and_then(Option::as_mut);
        let port = port.ok_or(Refusal::NotConnected)?;
        let checked = source::check_super_segment(&port.identity, frame)?;
        if let Kind::DhcpRequest { transaction } = checked.kind
            && port.identity.addressing == Addressing::Dhcp
        {
            port.transaction = Some(transaction);
        }
        match checked.kind {
            Kind::RouterSolicitation => port.awaits_router = true,
            Kind::GroupReport => port.groups.hear_report(&checked.frame),
            _ => {}
        }

        let (to, own) = (checked.frame.destination, port.identity.mac);
        for succession in &mut self.successions {
            succession.note_sent(vm, &checked.frame);
        }
        if !to.is_group() {
            return Ok(match self.by_mac.get(to.key()) {
                _ if to == own => Destination::Nowhere,
                Some(owner) => self.recipient(owner, &checked.frame, Some(vm)),
                None => self.wire(),
            });
        }
        Ok(match checked.kind {
            // Every address of a VM is known here, so only its owner or the wire can answer.
            Kind::ArpRequest { target } => match self.owner(target) {
                Some(owner) if owner != vm => Destination::Vm(owner),
                _ => self.wire(),
            },
            // Every IPv6 address of a VM tells its owner.
            Kind::NeighborSolicitation { target } => match self.owner6(target) {
                Some(owner) if owner != vm => Destination::Vm(owner),
                _ => self.wire(),
            },
            // No VM may be a DHCP server or a router.
            Kind::DhcpRequest { .. } | Kind::RouterSolicitation | Kind::GroupReport => self.wire(),
            Kind::Ordinary => Destination::AllVms {
                audience: audience(to),
                except: Some(vm),
                wire: self.has_wire,
            },
        })
    }

    /// Takes note of a DHCP server's answer.
    ///
    /// Returns `None` if the frame is none, else the VM that asked, if it is here.
    fn learn_lease(&mut self, frame: &Frame<'_>) -> Option<Option<u32>> {
        let message = dhcp_reply(frame)?;
        let vm = self.by_mac.get(message.client.key());
        let Some(vm) = vm else { return Some(None) };
        let vm = self
            .twin(vm)
            .filter(|twin| self.is_awaited(*twin, message.transaction))
            .unwrap_or(vm);
        let addressed = frame.destination == message.client || frame.destination == Mac::BROADCAST;
        if addressed
            && message.message_type() == Some(Dhcp::ACKNOWLEDGE)
            && self.is_awaited(vm, message.transaction)
        {
            self.lease(vm, message.your_address);
        }
        Some(Some(vm))
    }

    fn is_awaited(&self, vm: u32, transaction: u32) -> bool {
        self.port(vm)
            .is_some_and(|port| port.transaction == Some(transaction))
    }

    /// Gives `vm` the address a DHCP server acknowledged, and takes it from a VM whose lease the
    /// server must have considered over. An address given by the supervisor stays where it is.
    fn lease(&mut self, vm: u32, address: [u8; 4]) {
        if !is_host_address(address) {
            return;
        }
        if let Some(owner) = self.owner(address)
            && owner != vm
            && self.twin(vm) != Some(owner)
        {
            let Some(Some(other)) = self.ports.get_mut(u32_to_usize(owner)) else {
                return;
            };
            if other.identity.addressing == Addressing::Static {
                return;
            }
            other.identity.address = None;
        }
        let Some(Some(port)) = self.ports.get_mut(u32_to_usize(vm)) else {
            return;
        };
        port.transaction = None;
        if let Some(former) = port.identity.address.take() {
            self.by_address.remove(address_key(former));
        }
        // Each port has room for one address, reserved when it was connected.
        if self.by_address.insert(address_key(address), vm).is_ok() {
            port.identity.address = Some(address);
        }
    }
}

/// Returns whom a frame to this group concerns.
const fn audience(group: Mac) -> Audience {
    if group::concerns_all(group) {
        Audience::Everybody
    } else {
        Audience::Group(group)
    }
}

/// Returns the message of a DHCP server that a frame holds.
fn dhcp_reply<'a>(frame: &Frame<'a>) -> Option<Dhcp<'a>> {
    if frame.ethertype != ethertype::IPV4 {
        return None;
    }
    let packet = Ipv4::parse(frame.payload)?;
    if packet.protocol != protocol::UDP || packet.fragment_offset != 0 {
        return None;
    }
    let datagram = Udp::parse(packet.payload)?;
    if datagram.source != port::DHCP_SERVER || datagram.destination != port::DHCP_CLIENT {
        return None;
    }
    Dhcp::parse(datagram.payload).filter(|message| message.operation == DhcpOperation::Reply)
}

#[cfg(test)]
#[path = "switch_tests.rs"]
mod tests;
