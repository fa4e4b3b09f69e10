//! Strict: a VM that cannot be admitted at once is refused, and its creator told so.

use super::{Gatekeeper, Request, Verdict};
use crate::vm::VmId;

/// The policy without a queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strict;

impl Gatekeeper for Strict {
    fn arrive(&mut self, request: Request, available: u32) -> Verdict {
        if request.frames <= available {
            Verdict::Admit
        } else {
            Verdict::Refuse
        }
    }

    fn leave(&mut self, _vm: VmId) {}

    fn next(&mut self, _available: u32) -> Option<VmId> {
        None
    }
}
