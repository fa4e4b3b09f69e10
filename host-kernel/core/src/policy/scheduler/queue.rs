//! A queue of VMs by place: a binary heap that knows where each VM is.
//!
//! Whoever runs stays in front with a new place, or changes places with who is next; both are one
//! way down the heap, and nothing is allocated (Williams 1964, with an index).

use crate::vm::VmId;
use alloc::vec::Vec;
use denali_abi::convert::u32_to_usize;

/// CPU time in nanoseconds times `WEIGHT_MAX`, divided by a weight.
pub(super) type VirtualTime = u128;

/// Where a VM queues, and which: the smallest is the foremost.
pub(super) type Place = (VirtualTime, VmId);

/// The VMs that are runnable, each with one place.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Each is behind the one at half its position, counted from 1.
    heap: Vec<Place>,
    /// The position in the heap of the VM at each index of the table; meaningless if it is not there.
    positions: Vec<usize>,
}

impl Queue {
    /// Returns the foremost place.
    pub(super) fn first(&self) -> Option<&Place> {
        self.heap.first()
    }

    /// Returns the foremost place of a VM other than `vm`.
    pub(super) fn first_other(&self, vm: VmId) -> Option<&Place> {
        match self.heap.first() {
            Some((_, first)) if *first == vm => {
                let next = self.heap.get(1..)?;
                next.get(..2).unwrap_or(next).iter().min()
            }
            first => first,
        }
    }

    /// Adds a VM that is not in it.
    pub(super) fn insert(&mut self, place: Place) {
        let index = u32_to_usize(place.1.index());
        if index >= self.positions.len() {
            self.positions.resize(index + 1, 0);
        }
        self.heap.push(place);
        self.rise(self.heap.len() - 1, place);
    }

    /// Removes a VM, if it is in it.
    pub(super) fn remove(&mut self, vm: VmId) {
        let Some(position) = self.position(vm) else {
            return;
        };
        let Some(last) = self.heap.pop() else { return };
        if last.1 != vm {
            self.settle(position, last);
        }
    }

    /// Gives a VM that is in it another place.
    pub(super) fn place(&mut self, place: Place) {
        if let Some(position) = self.position(place.1) {
            self.settle(position, place);
        }
    }

    fn position(&self, vm: VmId) -> Option<usize> {
        let &position = self.positions.get(u32_to_usize(vm.index()))?;
        let &(_, found) = self.heap.get(position)?;
        (found == vm).then_some(position)
    }

    /// Puts `place` where it belongs, beginning with a position that is free for it.
    fn settle(&mut self, position: usize, place: Place) {
        let before = position.checked_sub(1).and_then(|it| self.heap.get(it / 2));
        if before.is_some_and(|before| place < *before) {
            self.rise(position, place);
        } else {
            self.sink(position, place);
        }
    }

    fn rise(&mut self, mut position: usize, place: Place) {
        while let Some(above) = position.checked_sub(1).map(|it| it / 2) {
            match self.heap.get(above) {
                Some(&other) if place < other => self.set(position, other),
                _ => break,
            }
            position = above;
        }
        self.set(position, place);
    }

    fn sink(&mut self, mut position: usize, place: Place) {
        loop {
            let (left, right) = (2 * position + 1, 2 * position + 2);
            let Some(&first) = self.heap.get(left) else {
                break;
            };
            let (below, other) = match self.heap.get(right) {
                Some(&second) if second < first => (right, second),
                _ => (left, first),
            };
            if place < other {
                break;
            }
            self.set(position, other);
            position = below;
        }
        self.set(position, place);
    }

    fn set(&mut self, position: usize, place: Place) {
        if let Some(entry) = self.heap.get_mut(position) {
            *entry = place;
        }
        if let Some(entry) = self.positions.get_mut(u32_to_usize(place.1.index())) {
            *entry = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn vm(number: u64) -> VmId {
        VmId::from_raw(number + 1).expect("not zero")
    }

    #[test]
    fn it_is_a_sorted_set_whatever_is_done_to_it() {
        let mut queue = Queue::default();
        let mut set = BTreeSet::new();
        let mut places = [None; 50];
        let mut random = 1_u64;
        for _ in 0..100_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let number = (random >> 33) % 50;
            let place = (u128::from((random >> 20) % 1000), vm(number));
            let old = &mut places[usize::try_from(number).expect("small")];
            match (*old, random >> 62) {
                (None, _) => {
                    queue.insert(place);
                    *old = Some(place);
                }
                (Some(_), 0) => {
                    queue.remove(place.1);
                    *old = None;
                }
                (Some(_), _) => {
                    queue.place(place);
                    *old = Some(place);
                }
            }
            set.clear();
            set.extend(places.iter().flatten());
            assert_eq!(queue.first(), set.first());
            let other = set.iter().find(|(_, other)| *other != place.1);
            assert_eq!(queue.first_other(place.1), other);
        }
    }

    #[test]
    fn who_is_not_in_it_changes_nothing() {
        let mut queue = Queue::default();
        queue.insert((5, vm(1)));
        queue.remove(vm(0));
        queue.place((1, vm(7)));
        queue.remove(vm(7));
        assert_eq!(queue.first(), Some(&(5, vm(1))));
        queue.remove(vm(1));
        assert_eq!(queue.first(), None);
    }
}
