//! Stacks: slots of the address space with a guard page at the bottom.
//!
//! A stack's pages come on first touch, so a slot costs what its thread really uses. A few stacks
//! of ended threads are kept warm for the next ones; the others' pages go back to the kernel.

#![expect(unsafe_code, reason = "hands out and takes back raw stack memory")]

use alloc::vec::Vec;
use core::ops::Range;
use denali_abi::convert::u32_to_usize;
#[cfg(any(denali, test))]
use denali_abi::layout::{
    GUEST_END, LARGE_STACK_SLOT, LARGE_STACKS_BASE, PAGE_SIZE, SMALL_STACK_SLOT, SMALL_STACKS_BASE,
};

/// How much stack a thread gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StackSize {
    /// 60 KiB: enough for anything that does not recurse or put large buffers on the stack.
    #[default]
    Small,
    /// 1,020 KiB.
    Large,
}

/// Stacks of each size that stay warm.
const WARM_STACKS_MAX: usize = 8;

/// A stack in use. It returns to its [`StackPool`] when its thread has ended.
#[derive(Debug)]
pub(crate) struct Stack {
    size: StackSize,
    slot: memory::Slot,
}

impl Stack {
    /// Returns the end of the stack, a multiple of 16.
    pub(crate) fn top(&self) -> *mut u8 {
        memory::top(&self.slot)
    }

    /// Returns the addresses of the stack's slot.
    pub(crate) fn addresses(&self) -> Range<u64> {
        memory::addresses(&self.slot)
    }
}

/// All slots for stacks.
#[derive(Debug)]
pub(crate) struct StackPool {
    small: Slots,
    large: Slots,
}

#[derive(Debug)]
struct Slots {
    size: StackSize,
    /// Slots below this have been used at least once.
    fresh: u32,
    /// Free slots whose pages are still there.
    warm: Vec<memory::Slot>,
    /// Free slots without pages.
    cold: Vec<memory::Slot>,
}

impl StackPool {
    /// Makes the pool of a VM that runs on its first small stack.
    pub(crate) const fn new() -> Self {
        Self {
            small: Slots::new(StackSize::Small, 1),
            large: Slots::new(StackSize::Large, 0),
        }
    }

    /// Takes a stack, or returns `None` if all slots are in use.
    pub(crate) fn take(&mut self, size: StackSize) -> Option<Stack> {
        let slot = self.slots(size).take()?;
        Some(Stack { size, slot })
    }

    /// Takes back the stack of a thread that will not run again.
    pub(crate) fn give_back(&mut self, stack: Stack) {
        self.slots(stack.size).give_back(stack.slot);
    }

    /// Makes room to take back the stacks of `threads` threads. Returns whether there is memory for
    /// it.
    pub(crate) fn reserve(&mut self, threads: usize) -> bool {
        [&mut self.small, &mut self.large].into_iter().all(|slots| {
            let used = u32_to_usize(slots.fresh).min(threads) + 1;
            let missing = used.saturating_sub(slots.cold.len());
            slots.cold.try_reserve(missing).is_ok() && slots.warm.try_reserve(1).is_ok()
        })
    }

    /// Gives the pages of all free stacks back to the kernel.
    pub(crate) fn cool(&mut self) {
        for slots in [&mut self.small, &mut self.large] {
            slots.warm.iter().for_each(memory::release);
            // `reserve` has made room for all.
            slots.cold.append(&mut slots.warm);
        }
    }

    fn slots(&mut self, size: StackSize) -> &mut Slots {
        match size {
            StackSize::Small => &mut self.small,
            StackSize::Large => &mut self.large,
        }
    }
}

impl Slots {
    const fn new(size: StackSize, fresh: u32) -> Self {
        Self {
            size,
            fresh,
            warm: Vec::new(),
            cold: Vec::new(),
        }
    }

    fn take(&mut self) -> Option<memory::Slot> {
        if let Some(slot) = self.warm.pop().or_else(|| self.cold.pop()) {
            return Some(slot);
        }
        let slot = memory::slot(self.size, self.fresh)?;
        self.fresh += 1;
        Some(slot)
    }

    fn give_back(&mut self, slot: memory::Slot) {
        if self.warm.len() < WARM_STACKS_MAX {
            self.warm.push(slot);
        } else {
            memory::release(&slot);
            self.cold.push(slot);
        }
    }
}

