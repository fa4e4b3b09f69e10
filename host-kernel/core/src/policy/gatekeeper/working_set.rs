//! Working sets: small VMs may go before large ones that do not fit yet, for a while.
//!
//! First in, first out, but for this: while the first in the queue does not fit, a later one that
//! does may overtake it, at most `OVERTAKEN_MAX` times. So memory is not idle while a large VM
//! waits for much of it, and nobody starves.
//!
//! Working sets are what VMs left with. Where these are too small, those in memory fault: if more of
//! them wait for pages than the disks serve well, nobody comes in until they wait less, but for one
//! now and then.

use super::line::Line;
use super::{Gatekeeper, Load, Reason, Request, Verdict};
use crate::vm::VmId;

/// How often the first in the queue is overtaken before it is waited for.
const OVERTAKEN_MAX: u32 = 32;

/// How far back in the queue somebody is looked for.
const REACH: usize = 16;

/// VMs that may wait for pages at a time, for each disk: one whose page is read, and one behind it.
const WAITING_MAX: u64 = 2;

/// How many reports of too much waiting let one in all the same.
const PATIENCE: u32 = 8;

/// The queue of waiting VMs.
#[derive(Debug, Default)]
pub struct WorkingSet {
    waiting: Line,
    overtaken: u32,
    /// Reports of too much waiting in a row; 0 while the gate is open.
    reports: u32,
    /// Whether one may come in while it is closed.
    has_pass: bool,
}

impl WorkingSet {
    const fn is_closed(&self) -> bool {
        self.reports > 0 && !self.has_pass
    }
}

impl Gatekeeper for WorkingSet {
    fn arrive(&mut self, request: Request, available: u32) -> Verdict {
        let may_overtake = self.waiting.is_empty() || self.overtaken < OVERTAKEN_MAX;
        if may_overtake && request.frames <= available && !self.is_closed() {
            self.has_pass = false;
            self.overtaken += u32::from(!self.waiting.is_empty());
            return Verdict::Admit;
        }
        self.waiting.join(request);
        Verdict::Wait
    }

    fn leave(&mut self, vm: VmId) {
        if self.waiting.leave(vm) {
            self.overtaken = 0;
        }
    }

    fn notice(&mut self, load: Load) {
        let most = u64::from(load.disks) * WAITING_MAX * 1000;
        if load.waiting_thousandths <= most {
            self.reports = 0;
            return;
        }
        self.reports = self.reports.saturating_add(1);
        self.has_pass |= self.reports.is_multiple_of(PATIENCE);
    }

    fn reason(&self) -> Reason {
        if self.is_closed() {
            Reason::Faults
        } else {
            Reason::Memory
        }
    }

    fn next(&mut self, available: u32) -> Option<VmId> {
        if self.is_closed() {
            return None;
        }
        let reach = if self.overtaken < OVERTAKEN_MAX {
            REACH
        } else {
            1
        };
        let fits = |request: &Request| request.frames <= available;
        let vm = self.waiting.iter().take(reach).copied().find(fits)?.vm;
        self.has_pass = false;
        let was_first = self.waiting.leave(vm);
        self.overtaken = if was_first { 0 } else { self.overtaken + 1 };
        Some(vm)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Occasion;
    use super::*;

    fn request(vm: u64, frames: u32) -> Request {
        Request {
            vm: VmId::from_raw(vm).expect("not zero"),
            frames,
            occasion: Occasion::Return,
        }
    }

    #[test]
    fn who_would_make_others_fault_more_waits_but_not_for_ever() {
        let mut gatekeeper = WorkingSet::default();
        let load = |waiting_thousandths| Load {
            waiting_thousandths,
            disks: 2,
        };
        gatekeeper.notice(load(4000));
        assert_eq!(gatekeeper.arrive(request(1, 10), 50), Verdict::Admit);
        gatekeeper.notice(load(4001));
        assert_eq!(gatekeeper.arrive(request(2, 10), 50), Verdict::Wait);
        assert_eq!(gatekeeper.arrive(request(3, 10), 50), Verdict::Wait);
        assert_eq!(
            (gatekeeper.next(50), gatekeeper.reason()),
            (None, Reason::Faults)
        );
        for _ in 1..PATIENCE {
            assert_eq!(gatekeeper.next(50), None);
            gatekeeper.notice(load(9000));
        }
        assert_eq!(gatekeeper.next(50), VmId::from_raw(2), "one comes in");
        assert_eq!(gatekeeper.next(50), None);
        gatekeeper.notice(load(0));
        assert_eq!(gatekeeper.next(50), VmId::from_raw(3));
        assert_eq!(gatekeeper.reason(), Reason::Memory);
    }

    #[test]
    fn a_small_one_overtakes_a_large_one_but_not_for_ever() {
        let mut gatekeeper = WorkingSet::default();
        assert_eq!(gatekeeper.arrive(request(1, 100), 50), Verdict::Wait);
        let mut overtook = 0;
        for vm in 2..200 {
            if gatekeeper.arrive(request(vm, 10), 50) == Verdict::Admit {
                overtook += 1;
            }
        }
        assert_eq!(overtook, OVERTAKEN_MAX);
        assert_eq!(gatekeeper.next(99), None, "now it is waited for");
        assert_eq!(gatekeeper.next(100), VmId::from_raw(1));
        assert!(gatekeeper.next(10).is_some());
    }
}
