//! First in, first out: VMs wait for memory in the order they came, and nobody overtakes.

use super::line::Line;
use super::{Gatekeeper, Request, Verdict};
use crate::vm::VmId;

/// The queue of waiting VMs.
#[derive(Debug, Default)]
pub struct Fifo {
    waiting: Line,
}

impl Gatekeeper for Fifo {
    fn arrive(&mut self, request: Request, available: u32) -> Verdict {
        if self.waiting.is_empty() && request.frames <= available {
            return Verdict::Admit;
        }
        self.waiting.join(request);
        Verdict::Wait
    }

    fn leave(&mut self, vm: VmId) {
        self.waiting.leave(vm);
    }

    fn next(&mut self, available: u32) -> Option<VmId> {
        let first = self.waiting.iter().next()?;
        if first.frames > available {
            return None;
        }
        let vm = first.vm;
        self.waiting.leave(vm);
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
            occasion: Occasion::New,
        }
    }

    #[test]
    fn a_small_vm_does_not_overtake_a_large_one() {
        let mut gatekeeper = Fifo::default();
        assert_eq!(gatekeeper.arrive(request(1, 10), 10), Verdict::Admit);
        assert_eq!(gatekeeper.arrive(request(2, 10), 5), Verdict::Wait);
        assert_eq!(gatekeeper.arrive(request(3, 1), 5), Verdict::Wait);
        assert_eq!(gatekeeper.next(5), None);
        assert_eq!(gatekeeper.next(10), VmId::from_raw(2));
        assert_eq!(gatekeeper.next(10), VmId::from_raw(3));
    }

    #[test]
    fn who_leaves_is_not_admitted() {
        let mut gatekeeper = Fifo::default();
        gatekeeper.arrive(request(1, 10), 0);
        gatekeeper.arrive(request(2, 10), 0);
        gatekeeper.leave(request(1, 10).vm);
        assert_eq!(gatekeeper.next(10), VmId::from_raw(2));
    }
}