/// Returns the addresses of a slot without its guard page, if there is such a slot.
#[cfg(any(denali, test))]
fn slot_addresses(size: StackSize, index: u32) -> Option<Range<u64>> {
    let (base, len, end) = match size {
        StackSize::Small => (SMALL_STACKS_BASE, SMALL_STACK_SLOT, LARGE_STACKS_BASE),
        StackSize::Large => (LARGE_STACKS_BASE, LARGE_STACK_SLOT, GUEST_END),
    };
    let start = base + u64::from(index) * len;
    (start < end).then_some(start + PAGE_SIZE..start + len)
}

/// The slots of a guest's address space ([`denali_abi::layout`]).
#[cfg(denali)]
mod memory {
    use crate::hypercall;
    use core::ops::Range;
    use denali_abi::convert::u64_to_usize;
    use denali_abi::layout::PAGE_SIZE;

    /// The addresses of a slot without its guard page.
    pub(super) type Slot = Range<u64>;

    pub(super) use super::slot_addresses as slot;

    pub(super) fn top(slot: &Slot) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(u64_to_usize(slot.end))
    }

    /// Includes the guard page.
    pub(super) fn addresses(slot: &Slot) -> Range<u64> {
        slot.start - PAGE_SIZE..slot.end
    }

    pub(super) fn release(slot: &Slot) {
        // SAFETY: the slot is free: its thread has ended, and nothing else lies on a stack. The
        // call cannot fail on a range of stacks.
        let _ = unsafe { hypercall::release_memory(slot.clone()) };
    }
}

/// Stacks from the allocator of the developer's machine, without guards, for tests.
#[cfg(not(denali))]
mod memory {
    use super::StackSize;
    use alloc::boxed::Box;
    use core::cell::UnsafeCell;
    use core::ops::Range;
    use denali_abi::convert::usize_to_u64;

    /// Bytes of a stack of either size: a debug build's formatting needs more than a guest's.
    const LEN: usize = 256 * 1024;

    #[derive(Debug)]
    #[repr(align(16))]
    pub(super) struct Area(UnsafeCell<[u8; LEN]>);

    pub(super) type Slot = Box<Area>;

    pub(super) fn slot(_size: StackSize, _index: u32) -> Option<Slot> {
        // SAFETY: an array of bytes may be all zero.
        Some(unsafe { Box::new_zeroed().assume_init() })
    }

    pub(super) fn top(slot: &Slot) -> *mut u8 {
        slot.0.get().wrapping_add(1).cast()
    }

    pub(super) fn addresses(slot: &Slot) -> Range<u64> {
        let end = usize_to_u64(top(slot).addr());
        end - usize_to_u64(LEN)..end
    }

    pub(super) fn release(_slot: &Slot) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use denali_abi::layout::{INITIAL_STACK_TOP, is_stack_guard};

    #[test]
    fn slots_end_at_their_area_and_leave_out_the_guard() {
        for (size, slots) in [(StackSize::Small, 16_384), (StackSize::Large, 512)] {
            assert_eq!(slot_addresses(size, slots), None);
            for index in [0, 1, slots - 1] {
                let addresses = slot_addresses(size, index).unwrap();
                assert!(!is_stack_guard(addresses.start) && is_stack_guard(addresses.start - 1));
                assert!(addresses.end == GUEST_END || is_stack_guard(addresses.end));
            }
        }
        assert_eq!(
            slot_addresses(StackSize::Small, 0).unwrap().end,
            INITIAL_STACK_TOP
        );
    }

    #[test]
    fn only_a_few_free_stacks_stay_warm() {
        let mut pool = StackPool::new();
        let stacks: Vec<_> = (0..20).map_while(|_| pool.take(StackSize::Small)).collect();
        assert_eq!(stacks.len(), 20);
        stacks.into_iter().for_each(|stack| pool.give_back(stack));
        assert_eq!(
            (pool.small.warm.len(), pool.small.cold.len()),
            (WARM_STACKS_MAX, 12)
        );
        pool.cool();
        assert_eq!((pool.small.warm.len(), pool.small.cold.len()), (0, 20));
        let again: Vec<_> = (0..20).map_while(|_| pool.take(StackSize::Small)).collect();
        assert_eq!((again.len(), pool.small.fresh), (20, 21));
    }
}
