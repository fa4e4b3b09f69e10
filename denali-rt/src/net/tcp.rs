//! One TCP connection.

use super::addresses::{ToSocketAddrs, first_reachable};
use super::config::{CONFIGURE_MAX, wait_until_reachable, wait_until_reachable_async};
use super::options::MaybeDuration;
use super::readiness::{Notifier, Pollable, Readiness, Watch};
use super::stack::connection::{Buffers, Signals};
use super::stack::table::ConnectionId;
use super::stack::{Accepted, Shutdown};
use super::wait::Patience;
use super::{canonical, wait};
use crate::io::{self, Error, Result};
use crate::task;
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

/// How long [`TcpStream::connect`] waits for the peer.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// A TCP connection. Dropping it sends what has been written, then ends it, in the background,
/// unless [`set_linger`](Self::set_linger) says otherwise.
///
/// Writes gather in a buffer and leave when the calling thread next waits or yields, or at
/// [`flush`](io::Write::flush). Several threads may share a stream: `&TcpStream` reads and writes
/// as well.
#[derive(Debug)]
pub struct TcpStream {
    pub(super) id: ConnectionId,
    peer: SocketAddr,
    signals: Arc<Signals<Notifier>>,
    pub(super) read_timeout: MaybeDuration,
    pub(super) write_timeout: MaybeDuration,
    pub(super) linger: MaybeDuration,
    pub(super) nonblocking: AtomicBool,
}

impl TcpStream {
    pub(super) fn new(accepted: Accepted<Notifier>) -> Self {
        Self {
            id: accepted.id,
            peer: accepted.peer,
            signals: accepted.signals,
            read_timeout: MaybeDuration::none(),
            write_timeout: MaybeDuration::none(),
            linger: MaybeDuration::none(),
            nonblocking: AtomicBool::new(false),
        }
    }

    /// Connects to a peer, waiting up to a minute for it. Of several addresses the first that
    /// answers is taken.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` if nobody listens there, `TimedOut` if nobody answers,
    /// `NetworkUnreachable` without an address of our own, `OutOfMemory` without room for buffers.
    pub fn connect(address: impl ToSocketAddrs) -> Result<Self> {
        first_reachable(address, |address| {
            Self::connect_timeout(address, CONNECT_MAX)
        })
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
        let address = canonical(address.into());
        let deadline = Instant::now() + timeout;
        wait_until_reachable(address.ip(), timeout.min(CONFIGURE_MAX))?;
        let stream = Self::begin(address, 0, buffers)?;
        wait::block_on(
            &stream.signals.writable,
            Patience::Until(deadline),
            |network, _| network.connected(stream.id),
        )?;
        Ok(stream)
    }

    /// Begins to connect to a peer, from a port of our own or from a free one if `local_port` is 0,
    /// and returns at once. The stream is writable when that is over;
    /// [`take_error`](Self::take_error) then says whether it failed. Reads and writes before wait.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the port is connected to the same peer, `NetworkUnreachable` without an
    /// address of our own, `OutOfMemory` without room for buffers.
    pub fn begin(
        address: impl Into<SocketAddr>,
        local_port: u16,
        buffers: Buffers,
    ) -> Result<Self> {
        let peer = canonical(address.into());
        let accepted = wait::with(|network, now| network.connect(peer, local_port, buffers, now))??;
        Ok(Self::new(accepted))
    }

    /// Like [`connect`](Self::connect), for a task.
    pub(crate) async fn connect_async(address: SocketAddr) -> Result<Self> {
        let address = canonical(address);
        wait_until_reachable_async(address.ip(), CONFIGURE_MAX).await?;
        let stream = Self::begin(address, 0, Buffers::DEFAULT)?;
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
        self.peer
    }

    /// Returns our address.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        wait::with(|network, _| network.local_addr(self.id))
    }

    /// Waits for data and reads what is there. Returns 0 once the peer has sent its last.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the read timeout or if the peer fell silent, `ConnectionReset` if it broke
    /// the connection off.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let patience = self.patience(&self.read_timeout);
        wait::block_on(&self.signals.readable, patience, |network, _| {
            network.read(self.id, buffer)
        })
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there, else as [`read`](Self::read).
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        wait::try_once(|network, _| network.read(self.id, buffer))
    }

    /// Waits for data and copies what is there; the next read finds it again.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        let patience = self.patience(&self.read_timeout);
        wait::block_on(&self.signals.readable, patience, |network, _| {
            network.peek(self.id, buffer)
        })
    }

    /// Copies what is there, without waiting; the next read finds it again.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize> {
        wait::try_once(|network, _| network.peek(self.id, buffer))
    }

    /// Writes some of `bytes`, waiting for room. Returns how many.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` after the write half was shut down, `TimedOut` after the write timeout or if
    /// the peer fell silent, `ConnectionReset` if it broke the connection off.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        let patience = self.patience(&self.write_timeout);
        wait::block_on(&self.signals.writable, patience, |network, _| {
            network.write(self.id, bytes)
        })
    }

    /// Writes what there is room for, without waiting. Returns how many bytes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room, else as [`write`](Self::write).
    pub fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        wait::try_once(|network, _| network.write(self.id, bytes))
    }

    /// Sends at once what has been written, as far as the peer's window allows.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn flush(&self) -> Result<()> {
        wait::with(|network, now| network.push(now))
    }

    /// Ends the write half with what has been written so far, so that the peer then reads an end of
    /// data; ends the read half with what has arrived so far, though a peer cannot be kept from
    /// sending.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is closed, or the error that closed it.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        wait::with(|network, _| network.shutdown(self.id, how))?.map_err(Into::into)
    }

    /// Waits until the peer has acknowledged everything written.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn wait_until_acknowledged(&self) -> Result<()> {
        wait::block_on(
            &self.signals.writable,
            self.write_timeout.deadline(),
            |network, _| network.flushed(self.id),
        )
    }

    fn patience(&self, timeout: &MaybeDuration) -> Patience {
        if self.nonblocking.load(Ordering::Relaxed) {
            Patience::None
        } else {
            timeout.deadline().into()
        }
    }

    /// Ends the write half and waits until the peer has acknowledged it, as long as the time to
    /// linger lasts.
    fn finish(&self, linger: Duration) -> Result<()> {
        self.shutdown(Shutdown::Write)?;
        let patience = Patience::Until(Instant::now() + linger);
        wait::block_on(&self.signals.writable, patience, |network, _| {
            network.finished(self.id)
        })
    }
}

impl Pollable for TcpStream {
    fn readiness(&self) -> Result<Readiness> {
        wait::with(|network, _| network.readiness(self.id))
    }

    fn watch(&self, waker: &Waker) -> Watch {
        Watch::socket(&self.signals, waker)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let linger = self.linger.load();
        if let Some(linger) = linger.filter(|linger| !linger.is_zero()) {
            // What is not acknowledged in time goes on in the background.
            self.finish(linger).unwrap_or_default();
        }
        // Without a network there is nothing to close.
        wait::with(|network, now| match linger {
            Some(Duration::ZERO) => network.reset(self.id, now),
            _ => network.release(self.id, now),
        })
        .unwrap_or_default();
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
