//! `WSClock`: what was not used for longer than the window leaves; the rest is a working set (Carr &
//! Hennessy 1981). For the pages of a busy VM time is its own CPU time; for VMs it is time idled.
//!
//! The window follows what happens. If the hand finds nobody outside of it, it is too long for this
//! memory and becomes shorter; whenever it finds somebody it grows a little. So a VM that came back
//! after long inactivity has as much time to be asked again as any other, however fast the hand
//! turns: with plain Clock a fast hand takes it away before its client's next packet.

use super::{Candidate, Judgement, PageCandidate, Replacement};
use crate::vm::VmId;

/// The shortest window, in nanoseconds: several round trips of a client.
const WINDOW_NS_MIN: u64 = 200_000_000;

/// The longest window.
const WINDOW_NS_MAX: u64 = 64_000_000_000;

/// The window of a page, in nanoseconds of its VM's CPU time: what a VM has not used for so long is
/// not part of what it works with.
const PAGE_WINDOW_NS: u64 = 20_000_000;

/// The policy.
#[derive(Clone, Copy, Debug)]
pub struct WsClock {
    window_ns: u64,
    /// The first VM that stayed since somebody left: where the hand has been round.
    first: Option<VmId>,
}

impl Default for WsClock {
    fn default() -> Self {
        Self {
            window_ns: WINDOW_NS_MAX / 8,
            first: None,
        }
    }
}

impl Replacement for WsClock {
    fn judge(&mut self, candidate: &Candidate) -> Judgement {
        if candidate.idle_ns >= self.window_ns {
            self.first = None;
            self.window_ns = (self.window_ns + self.window_ns / 64).min(WINDOW_NS_MAX);
            return Judgement::Go;
        }
        match self.first {
            None => self.first = Some(candidate.vm),
            Some(first) if first == candidate.vm => {
                self.window_ns = (self.window_ns / 2).max(WINDOW_NS_MIN);
            }
            Some(_) => {}
        }
        Judgement::Stay
    }

    fn judge_page(&mut self, candidate: &PageCandidate) -> Judgement {
        if !candidate.referenced && candidate.unused_ns >= PAGE_WINDOW_NS {
            Judgement::Go
        } else {
            Judgement::Stay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(vm: u64, idle_ns: u64) -> Candidate {
        Candidate {
            vm: VmId::from_raw(vm).expect("not zero"),
            idle_ns,
            passed_ns: 1,
            frames: 20,
        }
    }

    #[test]
    fn a_fast_hand_does_not_take_who_just_came_back() {
        let mut policy = WsClock::default();
        for _ in 0..1000 {
            assert_eq!(
                policy.judge(&candidate(1, WINDOW_NS_MIN - 1)),
                Judgement::Stay
            );
            assert_eq!(policy.judge(&candidate(2, WINDOW_NS_MAX)), Judgement::Go);
        }
    }

    #[test]
    fn the_window_shrinks_when_nobody_is_outside_and_grows_again() {
        let mut policy = WsClock::default();
        assert_eq!(policy.judge(&candidate(1, 1_000_000_000)), Judgement::Stay);
        for _ in 0..8 {
            policy.judge(&candidate(2, 0));
            policy.judge(&candidate(1, 0));
        }
        assert_eq!(policy.judge(&candidate(1, 1_000_000_000)), Judgement::Go);
        for _ in 0..1000 {
            policy.judge(&candidate(2, WINDOW_NS_MAX));
        }
        assert_eq!(policy.judge(&candidate(1, 1_000_000_000)), Judgement::Stay);
    }
}
