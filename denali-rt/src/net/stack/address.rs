//! The VM's own addresses: given, leased by DHCP, or made of what routers advertise.

use super::autoconf::Autoconf;
use super::{Signal, due, earliest, smol};
use crate::io::ErrorKind;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::task::Poll;
use denali_abi::net::{NetworkConfig, addressing};
use smoltcp::iface::{Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Cidr};

const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;

/// Most name servers kept.
const NAME_SERVERS_MAX: usize = 3;

/// Frames a DHCP exchange may send in one poll.
const EGRESS_BURST: usize = 4;

/// Addresses and neighbourhood of the VM.
#[derive(Debug)]
pub(in crate::net) struct Address<S> {
    lease: Option<Lease>,
    own: Option<Ipv4Cidr>,
    gateway: Option<Ipv4Addr>,
    name_servers: Vec<IpAddress>,
    autoconf: Autoconf,
    has_changed: bool,
    changed: Arc<S>,
}

#[derive(Debug)]
struct Lease {
    set: SocketSet<'static>,
    handle: SocketHandle,
}

impl<S: Signal> Address<S> {
    /// Gives the interface its addresses, or prepares to ask for them.
    pub(super) fn new(network: &NetworkConfig, interface: &mut Interface, now: Instant) -> Self {
        let mut address = Self {
            lease: None,
            own: None,
            gateway: None,
            name_servers: Vec::new(),
            autoconf: Autoconf::new(EthernetAddress(network.mac), now),
            has_changed: false,
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
            address.own = given(network.address).map(|own| Ipv4Cidr::new(own, prefix_len));
            address.gateway = given(network.gateway);
            address
                .name_servers
                .extend(given(network.dns).map(IpAddress::Ipv4));
        }
        address.assign(interface);
        address
    }

    /// Takes over the addresses of another network, and tells those who wait for one.
    pub(super) fn replace_by(&mut self, other: Self) {
        let changed = self.changed();
        *self = Self {
            changed,
            has_changed: true,
            ..other
        };
        self.changed.notify();
    }

    /// Returns what tells of a new address, and of none that will come.
    pub(in crate::net) fn changed(&self) -> Arc<S> {
        self.changed.clone()
    }

    /// Returns whether the interface got other addresses since the last call.
    pub(super) fn take_change(&mut self) -> bool {
        core::mem::take(&mut self.has_changed)
    }

    /// Returns the IPv4 router.
    pub(in crate::net) fn gateway(&self) -> Option<Ipv4Addr> {
        self.gateway
    }

    /// Returns our IPv4 address.
    pub(in crate::net) fn ipv4(&self) -> Option<Ipv4Cidr> {
        self.own
    }

    /// Returns our IPv6 addresses, the one of the link first.
    pub(in crate::net) fn ipv6(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.autoconf.addresses().map(|cidr| cidr.address())
    }

    /// Returns the name servers.
    pub(in crate::net) fn name_servers(&self) -> &[IpAddress] {
        &self.name_servers
    }

    /// Returns whether an IPv4 address may still come.
    pub(in crate::net) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Returns whether we have an IPv6 address that reaches beyond the link.
    pub(super) fn has_global_ipv6(&self) -> bool {
        self.ipv6().nth(1).is_some()
    }

    /// Returns whether a packet to `remote` would have a source: yes, not yet, or never.
    pub(super) fn reach(&self, remote: IpAddr) -> Poll<Result<(), ErrorKind>> {
        let (has_address, may_come) = match remote {
            IpAddr::V4(_) => (self.own.is_some(), self.is_leased()),
            IpAddr::V6(remote) => (
                self.has_global_ipv6() || is_on_link(remote),
                self.autoconf.is_asking(),
            ),
        };
        match (has_address, may_come) {
            (true, _) => Poll::Ready(Ok(())),
            (false, true) => Poll::Pending,
            (false, false) => Poll::Ready(Err(ErrorKind::NetworkUnreachable)),
        }
    }

