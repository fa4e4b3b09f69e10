//! One TCP connection.

use super::config::{CONFIGURE_MAX, wait_until_configured, wait_until_configured_async};
use super::stack::connection::{Buffers, Signals};
use super::stack::table::ConnectionId;
use super::stack::{Accepted, Shutdown};
use super::{ipv4, wait};
use crate::io::{self, Error, ErrorKind, Result};
use crate::sync::WaitQueue;
use crate::task;
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use core::net::{SocketAddr, SocketAddrV4};
use core::sync::atomic::{AtomicU64, Ordering};

/// How long [`TcpStream::connect`] waits for the peer.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// A TCP connection. Dropping it sends what has been written, then ends it, in the background.
///
/// Writes gather in a buffer and leave when the calling thread next waits or yields, or at
/// [`flush`](io::Write::flush). Several threads may share a stream: `&TcpStream` reads and writes
/// as well.
#[derive(Debug)]
pub struct TcpStream {
    id: ConnectionId,
    peer: SocketAddrV4,
    signals: Arc<Signals<WaitQueue>>,
    read_timeout: Timeout,
    write_timeout: Timeout,
}

impl TcpStream {
    pub(super) fn new(accepted: Accepted<WaitQueue>) -> Self {
        Self {
            id: accepted.id,
            peer: accepted.peer,
            signals: accepted.signals,
            read_timeout: Timeout::none(),
            write_timeout: Timeout::none(),
        }
    }

    /// Connects to a peer, waiting up to a minute for it.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` if nobody listens there, `TimedOut` if nobody answers,
    /// `NetworkUnreachable` without an address of our own, `OutOfMemory` without room for buffers.
    pub fn connect(address: impl Into<SocketAddr>) -> Result<Self> {
        Self::connect_timeout(address, CONNECT_MAX)
    }

