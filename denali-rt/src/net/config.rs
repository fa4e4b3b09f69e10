//! The VM's own address.

use super::wait;
use crate::io::{ErrorKind, Result};
use crate::time::{Duration, Instant};
use crate::{registers, task};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::task::Poll;
use denali_abi::net::{NetworkConfig, addressing};
use smoltcp::wire::IpAddress;

/// How long calls that need an address wait for DHCP to bring one.
pub(super) const CONFIGURE_MAX: Duration = Duration::from_secs(15);

/// What the VM knows of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Configuration {
    /// The VM's address.
    pub address: Ipv4Addr,
    /// Length of its subnet's prefix in bits.
    pub prefix_len: u8,
    /// The router, if there is one.
    pub gateway: Option<Ipv4Addr>,
    /// The name servers.
    pub name_servers: Vec<Ipv4Addr>,
}

/// Returns the VM's address, or `None` before it has one.
#[must_use]
pub fn config() -> Option<Configuration> {
    wait::with(|network, _| read(network)).ok().flatten()
}

/// Gives this VM a static address of its own choice, before anything else of this module is used.
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

/// Waits for an address, which DHCP may take a while to bring.
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
    let (address, prefix_len, gateway) = network.own_address()?;
    let servers = network.address().name_servers();
    let name_servers = servers
        .iter()
        .map(|IpAddress::Ipv4(server)| *server)
        .collect();
    Some(Configuration {
        address,
        prefix_len,
        gateway,
        name_servers,
    })
}
