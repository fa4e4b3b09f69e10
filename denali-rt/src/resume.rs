//! After a restore or in a clone: the VM goes on somewhere in its life, at another time, maybe as
//! somebody else.
//!
//! The kernel counts it in the virtual registers. Before any thread runs again the clock is right,
//! random numbers are new, and the network has the addresses of now; connections of the VM this one
//! was cloned from have ended. What a service knows by itself (its own keys, names it drew, leases) is
//! renewed by its own hooks.

use crate::net;
use crate::registers;
use crate::sync::GuestCell;
use crate::time::Instant;
use core::sync::atomic::{AtomicU32, Ordering};

/// Most hooks of a service.
pub const HOOKS_MAX: usize = 8;

/// The generation that everybody was told of.
static KNOWN: Known = Known(AtomicU32::new(0));

static HOOKS: GuestCell<Hooks> = GuestCell::new(Hooks([None; HOOKS_MAX]));

/// What is to be called.
#[derive(Clone, Copy)]
struct Hooks([Option<fn()>; HOOKS_MAX]);

/// A generation that may be an old one.
struct Known(AtomicU32);

/// There are [`HOOKS_MAX`] hooks already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyHooks;

impl core::fmt::Display for TooManyHooks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "there are {HOOKS_MAX} hooks for a resume already")
    }
}

impl core::error::Error for TooManyHooks {}

/// Has `hook` called whenever this VM was restored or is a clone, before any thread runs. It must not
/// wait, and is called with interrupts masked: it sets a flag, wakes a thread, draws a new key.
///
/// # Errors
///
/// [`TooManyHooks`].
pub fn on_resume(hook: fn()) -> Result<(), TooManyHooks> {
    HOOKS.with(|hooks| hooks.add(hook))
}

/// Returns how often this VM was restored or cloned.
#[must_use]
pub fn generation() -> u32 {
    registers::resume_generation()
}

/// Tells everybody if the VM was restored or cloned since the last call.
pub(crate) fn notice(now: Instant) {
    if !KNOWN.is_old(generation()) {
        return;
    }
    net::resume(now);
    // A hook may add another.
    HOOKS.with(|hooks| *hooks).call();
}

impl Hooks {
    fn add(&mut self, hook: fn()) -> Result<(), TooManyHooks> {
        let place = self.0.iter_mut().find(|place| place.is_none());
        *place.ok_or(TooManyHooks)? = Some(hook);
        Ok(())
    }

    fn call(self) {
        for hook in self.0.into_iter().flatten() {
            hook();
        }
    }
}

impl Known {
    /// Returns whether `generation` is a new one, which is known from then on.
    fn is_old(&self, generation: u32) -> bool {
        self.0.swap(generation, Ordering::Relaxed) != generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_is_new_once() {
        let known = Known(AtomicU32::new(0));
        let seen = [0, 1, 1, 2, 2, 0].map(|generation| known.is_old(generation));
        assert_eq!(seen, [false, true, false, true, false, true]);
    }

    #[test]
    fn hooks_are_bounded_and_all_called() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let hook = || {
            CALLS.fetch_add(1, Ordering::Relaxed);
        };
        let mut hooks = Hooks([None; HOOKS_MAX]);
        for _ in 0..HOOKS_MAX {
            assert_eq!(hooks.add(hook), Ok(()));
        }
        assert_eq!(hooks.add(hook), Err(TooManyHooks));
        hooks.call();
        assert_eq!(CALLS.load(Ordering::Relaxed), 8);
    }
}
