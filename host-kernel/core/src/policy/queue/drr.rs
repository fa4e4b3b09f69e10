//! Deficit round robin: who waits for the NIC sends in turn, by bytes (Shreedhar & Varghese 1995).
//!
//! The queues are the VMs' own transmit rings; all that is kept of each is a few words, made room
//! for when a VM comes. While nobody waits, a VM sends a batch a crossing as with drop-tail. While
//! some wait, each turn is worth one full frame, and what a VM did not use of it counts for its next
//! turn. A super-segment goes once there is enough for an ordinary frame, and later turns pay for it.
//! Whoever begins to wait has its first turn before the others, but not twice in one round, so that
//! it gains time and no bandwidth (sparse flows of FQ-CoDel, RFC 8290 §3).
//!
//! A frame for all VMs costs every one of them time, which no turn of its sender pays for: beyond
//! [`FLOODS_PER_SECOND`] of them a VM's broadcasts are lost ("storm control" of Ethernet switches).

use super::{Full, QueueDiscipline, Verdict};
use crate::meter::Meter;
use crate::time::Time;
use alloc::vec::Vec;
use denali_abi::convert::{u32_to_usize, usize_to_u64};
use denali_abi::net::{FRAME_LEN_MAX, RING_LEN};

/// Frames of one VM per crossing: half a ring, so that the guest can refill while the rest goes.
const TRANSMIT_BUDGET: u32 = RING_LEN / 2;

/// The longest frame in bytes.
const FRAME: u32 = 1514;

const _: () = assert!(FRAME as usize == FRAME_LEN_MAX);

/// Bytes a turn is worth while others wait: a full frame, so that each turn sends at least one.
const QUANTUM_CONTENDED: u32 = FRAME;

/// Bytes a turn is worth while nobody else waits.
const QUANTUM_ALONE: u32 = TRANSMIT_BUDGET * FRAME;

/// Frames for all VMs that one VM may send a second: plenty for ARP and DHCP.
pub const FLOODS_PER_SECOND: u64 = 100;

/// The burst of them, as the time in which the rate gives as much, in nanoseconds.
const FLOOD_BURST_NS: u64 = 100_000_000;

/// What is kept of one VM.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Bytes it may still send in this turn; below zero, what it sent ahead of its turns.
    deficit: i64,
    floods: Meter,
    /// The count of turns when it last went first.
    first_at: u64,
}

/// The accounts, by index of the VM.
#[derive(Debug, Default)]
pub struct DeficitRoundRobin {
    accounts: Vec<Account>,
    /// Turns given while others waited.
    turns: u64,
}

impl DeficitRoundRobin {
    fn account(&mut self, vm: u32) -> Option<&mut Account> {
        self.accounts.get_mut(u32_to_usize(vm))
    }
}

impl QueueDiscipline for DeficitRoundRobin {
    fn join(&mut self, vm: u32) {
        let index = u32_to_usize(vm);
        if index >= self.accounts.len() {
            self.accounts.resize(index + 1, Account::default());
        }
        self.accounts[index] = Account {
            first_at: self.turns,
            ..Account::default()
        };
    }

    fn transmit_budget(&mut self, _vm: u32) -> u32 {
        TRANSMIT_BUDGET
    }

    fn begin_turn(&mut self, vm: u32, contended: bool) {
        self.turns += u64::from(contended);
        if let Some(account) = self.account(vm) {
            // What is left of a turn is less than a frame, unless the NIC cut it short. While nobody
            // waits, nobody minds what was sent ahead.
            account.deficit = if contended {
                account.deficit.min(i64::from(FRAME) - 1) + i64::from(QUANTUM_CONTENDED)
            } else {
                account.deficit.clamp(0, i64::from(FRAME) - 1) + i64::from(QUANTUM_ALONE)
            };
        }
    }

