//! Whether somebody is there: echo requests of ICMP and ICMPv6.

use super::config::{CONFIGURE_MAX, wait_until_reachable};
use super::readiness::Notifier;
use super::stack::ECHO_PAYLOAD_MAX;
use super::stack::connection::Signals;
use super::wait;
use crate::io::{Error, ErrorKind, Result};
use crate::time::{Duration, Instant};
use alloc::sync::Arc;
use core::net::IpAddr;
use core::task::Poll;

/// Asks `remote` for an echo of `payload` and returns how long it took.
///
/// # Errors
///
/// `TimedOut` without an answer within `timeout`, `InvalidInput` for a payload of more than 1,024
/// bytes, `InvalidData` if the answer holds another, `NetworkUnreachable` without an address of our
/// own.
pub fn ping(remote: IpAddr, payload: &[u8], timeout: Duration) -> Result<Duration> {
    const SEQUENCE: u16 = 1;
    if payload.len() > ECHO_PAYLOAD_MAX {
        return Err(Error::new(ErrorKind::InvalidInput, "too long a payload"));
    }
    let remote = remote.to_canonical();
    wait_until_reachable(remote, timeout.min(CONFIGURE_MAX))?;
    let start = Instant::now();
    let asking = Asking::open(remote)?;
    wait::with(|network, now| network.ask_echo(asking.ident, SEQUENCE, payload, now))??;
    let deadline = Some(start + timeout);
    let answer = wait::block_on(&asking.signals.readable, deadline, |network, _| {
        loop {
            match network.take_echo(asking.ident) {
                // Somebody else's answer is none.
                Poll::Ready(Ok(echo)) if echo.from != remote || echo.sequence != SEQUENCE => {}
                answer => return answer,
            }
        }
    });
    if answer?.payload == payload {
        Ok(start.elapsed())
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}

/// An identifier of ours for requests, until dropped.
struct Asking {
    ident: u16,
    signals: Arc<Signals<Notifier>>,
}

impl Asking {
    fn open(remote: IpAddr) -> Result<Self> {
        let (ident, signals) = wait::with(|network, _| network.open_echo(remote))??;
        Ok(Self { ident, signals })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // The network was there when the identifier was taken.
        wait::with(|network, _| network.close_echo(self.ident)).unwrap_or_default();
    }
}
