//! Accepting connections.

use super::readiness::{Notifier, Pollable, Readiness, Watch};
use super::stack::connection::Buffers;
use super::tcp::TcpStream;
use super::wait::Patience;
use super::{canonical, wait};
use crate::io::{ErrorKind, Result};
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

/// Connections that may wait to be accepted, unless the listener says otherwise.
const BACKLOG: usize = 128;

/// Where a socket may listen: a port alone, or with an address of ours.
///
/// A port alone, or the unspecified address of IPv6, is for everything that reaches the VM; the
/// unspecified address of IPv4 for what comes by IPv4; a loopback address for the VM itself.
pub trait BindAddress {
    /// Returns the address, IPv6's unspecified one for a port alone.
    fn bind_address(self) -> SocketAddr;
}

impl BindAddress for u16 {
    fn bind_address(self) -> SocketAddr {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, self))
    }
}

impl BindAddress for SocketAddr {
    fn bind_address(self) -> SocketAddr {
        self
    }
}

impl BindAddress for SocketAddrV4 {
    fn bind_address(self) -> SocketAddr {
        self.into()
    }
}

impl BindAddress for SocketAddrV6 {
    fn bind_address(self) -> SocketAddr {
        self.into()
    }
}

impl<A: Into<IpAddr>> BindAddress for (A, u16) {
    fn bind_address(self) -> SocketAddr {
        self.into()
    }
}

/// Returns an address that is ours.
///
/// # Errors
///
/// `AddrNotAvailable` if the address is known not to be.
pub(super) fn own_address(address: impl BindAddress) -> Result<SocketAddr> {
    let address = canonical(address.bind_address());
    let ip = address.ip();
    let is_ours = wait::with(|network, _| match ip {
        IpAddr::V4(_) if network.address().ipv4().is_none() => true,
        ip => ip.is_unspecified() || ip.is_multicast() || network.is_own(ip),
    })?;
    if is_ours {
        Ok(address)
    } else {
        Err(ErrorKind::AddrNotAvailable.into())
    }
}

/// Returns a bound address as callers see it.
pub(super) fn shown(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let own = super::config().map_or(Ipv4Addr::UNSPECIFIED, |config| config.address);
        SocketAddr::from((own, address.port()))
    } else {
        address
    }
}

/// A port that accepts TCP connections, until dropped.
#[derive(Debug)]
pub struct TcpListener {
    address: SocketAddr,
    arrival: Arc<Notifier>,
    nonblocking: AtomicBool,
}

impl TcpListener {
    /// Starts to accept connections on a port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody listens there already, `AddrNotAvailable` for an address that is not
    /// ours, `NetworkUnreachable` without a network.
    pub fn bind(address: impl BindAddress) -> Result<Self> {
        let mut address = own_address(address)?;
        let (port, arrival) =
            wait::with(|network, _| network.listen(address, BACKLOG, Buffers::DEFAULT))??;
        address.set_port(port);
        Ok(Self {
            address,
            arrival,
            nonblocking: AtomicBool::new(false),
        })
    }

    /// Sets how many connections may wait to be accepted, those still in the handshake included;
    /// 128 unless set. A request beyond it is dropped, and tried again by the client.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn set_backlog(&self, connections: usize) -> Result<()> {
        wait::with(|network, _| network.set_backlog(self.address.port(), connections))
    }

    /// Sets the buffer sizes of connections to come.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn set_buffers(&self, buffers: Buffers) -> Result<()> {
        wait::with(|network, _| network.set_listener_buffers(self.address.port(), buffers))
    }

    /// Waits for a connection. Returns it and the peer's address.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        match self.nonblocking.load(Ordering::Relaxed) {
            true => self.accept_within(Patience::None),
            false => self.accept_within(Patience::Endless),
        }
    }

    /// Returns a connection that waits to be accepted, and the peer's address.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none does.
    pub fn try_accept(&self) -> Result<(TcpStream, SocketAddr)> {
        self.accept_within(Patience::None)
    }

    /// Sets whether [`accept`](Self::accept) fails with `WouldBlock` instead of waiting.
    ///
    /// # Errors
    ///
    /// None so far.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for a connection, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// `TimedOut` if none came.
    pub fn accept_timeout(&self, timeout: Duration) -> Result<(TcpStream, SocketAddr)> {
        self.accept_within(Patience::Until(Instant::now() + timeout))
    }

    fn accept_within(&self, patience: Patience) -> Result<(TcpStream, SocketAddr)> {
        let accepted = wait::block_on(&self.arrival, patience, |network, _| {
            network.accept(self.address.port())
        })?;
        let peer = accepted.peer;
        Ok((TcpStream::new(accepted), peer))
    }

    /// Like [`accept`](Self::accept), for a task.
    pub(crate) async fn accept_async(&self) -> Result<(TcpStream, SocketAddr)> {
        let attempt = |network: &mut wait::Network, _| network.accept(self.address.port());
        let accepted = wait::until_ready(&self.arrival, attempt).await?;
        let peer = accepted.peer;
        Ok((TcpStream::new(accepted), peer))
    }

    /// Returns an iterator that accepts connections for ever.
    #[must_use]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Returns where it listens. An unspecified address is given as the VM's IPv4 address, once it
    /// has one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        shown(self.address)
    }
}

impl Pollable for TcpListener {
    fn readiness(&self) -> Result<Readiness> {
        wait::with(|network, _| network.listener_readiness(self.address.port()))
    }

    fn watch(&self, waker: &Waker) -> Watch {
        Watch::listener(&self.arrival, waker)
    }
}

impl Drop for TcpListener {
    /// Stops listening; connections nobody accepted are reset.
    fn drop(&mut self) {
        // Without a network there is nothing to stop.
        wait::with(|network, now| network.unlisten(self.address.port(), now)).unwrap_or_default();
    }
}

/// Accepts connections; see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
