//! Working sets: small VMs may go before large ones that do not fit yet, for a while.
//!
//! First in, first out, but for this: while the first in the queue does not fit, a later one that
//! does may overtake it, at most `OVERTAKEN_MAX` times. So memory is not idle while a large VM
//! waits for much of it, and nobody starves.

use super::line::Line;
use super::{Gatekeeper, Request, Verdict};
use crate::vm::VmId;

/// How often the first in the queue is overtaken before it is waited for.
const OVERTAKEN_MAX: u32 = 32;

/// How far back in the queue somebody is looked for.
const REACH: usize = 16;

/// The queue of waiting VMs.
#[derive(Debug, Default)]
pub struct WorkingSet {
    waiting: Line,
    overtaken: u32,
}

impl Gatekeeper for WorkingSet {
    fn arrive(&mut self, request: Request, available: u32) -> Verdict {
        let may_overtake = self.waiting.is_empty() || self.overtaken < OVERTAKEN_MAX;
        if may_overtake && request.frames <= available {
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

    fn next(&mut self, available: u32) -> Option<VmId> {
        let reach = if self.overtaken < OVERTAKEN_MAX {
            REACH
        } else {
            1
        };
        let fits = |request: &Request| request.frames <= available;
        let vm = self.waiting.iter().take(reach).copied().find(fits)?.vm;
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
