//! Weighted fair shares by virtual time, kind to those who idled.
//!
//! Each VM has a virtual time: the CPU time it was served, divided by its weight. The one whose next
//! quantum would end first in virtual time runs next, so VMs that want more than they get share the
//! CPU in proportion to their weights, to within one quantum (weighted fair queueing, Demers, Keshav
//! & Shenker 1989).
//!
//! *Idle compensation*: a VM that wakes is expected to give up its quantum early again, and is placed
//! by where it stands, not by where a whole quantum would take it. So it runs before the busy ones,
//! until it has used a quantum since it woke. What it did not use while it slept counts for one
//! quantum at most, so a long sleep buys no long monopoly. Nobody starves: who runs moves ahead, and
//! nobody gets further ahead than one quantum by waking. A new VM begins without compensation.

use super::queue::{Place, Queue, VirtualTime};
use super::{Choice, QUANTUM_NS, Scheduler};
use crate::vm::VmId;
use alloc::vec::Vec;
use core::num::{NonZeroU32, NonZeroU64, NonZeroU128};
use denali_abi::control::{WEIGHT_DEFAULT, WEIGHT_MAX};
use denali_abi::convert::u32_to_usize;

/// What is known of the VM at one index.
#[derive(Clone, Copy, Debug)]
struct Account {
    vm: VmId,
    weight: NonZeroU32,
    served: VirtualTime,
    /// How far a quantum moves it.
    quantum: VirtualTime,
    /// What is left of the quantum since it woke, in which it runs before the busy ones.
    compensation_ns: u64,
    ready: bool,
    /// Whether it ever was runnable.
    began: bool,
}

impl Account {
    /// Returns how far `ran_ns` of CPU time move the VM in virtual time.
    fn virtual_time(&self, ran_ns: u64) -> VirtualTime {
        // In 64 bits a division is one instruction.
        match ran_ns.checked_mul(u64::from(WEIGHT_MAX)) {
            Some(product) => u128::from(product / NonZeroU64::from(self.weight)),
            None => u128::from(ran_ns) * u128::from(WEIGHT_MAX) / NonZeroU128::from(self.weight),
        }
    }

    fn weigh(&mut self, weight: NonZeroU32) {
        self.weight = weight;
        self.quantum = self.virtual_time(QUANTUM_NS);
    }

    /// Returns where the VM queues.
    fn place(&self) -> Place {
        let expected = if self.compensation_ns > 0 {
            0
        } else {
            self.quantum
        };
        (self.served.saturating_add(expected), self.vm)
    }
}

/// The accounts, and those who are runnable in order of their places.
#[derive(Debug, Default)]
pub struct Fair {
    accounts: Vec<Option<Account>>,
    queue: Queue,
    /// The foremost place of the runnable so far; it never goes back.
    floor: VirtualTime,
}

impl Fair {
    fn account(&mut self, vm: VmId) -> Option<&mut Account> {
        let account = self.accounts.get_mut(u32_to_usize(vm.index()))?.as_mut()?;
        (account.vm == vm).then_some(account)
    }

    /// Opens an account for `vm`, unless it has one.
    fn open(&mut self, vm: VmId) {
        if self.account(vm).is_some() {
            return;
        }
        let index = u32_to_usize(vm.index());
        if index >= self.accounts.len() {
            self.accounts.resize(index + 1, None);
        }
        let mut account = Account {
            vm,
            weight: NonZeroU32::MIN,
            served: 0,
            quantum: 0,
            compensation_ns: 0,
            ready: false,
            began: false,
        };
        account.weigh(weight(WEIGHT_DEFAULT));
        account.served = self.floor().saturating_sub(account.quantum);
        self.accounts[index] = Some(account);
    }

    /// Changes the account of `vm`, and its place in the queue accordingly.
    fn change(&mut self, vm: VmId, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.account(vm) else {
            return;
        };
        change(account);
        let place = account.place();
        if account.ready {
            self.queue.place(place);
        }
    }

    /// Returns the foremost place so far. Whoever moves backwards must have asked before.
    fn floor(&mut self) -> VirtualTime {
        if let Some(&(first, _)) = self.queue.first() {
            self.floor = self.floor.max(first);
        }
        self.floor
    }
}

impl Scheduler for Fair {
    fn ready(&mut self, vm: VmId) {
        self.open(vm);
        let floor = self.floor();
        let Some(account) = self.account(vm) else {
            return;
        };
        if account.ready {
            return;
        }
        account.ready = true;
        if account.began {
            let earliest = floor.saturating_sub(account.quantum);
            account.served = account.served.max(earliest);
            account.compensation_ns = QUANTUM_NS;
        }
        account.began = true;
        let place = account.place();
        self.queue.insert(place);
    }

    fn block(&mut self, vm: VmId) {
        let Some(account) = self.account(vm) else {
            return;
        };
        account.ready = false;
        self.queue.remove(vm);
    }

    fn leave(&mut self, vm: VmId) {
        self.block(vm);
        if self.account(vm).is_some() {
            self.accounts[u32_to_usize(vm.index())] = None;
        }
    }

    fn charge(&mut self, vm: VmId, ran_ns: u64) {
        self.change(vm, |account| {
            account.served = account.served.saturating_add(account.virtual_time(ran_ns));
            account.compensation_ns = account.compensation_ns.saturating_sub(ran_ns);
        });
    }

    fn yield_now(&mut self, vm: VmId) {
        let Some(&(behind, _)) = self.queue.first_other(vm) else {
            return;
        };
        self.change(vm, |account| {
            account.compensation_ns = 0;
            account.served = account.served.max(behind.saturating_add(1));
        });
    }

    fn set_weight(&mut self, vm: VmId, given: u32) {
        self.open(vm);
        let (floor, weight) = (self.floor(), weight(given));
        self.change(vm, |account| {
            // What it is ahead of others is so much CPU time, and stays that.
            let ahead = account.served.saturating_sub(floor);
            let ahead_now = ahead * u128::from(account.weight.get()) / NonZeroU128::from(weight);
            account.served = account.served - ahead + ahead_now;
            account.weigh(weight);
        });
    }

    fn pick(&mut self) -> Option<Choice> {
        let &(first, vm) = self.queue.first()?;
        self.floor = self.floor.max(first);
        Some(Choice {
            vm,
            slice_ns: QUANTUM_NS,
        })
    }
}

/// Returns the weight that counts.
fn weight(given: u32) -> NonZeroU32 {
    NonZeroU32::new(given.min(WEIGHT_MAX)).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
#[path = "fair_tests.rs"]
mod tests;
