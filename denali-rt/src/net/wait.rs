//! Blocking: what stands between the stack, which never waits, and threads, which do.

use super::device::RingDevice;
use super::readiness::Notifier;
use super::stack::{Setup, Stack};
use crate::heap;
use crate::interrupt;
use crate::io::{Error, ErrorKind, Result};
use crate::registers;
use crate::sync::GuestCell;
use crate::time::Instant;
use alloc::boxed::Box;
use core::task::Poll;
use denali_abi::convert::u32_to_usize;
use denali_abi::net::NetworkConfig;

/// The stack of this VM.
pub(super) type Network = Stack<RingDevice, Notifier>;

static NETWORK: GuestCell<State> = GuestCell::new(State::Unknown);

/// The network of this VM, as far as it is known.
#[derive(Debug)]
enum State {
    /// Nobody has asked yet.
    Unknown,
    /// The VM has none.
    Absent,
    Present(Box<Network>),
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all: it fails with `WouldBlock`.
    None,
    /// Until then: it fails with `TimedOut`.
    Until(Instant),
    /// As long as it takes.
    Endless,
}

impl From<Option<Instant>> for Patience {
    fn from(deadline: Option<Instant>) -> Self {
        deadline.map_or(Self::Endless, Self::Until)
    }
}

/// Calls `f` with the stack, which starts at the first call.
pub(super) fn with<R>(f: impl FnOnce(&mut Network, Instant) -> R) -> Result<R> {
    NETWORK.with(|state| {
        if let State::Unknown = state {
            *state = start(registers::network()).map_or(State::Absent, State::Present);
        }
        match state {
            State::Present(network) => Ok(f(network, Instant::now())),
            State::Unknown | State::Absent => Err(Error::new(
                ErrorKind::NetworkUnreachable,
                "this VM has no network",
            )),
        }
    })
}

/// Calls `f` with the stack if it has started.
pub(super) fn with_started<R>(f: impl FnOnce(&mut Network) -> R) -> Option<R> {
    NETWORK.with(|state| match state {
        State::Present(network) => Some(f(network)),
        State::Unknown | State::Absent => None,
    })
}

/// Repeats `attempt` until it is ready, waiting for `signal` in between, as long as `patience` lasts.
pub(super) fn block_on<R>(
    signal: &Notifier,
    patience: impl Into<Patience>,
    mut attempt: impl FnMut(&mut Network, Instant) -> Poll<Result<R, ErrorKind>>,
) -> Result<R> {
    let _masked = interrupt::mask();
    let deadline = match patience.into() {
        Patience::None => return try_once(attempt),
        Patience::Until(deadline) => Some(deadline),
        Patience::Endless => None,
    };
    let mut timed_out = false;
    loop {
        match with(&mut attempt)? {
            Poll::Ready(result) => return result.map_err(Error::from),
            Poll::Pending if timed_out => return Err(ErrorKind::TimedOut.into()),
            Poll::Pending => timed_out = signal.waiting.wait_until_maybe(deadline),
        }
    }
}

/// Tries `attempt` once; fails with `WouldBlock` if it is not ready.
pub(super) fn try_once<R>(
    attempt: impl FnOnce(&mut Network, Instant) -> Poll<Result<R, ErrorKind>>,
) -> Result<R> {
    match with(attempt)? {
        Poll::Ready(result) => result.map_err(Error::from),
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

/// Repeats `attempt` until it is ready, waiting for `signal` as a task in between.
pub(super) async fn until_ready<R>(
    signal: &Notifier,
    mut attempt: impl FnMut(&mut Network, Instant) -> Poll<Result<R, ErrorKind>>,
) -> Result<R> {
    loop {
        let changed = signal.waiting.wait_async();
        match with(&mut attempt)? {
            Poll::Ready(result) => return result.map_err(Error::from),
            Poll::Pending => changed.await,
        }
    }
}

/// Starts the stack with a network of the VM's own choice instead of the kernel's.
pub(super) fn start_with(network: NetworkConfig) -> Result<()> {
    NETWORK.with(|state| {
        if let State::Present(_) = state {
            return Err(Error::new(
                ErrorKind::ResourceBusy,
                "the network runs already",
            ));
        }
        *state = start(network).map_or(State::Absent, State::Present);
        Ok(())
    })
}

/// Starts the stack, if `network` is one.
fn start(network: NetworkConfig) -> Option<Box<Network>> {
    let registers = registers::get();
    if !cfg!(denali) || network.mac == [0; 6] || network.mac[0] & 1 != 0 {
        return None;
    }
    let word = |at: usize| {
        let bytes = registers.seed.get(at..at + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    let setup = Setup {
        network,
        seed: [word(0)?, word(8)?],
        memory_left: heap::left,
        memory_limit: u32_to_usize(registers::memory_pages()) * 4096,
    };
    Some(Box::new(Stack::new(
        RingDevice::of_this_vm(),
        &setup,
        Instant::now(),
    )))
}