    fn may_send(&mut self, vm: u32, length: u32) -> bool {
        let Some(account) = self.account(vm) else {
            return true;
        };
        let length = i64::from(length);
        // Ordinary frames wait for a turn that pays for them.
        let may = account.deficit >= length.min(i64::from(FRAME));
        if may {
            account.deficit -= length;
        }
        may
    }

    fn ring_empty(&mut self, vm: u32) {
        if let Some(account) = self.account(vm) {
            account.deficit = account.deficit.min(0);
        }
    }

    fn may_flood(&mut self, vm: u32, now: Time) -> bool {
        let Some(account) = self.account(vm) else {
            return true;
        };
        let may =
            account.floods.debt_ns(now) < FLOOD_BURST_NS || cfg!(sabotage = "endless-broadcasts");
        if may {
            account.floods.take(1, FLOODS_PER_SECOND, now);
        }
        may
    }

    fn takes_turns(&self) -> bool {
        true
    }

    fn goes_first(&mut self, vm: u32, waiting: usize) -> bool {
        let turns = self.turns;
        let Some(account) = self.account(vm) else {
            return false;
        };
        let may = turns - account.first_at >= usize_to_u64(waiting);
        if may {
            account.first_at = turns;
        }
        may
    }

    fn on_full(&mut self, full: Full) -> Verdict {
        match full {
            Full::Nic { .. } => Verdict::Keep,
            Full::Peer { .. } | Full::Receiver { .. } => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives turns to VMs with frames of these lengths and returns the bytes each sent.
    fn turns<const N: usize>(lengths: [u32; N], rounds: u32) -> [u32; N] {
        let mut policy = DeficitRoundRobin::default();
        for (vm, _) in (0..).zip(lengths) {
            policy.join(vm);
        }
        let mut sent = [0; N];
        for _ in 0..rounds {
            for ((vm, length), sent) in (0..).zip(lengths).zip(&mut sent) {
                policy.begin_turn(vm, true);
                let before = *sent;
                while policy.may_send(vm, length) {
                    *sent += length;
                }
                assert!(*sent > before, "each turn sends a frame");
            }
        }
        sent
    }

    #[test]
    fn bytes_are_shared_evenly_whatever_the_frames_lengths() {
        let sent = turns([1514, 60, 1000, 757], 10_000);
        for bytes in sent {
            assert!(bytes.abs_diff(sent[0]) <= FRAME, "{sent:?}");
        }
    }

    #[test]
    fn an_empty_ring_saves_nothing() {
        let mut policy = DeficitRoundRobin::default();
        policy.join(0);
        for _ in 0..100 {
            policy.begin_turn(0, true);
            policy.ring_empty(0);
        }
        policy.begin_turn(0, true);
        assert!(policy.may_send(0, FRAME));
        assert!(!policy.may_send(0, 60));
    }

    #[test]
    fn a_newcomer_goes_first_once_a_round() {
        let mut policy = DeficitRoundRobin::default();
        for vm in 0..4 {
            policy.join(vm);
        }
        for round in 0..3 {
            for vm in 0..3 {
                policy.begin_turn(vm, true);
                let first = policy.goes_first(3, 3);
                assert_eq!(first, vm == 2, "round {round}, after the turn of {vm}");
            }
        }
    }

    #[test]
    fn a_turn_cut_short_is_not_counted_twice() {
        let mut policy = DeficitRoundRobin::default();
        policy.join(0);
        policy.begin_turn(0, true);
        policy.begin_turn(0, true);
        assert!(policy.may_send(0, FRAME));
        assert!(!policy.may_send(0, FRAME));
    }

    #[test]
    fn a_storm_of_broadcasts_is_lost_beyond_its_rate() {
        let mut policy = DeficitRoundRobin::default();
        policy.join(3);
        let passed = (0..100_000)
            .filter(|tick| policy.may_flood(3, Time::from_ns(tick * 100_000)))
            .count();
        assert!((1000..=1011).contains(&passed), "{passed} in ten seconds");
    }
}
