//! Faults: a VM's fatal mistakes, and the reason each is recorded under.

use denali_abi::end::EndReason;

/// Why a VM may not touch an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing may be mapped there.
    BadAddress,
    /// The page does not allow the access.
    AccessViolation,
    /// It is the guard page of a stack.
    StackOverflow,
    /// The VM is at its memory limit.
    OutOfMemory,
    /// The page is on swap: whoever wants it waits and tries again, so nobody ends by it.
    OnSwap,
}

impl From<Fault> for EndReason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::BadAddress => Self::BadAddress,
            Fault::AccessViolation => Self::AccessViolation,
            Fault::StackOverflow => Self::StackOverflow,
            Fault::OutOfMemory | Fault::OnSwap => Self::OutOfMemory,
        }
    }
}

/// Returns reason and detail of a processor exception other than a page fault
/// (vectors: Intel SDM vol. 3A §6.15).
#[must_use]
pub fn end_by_exception(vector: u8, code: u64) -> (EndReason, u64) {
    match vector {
        0 => (EndReason::DivideError, 0),
        1 | 3 => (EndReason::Breakpoint, 0),
        6 => (EndReason::InvalidInstruction, 0),
        13 => (EndReason::PrivilegedInstruction, code),
        16 | 19 => (EndReason::FloatingPoint, 0),
        _ => (EndReason::OtherException, u64::from(vector)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_has_a_reason() {
        assert_eq!(end_by_exception(0, 5), (EndReason::DivideError, 0));
        assert_eq!(
            end_by_exception(13, 5),
            (EndReason::PrivilegedInstruction, 5)
        );
        assert_eq!(end_by_exception(17, 0), (EndReason::OtherException, 17));
    }
}
