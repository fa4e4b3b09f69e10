//! UDP datagrams.

use super::addresses::ToSocketAddrs;
use super::listener::{BindAddress, own_address, shown};
use super::options::{MaybeDuration, check_timeout};
use super::readiness::{Notifier, Pollable, Readiness, Watch};
use super::stack::Take;
use super::stack::connection::Signals;
use super::wait::Patience;
use super::{canonical, wait};
use crate::io::{Error, ErrorKind, Result};
use crate::time::Duration;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

/// A UDP port, until dropped. It holds up to 16 datagrams of 8 KiB in all each way.
#[derive(Debug)]
pub struct UdpSocket {
    address: SocketAddr,
    signals: Arc<Signals<Notifier>>,
    read_timeout: MaybeDuration,
    write_timeout: MaybeDuration,
    nonblocking: AtomicBool,
}

impl UdpSocket {
    /// Takes a port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the port is taken, `AddrNotAvailable` for an address that is not ours,
    /// `OutOfMemory` without room for buffers, `NetworkUnreachable` without a network.
    pub fn bind(address: impl BindAddress) -> Result<Self> {
        let mut address = own_address(address)?;
        let (port, signals) = wait::with(|network, _| network.bind_datagram(address))??;
        address.set_port(port);
        Ok(Self {
            address,
            signals,
            read_timeout: MaybeDuration::none(),
            write_timeout: MaybeDuration::none(),
            nonblocking: AtomicBool::new(false),
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
        self.send_within(payload, to.into(), self.patience(&self.write_timeout))
    }

    /// Sends a datagram, without waiting. Returns its length.
    ///
    /// # Errors
    ///
    /// `WouldBlock` without room in the buffer, else as [`send_to`](Self::send_to).
    pub fn try_send_to(&self, payload: &[u8], to: impl Into<SocketAddr>) -> Result<usize> {
        self.send_within(payload, to.into(), Patience::None)
    }

    fn send_within(&self, payload: &[u8], to: SocketAddr, patience: Patience) -> Result<usize> {
        let to = canonical(to);
        wait::block_on(&self.signals.writable, patience, |network, now| {
            network.send_datagram(self.address.port(), payload, to, now)
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
        self.receive(buffer, Take::Remove, self.patience(&self.read_timeout))
    }

    /// Takes a datagram that is there. Returns its length and where it came from.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.receive(buffer, Take::Remove, Patience::None)
    }

    /// Waits for a datagram and copies it; the next receive finds it again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.receive(buffer, Take::Copy, self.patience(&self.read_timeout))
    }

    /// Copies a datagram that is there; the next receive finds it again.
    ///
    /// # Errors
    ///
    /// As [`try_recv_from`](Self::try_recv_from).
    pub fn try_peek_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.receive(buffer, Take::Copy, Patience::None)
    }

    fn receive(
        &self,
        buffer: &mut [u8],
        take: Take,
        patience: Patience,
    ) -> Result<(usize, SocketAddr)> {
        wait::block_on(&self.signals.readable, patience, |network, _| {
            network.receive_from(self.address.port(), buffer, take)
        })
    }

    /// Makes `peer` the one that [`send`](Self::send) sends to; datagrams of others are dropped from
    /// now on.
    ///
    /// # Errors
    ///
    /// As a lookup of its name.
    pub fn connect(&self, peer: impl ToSocketAddrs) -> Result<()> {
        let peer = peer.to_socket_addrs()?.next();
        let peer = peer.ok_or(Error::new(ErrorKind::InvalidInput, "no address"))?;
        let peer = canonical(peer);
        wait::with(|network, _| network.connect_datagram(self.address.port(), Some(peer)))
    }

    /// Returns the peer set by [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// `NotConnected` without one.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        let peer = wait::with(|network, _| network.datagram_peer(self.address.port()))?;
        Ok(peer.ok_or(ErrorKind::NotConnected)?)
    }

    /// Sends a datagram to the peer set by [`connect`](Self::connect). Returns its length.
    ///
    /// # Errors
    ///
    /// `NotConnected` without a peer, else as [`send_to`](Self::send_to).
    pub fn send(&self, payload: &[u8]) -> Result<usize> {
        self.send_to(payload, self.peer_addr()?)
    }

    /// Waits for a datagram and returns its length; what does not fit `buffer` is lost.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_from(buffer).map(|(count, _)| count)
    }

    /// Like [`send_to`](Self::send_to), for a task.
    pub(crate) async fn send_to_async(&self, payload: &[u8], to: SocketAddr) -> Result<usize> {
        let to = canonical(to);
        wait::until_ready(&self.signals.writable, |network, now| {
            network.send_datagram(self.address.port(), payload, to, now)
        })
        .await?;
        Ok(payload.len())
    }

    /// Like [`recv_from`](Self::recv_from), for a task and without a timeout.
    pub(crate) async fn recv_from_async(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let attempt = |network: &mut wait::Network, _| {
            network.receive_from(self.address.port(), buffer, Take::Remove)
        };
        wait::until_ready(&self.signals.readable, attempt).await
    }

    /// Sets how long receiving waits; `None`, as at first, means for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as in `std`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        check_timeout(timeout)?;
        self.read_timeout.store(timeout);
        Ok(())
    }

    /// Sets how long sending waits; `None`, as at first, means for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as in `std`.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        check_timeout(timeout)?;
        self.write_timeout.store(timeout);
        Ok(())
    }

    /// Sets whether calls fail with `WouldBlock` instead of waiting.
    ///
    /// # Errors
    ///
    /// None so far.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// Joins a multicast group, so that this socket hears what is sent to it; so does every other
    /// socket of the VM that is bound to no address of its own.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is no group, `OutOfMemory` in too many groups.
    pub fn join_multicast(&self, group: impl Into<IpAddr>) -> Result<()> {
        wait::with(|network, _| network.join_group(group.into()))?.map_err(Error::from)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` if the VM is not in it.
    pub fn leave_multicast(&self, group: impl Into<IpAddr>) -> Result<()> {
        wait::with(|network, _| network.leave_group(group.into()))?.map_err(Error::from)
    }

    /// Returns where it is bound. An unspecified address is given as the VM's IPv4 address, once it
    /// has one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        shown(self.address)
    }

    fn patience(&self, timeout: &MaybeDuration) -> Patience {
        if self.nonblocking.load(Ordering::Relaxed) {
            Patience::None
        } else {
            timeout.deadline().into()
        }
    }
}

impl Pollable for UdpSocket {
    fn readiness(&self) -> Result<Readiness> {
        wait::with(|network, _| network.datagram_readiness(self.address.port()))
    }

    fn watch(&self, waker: &Waker) -> Watch {
        Watch::socket(&self.signals, waker)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        // Without a network there is nothing to free.
        wait::with(|network, _| network.unbind_datagram(self.address.port())).unwrap_or_default();
    }
}
