//! Replacement: who leaves memory when it is short.
//!
//! The mechanism's hand goes round the VMs in memory and shows those that idle to the policy, one
//! after the other. The first one the policy gives up goes; if it keeps them all, the one that idles
//! the longest does. Whoever is busy, or waits for the NIC, is never shown.

pub mod clock;
pub mod ws_clock;

use crate::vm::VmId;

/// An idle VM under the hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub vm: VmId,
    /// How long it has idled, in nanoseconds.
    pub idle_ns: u64,
    /// How long ago the hand last passed it, or it came in, in nanoseconds.
    pub passed_ns: u64,
    /// What it has in memory.
    pub frames: u32,
}

/// What becomes of a [`Candidate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It stays; the hand goes on.
    Stay,
    /// It leaves.
    Go,
}

/// A replacement policy.
pub trait Replacement: core::fmt::Debug {
    /// Judges an idle VM under the hand.
    fn judge(&mut self, candidate: &Candidate) -> Judgement;
}
