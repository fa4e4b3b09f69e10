//! The line before the gate: requests in the order they came, from which anybody may leave.
//!
//! A VM costs something while it waits and nothing else; joining and leaving cost O(log n).

use super::Request;
use crate::vm::VmId;
use alloc::collections::BTreeMap;
use core::fmt;

/// Requests by their turns.
#[derive(Default)]
pub struct Line {
    by_turn: BTreeMap<u64, Request>,
    turns: BTreeMap<VmId, u64>,
    next_turn: u64,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({} wait)", self.turns.len())
    }
}

impl Line {
    /// Returns whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_turn.is_empty()
    }

    /// Puts a request at the end; an earlier one of the same VM is forgotten.
    pub fn join(&mut self, request: Request) {
        self.leave(request.vm);
        self.by_turn.insert(self.next_turn, request);
        self.turns.insert(request.vm, self.next_turn);
        self.next_turn += 1;
    }

    /// Takes out the request of `vm`. Returns whether it was the first.
    pub fn leave(&mut self, vm: VmId) -> bool {
        let Some(turn) = self.turns.remove(&vm) else {
            return false;
        };
        let was_first = self.by_turn.first_key_value().map(|(&first, _)| first) == Some(turn);
        self.by_turn.remove(&turn);
        was_first
    }

    /// Returns the requests, first the one that waits the longest.
    pub fn iter(&self) -> impl Iterator<Item = &Request> {
        self.by_turn.values()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Occasion;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn whoever_leaves_is_gone_and_the_others_keep_their_turns() {
        let request = |vm: u64| Request {
            vm: VmId::from_raw(vm).expect("not zero"),
            frames: 1,
            occasion: Occasion::New,
        };
        let mut line = Line::default();
        for vm in 1..=5 {
            line.join(request(vm));
        }
        assert!(!line.leave(request(3).vm));
        assert!(line.leave(request(1).vm));
        assert!(!line.leave(request(1).vm), "it is gone");
        line.join(request(2));
        let order: Vec<u64> = line.iter().map(|request| request.vm.raw()).collect();
        assert_eq!(order, [4, 5, 2]);
        for vm in [4, 5, 2] {
            assert!(line.leave(request(vm).vm));
        }
        assert!(line.is_empty() && line.turns.is_empty());
    }
}
