//! What can be set on a connection, and asked of it.

use super::stack::connection::{Congestion, KeepAlive};
use super::tcp::TcpStream;
use super::wait;
use crate::io::{Error, ErrorKind, Result};
use crate::time::{Duration, Instant};
use core::sync::atomic::{AtomicU64, Ordering};

impl TcpStream {
    /// Sets whether small segments are sent without waiting until earlier ones are acknowledged;
    /// so they are unless set otherwise.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        wait::with(|network, _| network.set_nodelay(self.id, nodelay))
    }

    /// Returns whether small segments are sent at once.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn nodelay(&self) -> Result<bool> {
        wait::with(|network, _| network.nodelay(self.id))
    }

    /// Sets whether and how to find out that a silent peer is gone; `None`, as at first, means
    /// never, so that an idle connection costs no CPU time. Reads and writes fail with `TimedOut`
    /// then.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an interval of zero.
    pub fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) -> Result<()> {
        let is_hasty = |keep: KeepAlive| keep.idle.is_zero() || keep.interval.is_zero();
        if keep_alive.is_some_and(is_hasty) {
            return Err(Error::new(ErrorKind::InvalidInput, "an interval of zero"));
        }
        wait::with(|network, _| network.set_keep_alive(self.id, keep_alive))
    }

    /// Returns how a silent peer is probed.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn keep_alive(&self) -> Result<Option<KeepAlive>> {
        wait::with(|network, _| network.keep_alive(self.id))
    }

    /// Sets how long the peer may leave what we sent unanswered before the connection is given up
    /// (RFC 5482); two minutes unless set, which `None` restores.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        check_timeout(timeout)?;
        wait::with(|network, _| network.set_user_timeout(self.id, timeout))
    }

    /// Returns how long the peer may leave what we sent unanswered, if it was set.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn user_timeout(&self) -> Result<Option<Duration>> {
        wait::with(|network, _| network.user_timeout(self.id))
    }

    /// Sets what dropping the stream does. `None`, as at first: what was written still goes out, in
    /// the background. Zero: the connection is reset, and what was not sent yet is lost. More: the
    /// drop waits that long for the peer to acknowledge everything; a task must not use that, for
    /// it would stop its executor.
    ///
    /// # Errors
    ///
    /// None so far.
    pub fn set_linger(&self, linger: Option<Duration>) -> Result<()> {
        self.linger.store(linger);
        Ok(())
    }

    /// Returns what dropping the stream does; see [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    ///
    /// None so far.
    pub fn linger(&self) -> Result<Option<Duration>> {
        Ok(self.linger.load())
    }

    /// Sets what keeps us from overloading the path: unless set, nothing but the peer's window for
    /// the first ten segments, and Reno from then on.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn set_congestion(&self, congestion: Congestion) -> Result<()> {
        wait::with(|network, _| network.set_congestion(self.id, congestion))
    }

    /// Sets the time to live of packets, 1 to 255; 64 unless set.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for any other.
    pub fn set_ttl(&self, ttl: u32) -> Result<()> {
        let ttl = u8::try_from(ttl).ok().filter(|ttl| *ttl > 0);
        let ttl = ttl.ok_or(Error::new(ErrorKind::InvalidInput, "a time to live"))?;
        wait::with(|network, _| network.set_ttl(self.id, ttl))
    }

    /// Returns the time to live of packets.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn ttl(&self) -> Result<u32> {
        wait::with(|network, _| network.ttl(self.id).into())
    }

    /// Sets how long a read waits; `None`, as at first, means for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as in `std`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        check_timeout(timeout)?;
        self.read_timeout.store(timeout);
        Ok(())
    }

    /// Returns how long a read waits.
    ///
    /// # Errors
    ///
    /// None so far.
    pub fn read_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.read_timeout.load())
    }

    /// Sets how long a write waits; `None`, as at first, means for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as in `std`.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        check_timeout(timeout)?;
        self.write_timeout.store(timeout);
        Ok(())
    }

    /// Returns how long a write waits.
    ///
    /// # Errors
    ///
    /// None so far.
    pub fn write_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.write_timeout.load())
    }

    /// Sets whether reads and writes fail with `WouldBlock` instead of waiting.
    ///
    /// # Errors
    ///
    /// None so far.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// Takes the error that ended the connection, if one did: what `SO_ERROR` is elsewhere.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn take_error(&self) -> Result<Option<Error>> {
        wait::with(|network, _| network.take_error(self.id).map(Error::from))
    }
}

/// Refuses a timeout of zero, as `std` does.
pub(super) fn check_timeout(timeout: Option<Duration>) -> Result<()> {
    match timeout {
        Some(Duration::ZERO) => Err(Error::new(ErrorKind::InvalidInput, "a timeout of zero")),
        _ => Ok(()),
    }
}

/// A duration, or none, that can be set through a shared reference.
#[derive(Debug)]
pub(super) struct MaybeDuration(AtomicU64);

impl MaybeDuration {
    const NONE: u64 = u64::MAX;

    pub(super) const fn none() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    pub(super) fn store(&self, duration: Option<Duration>) {
        let ns = duration.and_then(|duration| u64::try_from(duration.as_nanos()).ok());
        self.0.store(ns.unwrap_or(Self::NONE), Ordering::Relaxed);
    }

    pub(super) fn load(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            Self::NONE => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    /// Returns when a wait that begins now has to end.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.load().map(|duration| Instant::now() + duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_kept_and_one_of_zero_refused() {
        let kept = MaybeDuration::none();
        assert_eq!((kept.load(), kept.deadline()), (None, None));
        kept.store(Some(Duration::from_millis(5)));
        assert_eq!(kept.load(), Some(Duration::from_millis(5)));
        assert!(kept.deadline() > Some(Instant::now()));
        assert!(check_timeout(Some(Duration::ZERO)).is_err());
        assert!(check_timeout(None).is_ok());
    }
}
