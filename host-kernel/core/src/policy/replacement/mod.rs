//! Replacement: who leaves memory when it is short, and which pages.
//!
//! The mechanism's hand goes round the VMs in memory and shows those that idle to the policy, one
//! after the other, and the pages of those that are busy. The first VM the policy gives up goes whole;
//! of a busy one the pages it gives up go. If it keeps them all, the VM that idles the longest goes.
//! Whoever waits for the NIC is never shown.

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

/// A page of a busy VM under the hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCandidate {
    /// Whose.
    pub vm: VmId,
    /// Whether it was used since the hand last passed it.
    pub referenced: bool,
    /// For how long it was not, in nanoseconds of the VM's own CPU time: a VM that sleeps or waits
    /// does not lose its working set by that.
    pub unused_ns: u64,
}

/// What becomes of a [`Candidate`] or a [`PageCandidate`].
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

    /// Judges a page of a busy VM under the hand.
    fn judge_page(&mut self, candidate: &PageCandidate) -> Judgement;
}
