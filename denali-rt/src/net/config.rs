//! The VM's own addresses.

use super::wait;
use crate::io::{ErrorKind, Result};
use crate::time::{Duration, Instant};
use crate::{registers, task};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::task::Poll;
use denali_abi::net::{NetworkConfig, addressing};

/// How long calls that need an address wait for one to be leased or advertised.
pub(super) const CONFIGURE_MAX: Duration = Duration::from_secs(15);

/// What the VM knows of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Configuration {
    /// The VM's IPv4 address.
    pub address: Ipv4Addr,
    /// Length of its subnet's prefix in bits.
    pub prefix_len: u8,
    /// The IPv4 router, if there is one.
    pub gateway: Option<Ipv4Addr>,
    /// The name servers.
    pub name_servers: Vec<IpAddr>,
    /// The VM's IPv6 addresses, the link-local one first.
    pub ipv6: Vec<Ipv6Addr>,
}

/// Returns the VM's addresses, or `None` before it has one of IPv4.
#[must_use]
pub fn config() -> Option<Configuration> {
    wait::with(|network, _| read(network)).ok().flatten()
}

/// Gives this VM a static IPv4 address of its own choice, before anything else of this module is
/// used.
///
/// Only the supervisor may choose: its settings are in its arguments, which the kernel does not
/// read. The switch drops what any other VM sends from an address that is not its own.
///
/// # Errors
///
/// `ResourceBusy` if the network runs already.
pub fn configure(
    address: Ipv4Addr,
    prefix_len: u8,
    gateway: Option<Ipv4Addr>,
    name_server: Option<Ipv4Addr>,
) -> Result<()> {
    let octets = |address: Option<Ipv4Addr>| address.map_or([0; 4], |address| address.octets());
    wait::start_with(NetworkConfig {
        addressing: addressing::STATIC,
        address: address.octets(),
        prefix_len: u32::from(prefix_len),
        gateway: octets(gateway),
        dns: octets(name_server),
        ..registers::get().network
    })
}

/// Gives this VM an address in the IPv6 network with the first 64 bits of `network`, for good.
/// Routers need not advertise it then.
///
/// The other 64 bits follow from the hardware address; the switch lets no other through. The
/// address is the last of [`Configuration::ipv6`] afterwards.
///
/// # Errors
///
/// `InvalidInput` for what is no network of hosts, and without a network.
pub fn configure_ipv6(network: Ipv6Addr, router: Option<Ipv6Addr>) -> Result<()> {
    let is_network = !network.is_multicast() && network.segments()[..4] != [0; 4];
    let is_router = router.is_none_or(|router| !router.is_multicast() && !router.is_unspecified());
    if !is_network || network.is_unicast_link_local() || !is_router {
        return Err(ErrorKind::InvalidInput.into());
    }
    wait::with(|stack, now| stack.configure_ipv6(network, router, now))
}

/// Waits for an IPv4 address, which DHCP may take a while to bring.
///
/// # Errors
///
/// `TimedOut` at the end of `timeout`, and `NetworkUnreachable` if no address will ever come.
pub fn wait_until_configured(timeout: Duration) -> Result<Configuration> {
    let changed = wait::with(|network, _| network.address().changed())?;
    wait::block_on(&changed, Some(Instant::now() + timeout), |network, _| {
        attempt(network)
    })
}

/// Waits until packets to `remote` would have a source.
pub(super) fn wait_until_reachable(remote: IpAddr, timeout: Duration) -> Result<()> {
    let changed = wait::with(|network, _| network.address().changed())?;
    wait::block_on(&changed, Some(Instant::now() + timeout), |network, _| {
        network.reach(remote)
    })
}

/// Like [`wait_until_reachable`], for a task.
pub(super) async fn wait_until_reachable_async(remote: IpAddr, timeout: Duration) -> Result<()> {
    let changed = wait::with(|network, _| network.address().changed())?;
    let reachable = wait::until_ready(&changed, |network, _| network.reach(remote));
    task::timeout(timeout, reachable).await?
}

/// Like [`wait_until_configured`], for a task.
pub(crate) async fn wait_until_configured_async(timeout: Duration) -> Result<Configuration> {
    let changed = wait::with(|network, _| network.address().changed())?;
    let configured = wait::until_ready(&changed, |network, _| attempt(network));
    task::timeout(timeout, configured).await?
}

/// Returns the address, if there is one or none will ever come.
fn attempt(network: &wait::Network) -> Poll<Result<Configuration, ErrorKind>> {
    match read(network) {
        Some(configuration) => Poll::Ready(Ok(configuration)),
        None if network.address().is_leased() => Poll::Pending,
        None => Poll::Ready(Err(ErrorKind::NetworkUnreachable)),
    }
}

fn read(network: &wait::Network) -> Option<Configuration> {
    let address = network.address();
    let own = address.ipv4()?;
    let servers = address.name_servers().iter();
    Some(Configuration {
        address: own.address(),
        prefix_len: own.prefix_len(),
        gateway: address.gateway(),
        name_servers: servers.map(|server| IpAddr::from(*server)).collect(),
        ipv6: address.ipv6().collect(),
    })
}