    /// Connects to a peer, waiting up to `timeout` for it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_timeout(address: impl Into<SocketAddr>, timeout: Duration) -> Result<Self> {
        Self::connect_with(address, timeout, Buffers::DEFAULT)
    }

    /// Connects to a peer with buffers of a given size.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        address: impl Into<SocketAddr>,
        timeout: Duration,
        buffers: Buffers,
    ) -> Result<Self> {
        let peer = ipv4(address.into())?;
        let deadline = Instant::now() + timeout;
        wait_until_configured(timeout.min(CONFIGURE_MAX))?;
        let stream = Self::new(wait::with(|network, _| network.connect(peer, buffers))??);
        wait::block_on(&stream.signals.writable, Some(deadline), |network, _| {
            network.connected(stream.id)
        })?;
        Ok(stream)
    }

    /// Like [`connect`](Self::connect), for a task.
    pub(crate) async fn connect_async(address: SocketAddr) -> Result<Self> {
        let peer = ipv4(address)?;
        wait_until_configured_async(CONFIGURE_MAX).await?;
        let accepted = wait::with(|network, _| network.connect(peer, Buffers::DEFAULT))??;
        let stream = Self::new(accepted);
        let connected = wait::until_ready(&stream.signals.writable, |network, _| {
            network.connected(stream.id)
        });
        task::timeout(CONNECT_MAX, connected).await??;
        Ok(stream)
    }

    /// Like [`read`](Self::read), for a task and without a timeout.
    pub(crate) async fn read_async(&self, buffer: &mut [u8]) -> Result<usize> {
        let attempt = |network: &mut wait::Network, _| network.read(self.id, buffer);
        wait::until_ready(&self.signals.readable, attempt).await
    }

    /// Like [`write`](Self::write), for a task and without a timeout.
    pub(crate) async fn write_async(&self, bytes: &[u8]) -> Result<usize> {
        let attempt = |network: &mut wait::Network, _| network.write(self.id, bytes);
        wait::until_ready(&self.signals.writable, attempt).await
    }

    /// Returns the peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer.into()
    }

    /// Returns our address.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        wait::with(|network, _| network.local_addr(self.id)).map(SocketAddr::V4)
    }

    /// Waits for data and reads what is there. Returns 0 once the peer has sent its last.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the read timeout or if the peer fell silent, `ConnectionReset` if it broke
    /// the connection off.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let deadline = self.read_timeout.deadline();
        wait::block_on(&self.signals.readable, deadline, |network, _| {
            network.read(self.id, buffer)
        })
    }

    /// Writes some of `bytes`, waiting for room. Returns how many.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` after the write half was shut down, `TimedOut` after the write timeout or if
    /// the peer fell silent, `ConnectionReset` if it broke the connection off.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        let deadline = self.write_timeout.deadline();
        wait::block_on(&self.signals.writable, deadline, |network, _| {
            network.write(self.id, bytes)
        })
    }

    /// Sends at once what has been written, as far as the peer's window allows.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn flush(&self) -> Result<()> {
        wait::with(|network, now| network.push(now))
    }

    /// Ends the write half with what has been written so far; the peer then reads an end of data.
    /// [`Shutdown::Read`] does nothing: a peer cannot be kept from sending.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is closed, or the error that closed it.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        wait::with(|network, _| network.shutdown(self.id, how))?.map_err(Into::into)
    }

    /// Sets whether small segments are sent without waiting until earlier ones are acknowledged;
    /// so they are unless set otherwise.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        wait::with(|network, _| network.set_nodelay(self.id, nodelay))
    }

    /// Sets after how much silence to probe whether the peer is still there, and give up after four
    /// probes without an answer; `None`, as at first, means never, so that an idle connection costs
    /// no CPU time.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn set_keep_alive(&self, interval: Option<Duration>) -> Result<()> {
        wait::with(|network, _| network.set_keep_alive(self.id, interval))
    }

    /// Sets how long a read waits; `None`, as at first, means for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as in `std`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.read_timeout.set(timeout)
    }

    /// Sets how long a write waits; `None`, as at first, means for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as in `std`.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.write_timeout.set(timeout)
    }

    /// Waits until the peer has acknowledged everything written.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn wait_until_acknowledged(&self) -> Result<()> {
        let deadline = self.write_timeout.deadline();
        wait::block_on(&self.signals.writable, deadline, |network, _| {
            network.flushed(self.id)
        })
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // Without a network there is nothing to close.
        wait::with(|network, now| network.release(self.id, now)).unwrap_or_default();
    }
}

impl io::ErrorType for TcpStream {
    type Error = Error;
}

impl io::ErrorType for &TcpStream {
    type Error = Error;
}

impl io::Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Self::read(self, buffer)
    }
}

impl io::Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        TcpStream::read(self, buffer)
    }
}

impl io::Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Self::write(self, bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Self::flush(self)
    }
}

impl io::Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        TcpStream::write(self, bytes)
    }

    fn flush(&mut self) -> Result<()> {
        TcpStream::flush(self)
    }
}

/// A timeout that can be set through a shared reference.
#[derive(Debug)]
pub(super) struct Timeout(AtomicU64);

impl Timeout {
    const NEVER: u64 = u64::MAX;

    pub(super) const fn none() -> Self {
        Self(AtomicU64::new(Self::NEVER))
    }

    pub(super) fn set(&self, timeout: Option<Duration>) -> Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Error::new(ErrorKind::InvalidInput, "a timeout of zero"));
        }
        let ns = timeout.and_then(|timeout| u64::try_from(timeout.as_nanos()).ok());
        self.0.store(ns.unwrap_or(Self::NEVER), Ordering::Relaxed);
        Ok(())
    }

    /// Returns when a wait that begins now has to end.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.0.load(Ordering::Relaxed) {
            Self::NEVER => None,
            ns => Some(Instant::now() + Duration::from_nanos(ns)),
        }
    }
}
