//! Round-robin with a quantum, kind to those who idle early.
//!
//! A VM that gives up the CPU before its quantum is over keeps the rest: when it wakes, it runs
//! before those who used theirs up, so a service that waits for packets answers soon. Once its
//! quantum is used up it queues behind everybody and gets a new one, so a busy VM waits at most one
//! quantum of each other VM.

use super::{Choice, QUANTUM_NS, SLICE_NS_MIN, Scheduler};
use crate::vm::VmId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use denali_abi::convert::u32_to_usize;

/// Where a VM queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Woken,
    Round,
}

/// What is known of the VM at one index.
#[derive(Clone, Copy, Debug)]
struct Account {
    vm: VmId,
    /// What is left of its quantum. A whole one has not been started, and is no credit.
    left_ns: u64,
    place: Place,
}

/// The two queues: those with a started quantum that woke, and the round.
#[derive(Debug, Default)]
pub struct RoundRobin {
    accounts: Vec<Option<Account>>,
    woken: VecDeque<VmId>,
    round: VecDeque<VmId>,
}

impl RoundRobin {
    fn account(&mut self, vm: VmId) -> Option<&mut Account> {
        let account = self.accounts.get_mut(u32_to_usize(vm.index()))?.as_mut()?;
        (account.vm == vm).then_some(account)
    }

    fn dequeue(&mut self, vm: VmId) {
        let Some(account) = self.account(vm) else {
            return;
        };
        let place = core::mem::replace(&mut account.place, Place::Nowhere);
        let queue = match place {
            Place::Nowhere => return,
            Place::Woken => &mut self.woken,
            Place::Round => &mut self.round,
        };
        if queue.front() == Some(&vm) {
            queue.pop_front();
        } else {
            queue.retain(|&queued| queued != vm);
        }
    }

    /// Gives `vm` a new quantum at the end of the round.
    fn requeue(&mut self, vm: VmId) {
        self.dequeue(vm);
        if let Some(account) = self.account(vm) {
            account.left_ns = QUANTUM_NS;
            account.place = Place::Round;
            self.round.push_back(vm);
        }
    }
}

impl Scheduler for RoundRobin {
    fn ready(&mut self, vm: VmId) {
        let index = u32_to_usize(vm.index());
        if index >= self.accounts.len() {
            self.accounts.resize(index + 1, None);
        }
        match self.account(vm) {
            None => {
                let account = Account {
                    vm,
                    left_ns: 0,
                    place: Place::Nowhere,
                };
                self.accounts[index] = Some(account);
                self.requeue(vm);
            }
            Some(account) if account.place != Place::Nowhere => {}
            Some(account) if (SLICE_NS_MIN..QUANTUM_NS).contains(&account.left_ns) => {
                account.place = Place::Woken;
                self.woken.push_back(vm);
            }
            Some(_) => self.requeue(vm),
        }
    }

    fn block(&mut self, vm: VmId) {
        self.dequeue(vm);
    }

    fn leave(&mut self, vm: VmId) {
        self.dequeue(vm);
        if self.account(vm).is_some() {
            self.accounts[u32_to_usize(vm.index())] = None;
        }
    }

    fn charge(&mut self, vm: VmId, ran_ns: u64) {
        let Some(account) = self.account(vm) else {
            return;
        };
        account.left_ns = account.left_ns.saturating_sub(ran_ns);
        if account.left_ns < SLICE_NS_MIN && account.place != Place::Nowhere {
            self.requeue(vm);
        }
    }

    fn yield_now(&mut self, vm: VmId) {
        if self
            .account(vm)
            .is_some_and(|account| account.place != Place::Nowhere)
        {
            self.requeue(vm);
        }
    }

    fn pick(&mut self) -> Option<Choice> {
        let vm = *self.woken.front().or_else(|| self.round.front())?;
        let slice_ns = self.account(vm)?.left_ns;
        Some(Choice { vm, slice_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(index: u64) -> VmId {
        VmId::from_raw(index + 1).expect("not zero")
    }

    fn picked(scheduler: &mut RoundRobin) -> Option<VmId> {
        scheduler.pick().map(|choice| choice.vm)
    }

    #[test]
    fn each_gets_its_quantum_in_turn() {
        let mut scheduler = RoundRobin::default();
        for index in 0..3 {
            scheduler.ready(vm(index));
        }
        for turn in 0..6 {
            let choice = scheduler.pick().expect("somebody is ready");
            assert_eq!(
                choice,
                Choice {
                    vm: vm(turn % 3),
                    slice_ns: QUANTUM_NS
                }
            );
            scheduler.charge(choice.vm, QUANTUM_NS);
        }
    }

    #[test]
    fn an_interrupted_vm_goes_on_with_the_rest_of_its_quantum() {
        let mut scheduler = RoundRobin::default();
        scheduler.ready(vm(0));
        scheduler.ready(vm(1));
        scheduler.charge(vm(0), QUANTUM_NS / 4);
        let rest = Choice {
            vm: vm(0),
            slice_ns: QUANTUM_NS / 4 * 3,
        };
        assert_eq!(scheduler.pick(), Some(rest));
    }

    #[test]
    fn who_idled_early_runs_first_when_it_wakes() {
        let mut scheduler = RoundRobin::default();
        for index in 0..3 {
            scheduler.ready(vm(index));
        }
        scheduler.charge(vm(0), QUANTUM_NS / 10);
        scheduler.block(vm(0));
        assert_eq!(picked(&mut scheduler), Some(vm(1)));
        scheduler.ready(vm(0));
        assert_eq!(picked(&mut scheduler), Some(vm(0)));
    }

    #[test]
    fn waking_often_does_not_starve_the_others() {
        let mut scheduler = RoundRobin::default();
        scheduler.ready(vm(0));
        scheduler.ready(vm(1));
        let mut busy_ran = 0;
        for _ in 0..1000 {
            let choice = scheduler.pick().expect("somebody is ready");
            if choice.vm == vm(0) {
                scheduler.charge(vm(0), QUANTUM_NS / 10);
                scheduler.block(vm(0));
                scheduler.ready(vm(0));
            } else {
                scheduler.charge(vm(1), choice.slice_ns);
                busy_ran += 1;
            }
        }
        assert!(busy_ran >= 80, "ran {busy_ran} times");
    }

    #[test]
    fn who_left_is_not_picked() {
        let mut scheduler = RoundRobin::default();
        scheduler.ready(vm(0));
        scheduler.ready(vm(1));
        scheduler.yield_now(vm(0));
        scheduler.leave(vm(0));
        scheduler.yield_now(vm(0));
        assert_eq!(picked(&mut scheduler), Some(vm(1)));
        scheduler.leave(vm(1));
        assert_eq!(picked(&mut scheduler), None);
    }
}
