//! Return addresses from a chain of frame pointers.
//!
//! The service and the libraries it is built with keep frame pointers, but nothing promises it for
//! every function. So each step is checked: the chain stays in its stack and goes upwards, and a
//! return address lies in the program's text. At the first doubt the walk ends.

use core::ops::Range;
use denali_abi::layout::{
    GUEST_END, LARGE_STACK_SLOT, LARGE_STACKS_BASE, SMALL_STACK_SLOT, SMALL_STACKS_BASE,
};

/// Frames a backtrace shows at most.
const FRAMES_MAX: usize = 32;

/// Bytes of a frame record: the caller's frame pointer and the return address (System V ABI
/// §3.2.2).
const RECORD_LEN: u64 = 16;

/// Returns the slot of the stack that an address lies in.
pub(super) fn stack_of(address: u64) -> Option<Range<u64>> {
    let (base, len) = match address {
        SMALL_STACKS_BASE..LARGE_STACKS_BASE => (SMALL_STACKS_BASE, SMALL_STACK_SLOT),
        LARGE_STACKS_BASE..GUEST_END => (LARGE_STACKS_BASE, LARGE_STACK_SLOT),
        _ => return None,
    };
    let start = address - (address - base) % len;
    Some(start..start + len)
}

/// Returns the return addresses of the frames from `frame` on, the innermost first.
///
/// `read` reads a word of the stack; it is given multiples of eight in the slot of `frame` alone.
pub(super) fn return_addresses(
    frame: u64,
    text: Range<u64>,
    read: impl Fn(u64) -> u64,
) -> impl Iterator<Item = u64> {
    let stack = stack_of(frame).unwrap_or_default();
    let mut next = frame;
    let step = move || {
        let whole =
            next.is_multiple_of(8) && stack.contains(&next) && next + RECORD_LEN <= stack.end;
        if !whole {
            return None;
        }
        let (caller, address) = (read(next), read(next + 8));
        // The caller's frame lies further up; anything else ends the walk after this one.
        next = if caller > next { caller } else { 0 };
        text.contains(&address).then_some(address)
    };
    core::iter::from_fn(step).take(FRAMES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    const TEXT: Range<u64> = 0x11_0000..0x12_0000;
    const SLOT: u64 = SMALL_STACKS_BASE + 5 * SMALL_STACK_SLOT;

    /// Walks a stack with these records: frame, caller's frame, return address.
    fn walk(records: &[(u64, u64, u64)]) -> Vec<u64> {
        let words: BTreeMap<u64, u64> = records
            .iter()
            .flat_map(|(frame, caller, address)| [(*frame, *caller), (frame + 8, *address)])
            .collect();
        let read = |address| {
            assert!((SLOT..SLOT + SMALL_STACK_SLOT).contains(&address));
            words.get(&address).copied().unwrap_or(0)
        };
        return_addresses(records[0].0, TEXT, read).collect()
    }

    #[test]
    fn a_chain_is_followed_to_the_first_frame_of_the_thread() {
        let (a, b, c) = (SLOT + 0x8000, SLOT + 0x8040, SLOT + 0xffe0);
        let chain = [(a, b, 0x11_1000), (b, c, 0x11_2000), (c, 0, 0x11_3000)];
        assert_eq!(walk(&chain), [0x11_1000, 0x11_2000, 0x11_3000]);
    }

    #[test]
    fn the_walk_ends_at_the_first_doubt() {
        let (a, b) = (SLOT + 0x8000, SLOT + 0x8040);
        let doubts = [
            (b, b + 0x10, 0x42),                     // returns to no text
            (b, a, 0x11_2000),                       // goes downwards
            (b, b, 0x11_2000),                       // goes in a circle
            (b, b + 1, 0x11_2000),                   // is not aligned
            (b, SLOT + SMALL_STACK_SLOT, 0x11_2000), // leaves the stack
            (b, SLOT + SMALL_STACK_SLOT - 8, 0x11_2000),
        ];
        for doubt in doubts {
            let walked = walk(&[(a, b, 0x11_1000), doubt]);
            assert!(
                walked == [0x11_1000] || walked == [0x11_1000, 0x11_2000],
                "{doubt:?}"
            );
        }
        assert!(walk(&[(SLOT + 0x8001, 0, 0x11_1000)]).is_empty());
        assert_eq!(return_addresses(0x1000, TEXT, |_| panic!()).next(), None);
    }

    #[test]
    fn an_endless_chain_is_cut() {
        let count = return_addresses(SLOT, TEXT, |address| match address % 16 {
            0 => address + 16,
            _ => TEXT.start,
        });
        assert_eq!(count.count(), FRAMES_MAX);
    }
}