    /// Returns the router for packets to `remote`, if it is on no network of ours.
    pub(super) fn router_to(&self, remote: IpAddr) -> Option<IpAddr> {
        match remote {
            IpAddr::V4(_) => self.gateway.map(IpAddr::V4),
            IpAddr::V6(_) => self.autoconf.router().map(IpAddr::V6),
        }
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

    /// Gives the VM an address in an IPv6 network with a 64-bit prefix.
    pub(super) fn configure_ipv6(
        &mut self,
        prefix: Ipv6Addr,
        router: Option<Ipv6Addr>,
        interface: &mut Interface,
        now: Instant,
    ) {
        self.autoconf.configure(prefix, router, now);
        self.assign(interface);
        self.changed.notify();
    }

    /// Takes note of a router's advertisement.
    pub(super) fn hear_router(&mut self, frame: &[u8], interface: &mut Interface, now: Instant) {
        if self.autoconf.hear(frame, now) {
            self.assign(interface);
            self.changed.notify();
        }
    }

    /// Goes on with what brings addresses. Returns when to do so again.
    pub(super) fn poll(
        &mut self,
        interface: &mut Interface,
        link: &mut impl Device,
        now: Instant,
    ) -> Option<Instant> {
        if self.autoconf.poll(link, now) {
            self.assign(interface);
            self.changed.notify();
        }
        earliest(self.autoconf.due(), self.poll_lease(interface, link, now))
    }

    fn poll_lease(
        &mut self,
        interface: &mut Interface,
        link: &mut impl Device,
        now: Instant,
    ) -> Option<Instant> {
        let Lease { set, handle } = self.lease.as_mut()?;
        let configured = match set.get_mut::<Socket<'static>>(*handle).poll() {
            Some(Event::Configured(config)) => {
                self.own = Some(config.address);
                self.gateway = config.router;
                self.name_servers.clear();
                let servers = config.dns_servers.iter().take(NAME_SERVERS_MAX);
                self.name_servers
                    .extend(servers.map(|server| IpAddress::Ipv4(*server)));
                true
            }
            Some(Event::Deconfigured) => {
                self.own = None;
                self.gateway = None;
                true
            }
            None => false,
        };
        if configured {
            self.assign(interface);
            self.changed.notify();
        }
        let Lease { set, .. } = self.lease.as_mut()?;
        for _ in 0..EGRESS_BURST {
            if interface.poll_egress(smol(now), link, set) == PollResult::None {
                break;
            }
        }
        interface.poll_at(smol(now), set).map(|at| due(at, now))
    }

    /// Gives the interface our addresses, the IPv4 one first, and the routes to our routers.
    fn assign(&mut self, interface: &mut Interface) {
        // Only a unicast address makes an interface.
        self.own = self.own.filter(|own| is_unicast(own.address()));
        self.gateway = self.gateway.filter(|gateway| is_unicast(*gateway));
        let ipv4 = self.own.map(IpCidr::Ipv4);
        let ipv6 = self.autoconf.addresses().map(IpCidr::Ipv6);
        let wanted: Vec<_> = ipv4.into_iter().chain(ipv6).collect();
        if interface.ip_addrs() != wanted {
            self.has_changed = true;
            interface.update_ip_addrs(|addresses| {
                addresses.clear();
                // One IPv4 address, one of the link and three prefixes fit.
                addresses.extend(wanted);
            });
        }
        let routes = interface.routes_mut();
        routes.remove_default_ipv4_route();
        routes.remove_default_ipv6_route();
        // The table has room: it holds no more than these two.
        if let Some(gateway) = self.gateway {
            routes.add_default_ipv4_route(gateway).ok();
        }
        if let Some(router) = self.autoconf.router() {
            routes.add_default_ipv6_route(router).ok();
        }
    }
}

fn is_unicast(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_broadcast() || address.is_multicast())
}

/// Returns whether an address is reached without a router whatever our own (RFC 4291 §2.4).
fn is_on_link(address: Ipv6Addr) -> bool {
    const LINK_LOCAL_GROUP: u16 = 0xff02;
    address.is_unicast_link_local() || address.segments()[0] == LINK_LOCAL_GROUP
}
