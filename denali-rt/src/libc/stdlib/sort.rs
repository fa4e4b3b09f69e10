//! Sorting and searching of elements whose size and order only the caller knows.

use super::super::memory::{In, Out};
use core::cmp::Ordering;

/// The elements of an array of C.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements {
    start: Out<u8>,
    size: usize,
}

impl Elements {
    pub(super) fn new(start: Out<u8>, size: usize) -> Self {
        Self { start, size }
    }

    /// Returns where an element is.
    pub(super) fn at(self, index: usize) -> Out<u8> {
        self.start.add(index * self.size)
    }

    fn swap(self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let (mut a, mut b) = (self.at(a), self.at(b));
        a.slice(self.size).swap_with_slice(b.slice(self.size));
    }

    /// Sorts the first `count` elements by heapsort (Williams 1964): in place, never quadratic, no
    /// stack, and an order that contradicts itself merely makes a wrong one.
    pub(super) fn sort(self, count: usize, mut compare: impl FnMut(In<u8>, In<u8>) -> Ordering) {
        let mut less = |a: usize, b: usize| {
            let (a, b) = (self.at(a).readable(), self.at(b).readable());
            compare(a, b) == Ordering::Less
        };
        for root in (0..count / 2).rev() {
            self.sift_down(root, count, &mut less);
        }
        for end in (1..count).rev() {
            self.swap(0, end);
            self.sift_down(0, end, &mut less);
        }
    }

    /// Moves the element at `root` down until no child is greater.
    fn sift_down(self, mut root: usize, end: usize, less: &mut impl FnMut(usize, usize) -> bool) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && less(child, child + 1) {
                child += 1;
            }
            if !less(root, child) {
                return;
            }
            self.swap(root, child);
            root = child;
        }
    }

    /// Returns an element among the first `count`, sorted, for which `compare` finds no difference.
    pub(super) fn search(
        self,
        count: usize,
        mut compare: impl FnMut(In<u8>) -> Ordering,
    ) -> Option<Out<u8>> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            match compare(self.at(middle).readable()) {
                Ordering::Equal => return Some(self.at(middle)),
                Ordering::Less => high = middle,
                Ordering::Greater => low = middle + 1,
            }
        }
        None
    }
}
