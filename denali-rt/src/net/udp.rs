//! UDP datagrams.

use super::listener::{BindAddress, own_port};
use super::stack::connection::Signals;
use super::tcp::Timeout;
use super::{ipv4, wait};
use crate::io::Result;
use crate::sync::WaitQueue;
use crate::time::Duration;
use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddr};

/// A UDP port, until dropped. It holds up to 16 datagrams of 8 KiB in all each way.
#[derive(Debug)]
pub struct UdpSocket {
    port: u16,
    signals: Arc<Signals<WaitQueue>>,
    read_timeout: Timeout,
}

impl UdpSocket {
    /// Takes a port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the port is taken, `AddrNotAvailable` for an address that is not ours,
    /// `OutOfMemory` without room for buffers, `NetworkUnreachable` without a network.
    pub fn bind(address: impl BindAddress) -> Result<Self> {
        let port = own_port(address)?;
        let (port, signals) = wait::with(|network, _| network.bind_datagram(port))??;
        Ok(Self {
            port,
            signals,
            read_timeout: Timeout::none(),
        })
    }

    /// Sends a datagram, waiting for room in the buffer. Returns its length.
    ///
    /// It leaves when the calling thread next waits or yields.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for one that fits no frame (there is no fragmentation) or has no proper
    /// destination, `NetworkUnreachable` without an address of our own.
    pub fn send_to(&self, payload: &[u8], to: impl Into<SocketAddr>) -> Result<usize> {
        let to = ipv4(to.into())?;
        wait::block_on(&self.signals.writable, None, |network, _| {
            network.send_datagram(self.port, payload, to)
        })?;
        Ok(payload.len())
    }

    /// Waits for a datagram. Returns its length and where it came from; what does not fit `buffer`
    /// is lost.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the read timeout.
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let deadline = self.read_timeout.deadline();
        let (count, from) = wait::block_on(&self.signals.readable, deadline, |network, _| {
            network.receive_from(self.port, buffer)
        })?;
        Ok((count, SocketAddr::V4(from)))
    }

    /// Like [`send_to`](Self::send_to), for a task.
    pub(crate) async fn send_to_async(&self, payload: &[u8], to: SocketAddr) -> Result<usize> {
        let to = ipv4(to)?;
        wait::until_ready(&self.signals.writable, |network, _| {
            network.send_datagram(self.port, payload, to)
        })
        .await?;
        Ok(payload.len())
    }

    /// Like [`recv_from`](Self::recv_from), for a task and without a timeout.
    pub(crate) async fn recv_from_async(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let attempt = |network: &mut wait::Network, _| network.receive_from(self.port, buffer);
        let (count, from) = wait::until_ready(&self.signals.readable, attempt).await?;
        Ok((count, SocketAddr::V4(from)))
    }

    /// Sets how long [`recv_from`](Self::recv_from) waits; `None`, as at first, means for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as in `std`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.read_timeout.set(timeout)
    }

    /// Returns where it is bound; the address is unspecified before the VM has one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        let own = super::config().map_or(Ipv4Addr::UNSPECIFIED, |config| config.address);
        SocketAddr::from((own, self.port))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        // Without a network there is nothing to free.
        wait::with(|network, _| network.unbind_datagram(self.port)).unwrap_or_default();
    }
}
