//! Queue discipline: which frame goes when there is no room, and how many a VM sends at once.
//!
//! The kernel keeps no frames of its own. A frame waits in the ring of the guest that sent it, at
//! that guest's expense, or it is dropped. A policy is asked through [`budget`] and [`verdict`],
//! which bound what it answers.

pub mod drop_tail;
pub mod drr;

pub use drop_tail::DropTail;
pub use drr::DeficitRoundRobin;

use crate::time::Time;
use denali_abi::net::RING_LEN;

/// What has no room for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The NIC's transmit queue.
    Nic {
        /// The sender.
        from: u32,
    },
    /// A VM's receive ring, for another VM's frame.
    Peer {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
    },
    /// A VM's receive ring, for a frame from the wire, or one for many VMs.
    Receiver {
        /// The receiver.
        to: u32,
    },
}

/// What becomes of a frame that finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is lost.
    Drop,
    /// It stays in its sender's transmit ring, and those behind it wait too.
    Keep,
}

/// A queue discipline. Whatever it answers, it costs speed, never isolation.
///
/// The provided methods are those of a discipline without turns.
pub trait QueueDiscipline: core::fmt::Debug {
    /// Takes note that `vm` was created: whatever it needs is allocated now.
    fn join(&mut self, _vm: u32) {}

    /// Returns how many frames `vm` may send in one crossing.
    fn transmit_budget(&mut self, vm: u32) -> u32;

    /// Takes note that it is the turn of `vm` to send, while others wait for the NIC or not.
    fn begin_turn(&mut self, _vm: u32, _contended: bool) {}

    /// Decides whether the next frame of `vm` is still part of its turn. The first one of a turn is
    /// sent whatever the answer.
    fn may_send(&mut self, _vm: u32, _length: u32) -> bool {
        true
    }

    /// Takes note that `vm` has nothing more to send.
    fn ring_empty(&mut self, _vm: u32) {}

    /// Decides whether `vm` may send a frame to all VMs; else it is lost.
    fn may_flood(&mut self, _vm: u32, _now: Time) -> bool {
        true
    }

    /// Returns whether a VM that has a frame for the NIC queues behind those that wait for it.
    fn takes_turns(&self) -> bool {
        false
    }

    /// Decides whether `vm`, which begins to wait for the NIC, goes before the `waiting` VMs that do
    /// already.
    fn goes_first(&mut self, _vm: u32, _waiting: usize) -> bool {
        false
    }

    /// Decides about a frame that finds no room.
    fn on_full(&mut self, full: Full) -> Verdict;
}

/// Asks for a transmit budget and holds it between one frame and a full ring, so that a VM neither
/// starves nor holds the CPU by refilling its ring.
pub fn budget(policy: &mut dyn QueueDiscipline, vm: u32) -> u32 {
    policy.transmit_budget(vm).clamp(1, RING_LEN)
}

/// Asks about a frame without room, and drops it where it has no sender's ring to stay in.
pub fn verdict(policy: &mut dyn QueueDiscipline, full: Full) -> Verdict {
    match (policy.on_full(full), full) {
        (_, Full::Receiver { .. }) => Verdict::Drop,
        (answer, Full::Nic { .. } | Full::Peer { .. }) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Absurd(u32);

    impl QueueDiscipline for Absurd {
        fn transmit_budget(&mut self, _: u32) -> u32 {
            self.0
        }

        fn on_full(&mut self, _: Full) -> Verdict {
            Verdict::Keep
        }
    }

    #[test]
    fn a_budget_lies_between_one_frame_and_a_full_ring() {
        assert_eq!(budget(&mut Absurd(0), 1), 1);
        assert_eq!(budget(&mut Absurd(7), 1), 7);
        assert_eq!(budget(&mut Absurd(u32::MAX), 1), RING_LEN);
    }

    #[test]
    fn a_frame_from_the_wire_is_never_kept() {
        assert_eq!(
            verdict(&mut Absurd(0), Full::Receiver { to: 1 }),
            Verdict::Drop
        );
        assert_eq!(
            verdict(&mut Absurd(0), Full::Nic { from: 1 }),
            Verdict::Keep
        );
        assert_eq!(
            verdict(&mut Absurd(0), Full::Peer { from: 1, to: 2 }),
            Verdict::Keep
        );
    }
}
