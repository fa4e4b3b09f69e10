//! Clock: what was not used while the hand went round once leaves (Corbató 1968): a page by its
//! reference bit, a VM by having run.

use super::{Candidate, Judgement, PageCandidate, Replacement};

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

    fn judge_page(&mut self, candidate: &PageCandidate) -> Judgement {
        if candidate.referenced {
            Judgement::Stay
        } else {
            Judgement::Go
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
