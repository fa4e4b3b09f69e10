//! Admission: which VM may have its memory promised, and when.
//!
//! Without swap the mechanism admits a VM only if its whole limit can be promised, whatever the
//! policy says. With swap a VM asks for its working set, and asks again each time it is called back.

pub mod fifo;
pub mod line;
pub mod strict;
pub mod working_set;

use crate::vm::VmId;

/// On what occasion a VM asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It is new.
    New,
    /// It was in before, and is called back from swap.
    Return,
}

/// A VM that asks to be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub vm: VmId,
    /// The frames it still has to be promised; with swap, its working set.
    pub frames: u32,
    /// On what occasion it asks.
    pub occasion: Occasion,
}

/// The first answer to a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is admitted at once.
    Admit,
    /// It stays dormant until [`Gatekeeper::next`] names it.
    Wait,
    /// It is not created at all; if it returns, nobody calls it back.
    Refuse,
}

/// How VMs in memory fared for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many of them waited for their pages at a time, on average, in thousandths: the rate of
    /// faults times what each waited.
    pub waiting_thousandths: u64,
    /// The disks that serve them.
    pub disks: u32,
}

/// Why a VM has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no memory for it, or others were before it.
    Memory,
    /// Those in memory wait for their pages too much already.
    Faults,
}

/// An admission policy. Whatever it answers, no promise exceeds memory.
pub trait Gatekeeper: core::fmt::Debug {
    /// Answers a VM's request while `available` frames can be promised.
    fn arrive(&mut self, request: Request, available: u32) -> Verdict;

    /// Forgets a VM that ended while it waited.
    fn leave(&mut self, vm: VmId);

    /// Hears how VMs fared since it last did.
    fn notice(&mut self, _load: Load) {}

    /// Returns why VMs wait that do now.
    fn reason(&self) -> Reason {
        Reason::Memory
    }

    /// Returns a waiting VM to admit now that `available` frames can be promised, and forgets it.
    fn next(&mut self, available: u32) -> Option<VmId>;
}
