//! Scheduling: who runs next, and for how long.
//!
//! The mechanism tells the policy who became runnable and who no longer is, and checks that whoever
//! it picks is. A policy that picks nobody, or always the wrong one, costs speed only: the
//! mechanism then finds a runnable VM itself.

pub mod fair;
mod queue;
pub mod round_robin;

use crate::vm::VmId;

/// The longest time a VM runs before others get their turn, in nanoseconds.
pub const QUANTUM_NS: u64 = 10_000_000;

/// The shortest slice worth a world switch, in nanoseconds.
pub const SLICE_NS_MIN: u64 = 100_000;

/// A VM to run and how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub vm: VmId,
    /// For how many nanoseconds; held between [`SLICE_NS_MIN`] and [`QUANTUM_NS`].
    pub slice_ns: u64,
}

/// A scheduling policy.
pub trait Scheduler: core::fmt::Debug {
    /// Takes note that `vm` became runnable.
    fn ready(&mut self, vm: VmId);

    /// Takes note that `vm` waits and may become runnable again.
    fn block(&mut self, vm: VmId);

    /// Forgets `vm`.
    fn leave(&mut self, vm: VmId);

    /// Takes note that `vm` ran for `ran_ns`.
    fn charge(&mut self, vm: VmId, ran_ns: u64);

    /// Takes note that `vm` gives up the rest of its quantum.
    fn yield_now(&mut self, vm: VmId);

    /// Takes note of the weight of `vm`, before it first becomes runnable and at every change. A
    /// policy without weights need not care.
    fn set_weight(&mut self, _vm: VmId, _weight: u32) {}

    /// Returns who should run next; it stays runnable until the policy is told otherwise.
    fn pick(&mut self) -> Option<Choice>;
}
