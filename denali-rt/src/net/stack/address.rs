//! The VM's own address: the one it was given, or one leased by DHCP.

use super::{Signal, due, smol};
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use denali_abi::net::{NetworkConfig, addressing};
use smoltcp::iface::{Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Cidr};

const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;

/// Most name servers kept.
const NAME_SERVERS_MAX: usize = 3;

/// Frames a DHCP exchange may send in one poll.
const EGRESS_BURST: usize = 4;

/// Address and neighbourhood of the VM.
#[derive(Debug)]
pub(in crate::net) struct Address<S> {
    lease: Option<Lease>,
    gateway: Option<Ipv4Addr>,
    name_servers: Vec<IpAddress>,
    changed: Arc<S>,
}

#[derive(Debug)]
struct Lease {
    set: SocketSet<'static>,
    handle: SocketHandle,
}

impl<S: Signal> Address<S> {
    /// Gives the interface its address, or prepares to ask for one.
    pub(super) fn new(network: &NetworkConfig, interface: &mut Interface) -> Self {
        let mut address = Self {
            lease: None,
            gateway: None,
            name_servers: Vec::new(),
            changed: Arc::default(),
        };
        if network.addressing == addressing::DHCP {
            let mut set = SocketSet::new(Vec::with_capacity(1));
            let handle = set.add(Socket::new());
            address.lease = Some(Lease { set, handle });
        } else {
            let given =
                |bytes: [u8; 4]| Some(Ipv4Addr::from(bytes)).filter(|a| !a.is_unspecified());
            let prefix_len = u8::try_from(network.prefix_len.min(32)).unwrap_or(32);
            let own = given(network.address).map(|own| Ipv4Cidr::new(own, prefix_len));
            address.gateway = assign(interface, own, given(network.gateway));
            address
                .name_servers
                .extend(given(network.dns).map(IpAddress::Ipv4));
        }
        address
    }

    /// Returns what tells of a new address.
    pub(in crate::net) fn changed(&self) -> Arc<S> {
        self.changed.clone()
    }

    /// Returns the router.
    pub(super) fn gateway(&self) -> Option<Ipv4Addr> {
        self.gateway
    }

    /// Returns the name servers.
    pub(in crate::net) fn name_servers(&self) -> &[IpAddress] {
        &self.name_servers
    }

    /// Returns whether an address may still come.
    pub(in crate::net) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Returns the set of the DHCP client if a datagram between these ports is for it.
    pub(super) fn set_for(
        &mut self,
        source_port: u16,
        destination_port: u16,
    ) -> Option<&mut SocketSet<'static>> {
        let ours = source_port == DHCP_SERVER_PORT && destination_port == DHCP_CLIENT_PORT;
        self.lease
            .as_mut()
            .filter(|_| ours)
            .map(|lease| &mut lease.set)
    }

    /// Goes on with the DHCP exchange. Returns when to do so again.
    pub(super) fn poll(
        &mut self,
        interface: &mut Interface,
        link: &mut impl Device,
        now: Instant,
    ) -> Option<Instant> {
        let Lease { set, handle } = self.lease.as_mut()?;
        let configured = match set.get_mut::<Socket<'static>>(*handle).poll() {
            Some(Event::Configured(config)) => {
                self.gateway = assign(interface, Some(config.address), config.router);
                self.name_servers.clear();
                let servers = config.dns_servers.iter().take(NAME_SERVERS_MAX);
                self.name_servers
                    .extend(servers.map(|server| IpAddress::Ipv4(*server)));
                true
            }
            Some(Event::Deconfigured) => {
                self.gateway = assign(interface, None, None);
                true
            }
            None => false,
        };
        if configured {
            self.changed.notify();
        }
        for _ in 0..EGRESS_BURST {
            if interface.poll_egress(smol(now), link, set) == PollResult::None {
                break;
            }
        }
        interface.poll_at(smol(now), set).map(|at| due(at, now))
    }
}

/// Makes `own` the interface's only address and `gateway` its only route. Returns the route.
fn assign(
    interface: &mut Interface,
    own: Option<Ipv4Cidr>,
    gateway: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let unchanged = match (interface.ip_addrs(), own) {
        ([IpCidr::Ipv4(current)], Some(own)) => *current == own,
        ([], None) => true,
        _ => false,
    };
    if !unchanged {
        interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // Only a unicast address makes an interface; the list has just been emptied.
            if let Some(own) = own.filter(|own| is_unicast(own.address())) {
                addresses.push(IpCidr::Ipv4(own)).unwrap_or_default();
            }
        });
    }
    interface.routes_mut().remove_default_ipv4_route();
    let gateway = gateway.filter(|gateway| is_unicast(*gateway))?;
    // The table has room: it held no more than the route just removed.
    interface
        .routes_mut()
        .add_default_ipv4_route(gateway)
        .ok()?;
    Some(gateway)
}

fn is_unicast(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast())
}
