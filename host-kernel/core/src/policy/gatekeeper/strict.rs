//! Strict: a VM that cannot be admitted at once is refused, and its creator told so.
//!
//! A VM that was in before has nobody to be told: it waits its turn.

use super::fifo::Fifo;
use super::{Gatekeeper, Occasion, Request, Verdict};
use crate::vm::VmId;

/// The policy without a queue for newcomers.
#[derive(Debug, Default)]
pub struct Strict {
    returning: Fifo,
}

impl Gatekeeper for Strict {
    fn arrive(&mut self, request: Request, available: u32) -> Verdict {
        match request.occasion {
            Occasion::Return => self.returning.arrive(request, available),
            Occasion::New if request.frames <= available => Verdict::Admit,
            Occasion::New => Verdict::Refuse,
        }
    }

    fn leave(&mut self, vm: VmId) {
        self.returning.leave(vm);
    }

    fn next(&mut self, available: u32) -> Option<VmId> {
        self.returning.next(available)
    }
}
