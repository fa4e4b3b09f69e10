//! Clock: whoever did nothing while the hand went round once leaves (Corbató 1968, with VMs for
//! pages and having run for the reference bit).

use super::{Candidate, Judgement, Replacement};

/// The policy, which remembers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Replacement for Clock {
    fn judge(&mut self, candidate: &Candidate) -> Judgement {
        if candidate.idle_ns >= candidate.passed_ns {
            Judgement::Go
        } else {
            Judgement::Stay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::VmId;

    #[test]
    fn who_ran_since_the_hand_passed_has_a_second_chance() {
        let mut candidate = Candidate {
            vm: VmId::from_raw(1).expect("not zero"),
            idle_ns: 5,
            passed_ns: 6,
            frames: 20,
        };
        assert_eq!(Clock.judge(&candidate), Judgement::Stay);
        candidate.idle_ns = 6;
        assert_eq!(Clock.judge(&candidate), Judgement::Go);
    }
}
