//! Weighted fair shares by virtual time, kind to those who idled.
//!
//! Each VM has a virtual time: the CPU time it was given, divided by its weight. The one that is
//! furthest behind runs next, so VMs that want more than they get share the CPU in proportion to
//! their weights, to within one quantum (start-time fair queueing, Goyal, Guo & Vin 1996).
//!
//! *Idle compensation*: a VM that idles falls behind the others, and so runs at once when it wakes.
//! It keeps at most [`CREDIT`] of that lead, so a long sleep buys no long monopoly. Nobody starves:
//! who runs moves ahead, a VM gains credit only as far as others were served meanwhile, and a new VM
//! begins without any.

use super::{Choice, QUANTUM_NS, Scheduler};
use crate::vm::VmId;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use denali_abi::control::{WEIGHT_DEFAULT, WEIGHT_MAX};
use denali_abi::convert::u32_to_usize;

/// CPU time in nanoseconds times [`WEIGHT_MAX`], divided by a weight.
type VirtualTime = u128;

/// The furthest a VM that wakes may be behind: a quantum of a VM of the default weight.
const CREDIT: VirtualTime = QUANTUM_NS as u128 * (WEIGHT_MAX / WEIGHT_DEFAULT) as u128;

/// What is known of the VM at one index.
#[derive(Clone, Copy, Debug)]
struct Account {
    vm: VmId,
    weight: u32,
    served: VirtualTime,
    ready: bool,
}

/// The accounts, and those who are runnable in order of what they were served.
#[derive(Debug, Default)]
pub struct Fair {
    accounts: Vec<Option<Account>>,
    queue: BTreeSet<(VirtualTime, VmId)>,
    /// What the least served of the runnable was served; it never goes back.
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
        self.accounts[index] = Some(Account {
            vm,
            weight: WEIGHT_DEFAULT,
            served: self.floor,
            ready: false,
        });
    }

    /// Moves `vm` to another virtual time.
    fn set_served(&mut self, vm: VmId, served: VirtualTime) {
        let Some(account) = self.account(vm) else {
            return;
        };
        let before = core::mem::replace(&mut account.served, served);
        if account.ready {
            self.queue.remove(&(before, vm));
            self.queue.insert((served, vm));
        }
        if let Some(&(least, _)) = self.queue.first() {
            self.floor = self.floor.max(least);
        }
    }
}

impl Scheduler for Fair {
    fn ready(&mut self, vm: VmId) {
        self.open(vm);
        let earliest = self.floor.saturating_sub(CREDIT);
        let Some(account) = self.account(vm) else {
            return;
        };
        if account.ready {
            return;
        }
        account.ready = true;
        account.served = account.served.max(earliest);
        let place = (account.served, vm);
        self.queue.insert(place);
    }

    fn block(&mut self, vm: VmId) {
        let Some(account) = self.account(vm) else {
            return;
        };
        account.ready = false;
        let place = (account.served, vm);
        self.queue.remove(&place);
    }

    fn leave(&mut self, vm: VmId) {
        self.block(vm);
        if self.account(vm).is_some() {
            self.accounts[u32_to_usize(vm.index())] = None;
        }
    }

    fn charge(&mut self, vm: VmId, ran_ns: u64) {
        let Some(account) = self.account(vm) else {
            return;
        };
        let cost = u128::from(ran_ns) * u128::from(WEIGHT_MAX) / u128::from(account.weight);
        let served = account.served.saturating_add(cost);
        self.set_served(vm, served);
    }

    fn yield_now(&mut self, vm: VmId) {
        let next = self.queue.iter().find(|&&(_, other)| other != vm);
        let Some(&(behind, _)) = next else {
            return;
        };
        if let Some(account) = self.account(vm) {
            let served = account.served.max(behind.saturating_add(1));
            self.set_served(vm, served);
        }
    }

    fn set_weight(&mut self, vm: VmId, weight: u32) {
        self.open(vm);
        if let Some(account) = self.account(vm) {
            account.weight = weight.clamp(1, WEIGHT_MAX);
        }
    }

    fn pick(&mut self) -> Option<Choice> {
        let &(_, vm) = self.queue.first()?;
        Some(Choice {
            vm,
            slice_ns: QUANTUM_NS,
        })
    }
}

#[cfg(test)]
#[path = "fair_tests.rs"]
mod tests;
