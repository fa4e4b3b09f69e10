//! Alarms: when idle VMs want to be woken.
//!
//! A VM has at most one. Setting, cancelling and expiring cost O(log n), and nothing stale stays
//! behind however often a guest changes its mind.

use super::VmId;
use crate::time::Time;
use alloc::collections::BTreeSet;

/// The pending alarms, by deadline.
#[derive(Debug, Default)]
pub struct Alarms {
    pending: BTreeSet<(Time, VmId)>,
}

impl Alarms {
    /// Sets the alarm of `vm`, which must have none.
    pub fn set(&mut self, deadline: Time, vm: VmId) {
        self.pending.insert((deadline, vm));
    }

    /// Cancels the alarm of `vm` at `deadline`.
    pub fn cancel(&mut self, deadline: Time, vm: VmId) {
        self.pending.remove(&(deadline, vm));
    }

    /// Returns the earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.pending.first().map(|&(deadline, _)| deadline)
    }

    /// Takes out one VM whose deadline is not after `now`, earliest first.
    pub fn expire(&mut self, now: Time) -> Option<VmId> {
        let &(deadline, vm) = self.pending.first()?;
        if deadline > now {
            return None;
        }
        self.pending.pop_first();
        Some(vm)
    }

    /// Returns how many are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Returns whether none is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns whether `vm` has an alarm at `deadline`.
    #[must_use]
    pub fn contains(&self, deadline: Time, vm: VmId) -> bool {
        self.pending.contains(&(deadline, vm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(index: u64) -> VmId {
        VmId::from_raw(index + 1).expect("not zero")
    }

    #[test]
    fn expire_in_order_of_deadline() {
        let mut alarms = Alarms::default();
        alarms.set(Time::from_ns(20), vm(0));
        alarms.set(Time::from_ns(10), vm(1));
        alarms.set(Time::from_ns(30), vm(2));
        alarms.cancel(Time::from_ns(20), vm(0));
        assert_eq!(alarms.next_deadline(), Some(Time::from_ns(10)));
        assert_eq!(alarms.expire(Time::from_ns(9)), None);
        assert_eq!(alarms.expire(Time::from_ns(30)), Some(vm(1)));
        assert_eq!(alarms.expire(Time::from_ns(30)), Some(vm(2)));
        assert_eq!(alarms.expire(Time::from_ns(30)), None);
    }
}
