//! The flat address space of a guest.
//!
//! Everything lies below 2 GiB, so that code built with the small code model runs anywhere in it.
//! Small services fit registers, image and heap into the reach of one page table.
//!
//! | from          | to            | what                                                   |
//! |---------------|---------------|--------------------------------------------------------|
//! | `0`           | `0x0010_0000` | never mapped: catches null pointers                     |
//! | `0x0010_0000` | `0x0010_1000` | virtual registers, read-only to the guest               |
//! | `0x0010_1000` | `0x0010_2000` | shared page                                             |
//! | `0x0011_0000` | image end     | text `r-x`, rodata `r--`, data and bss `rw-`            |
//! | image end     | `0x2000_0000` | heap, demand-zero                                       |
//! | `0x2000_0000` | `0x6000_0000` | stacks in slots of 64 KiB                               |
//! | `0x6000_0000` | `0x8000_0000` | stacks in slots of 1 MiB                                |
//!
//! The lowest page of every stack slot is a guard: it is never mapped, and touching it is a stack
//! overflow. The rule is pure arithmetic, so guarded stacks cost the kernel no state.

/// Size of a page in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// The virtual registers ([`crate::registers::VirtualRegisters`]), one read-only page.
pub const REGISTERS_ADDRESS: u64 = 0x0010_0000;

/// The shared page ([`crate::shared::SharedPage`]).
pub const SHARED_ADDRESS: u64 = 0x0010_1000;

/// Where the first segment of every image starts.
pub const IMAGE_BASE: u64 = 0x0011_0000;

/// End of the heap, and so of the image.
pub const HEAP_END: u64 = 0x2000_0000;

/// Start of the slots for small stacks. The VM starts on the stack in the first of them.
pub const SMALL_STACKS_BASE: u64 = HEAP_END;

/// Size of a small stack slot in bytes, guard page included.
pub const SMALL_STACK_SLOT: u64 = 64 * 1024;

/// Start of the slots for large stacks, end of those for small ones.
pub const LARGE_STACKS_BASE: u64 = 0x6000_0000;

/// Size of a large stack slot in bytes, guard page included.
pub const LARGE_STACK_SLOT: u64 = 1024 * 1024;

/// End of the guest's address space.
pub const GUEST_END: u64 = 0x8000_0000;

/// The stack pointer a VM starts with: the top of the first small stack slot.
pub const INITIAL_STACK_TOP: u64 = SMALL_STACKS_BASE + SMALL_STACK_SLOT;

/// Returns whether `address` lies in the guard page of a stack slot.
#[must_use]
pub const fn is_stack_guard(address: u64) -> bool {
    let offset = match address {
        SMALL_STACKS_BASE..LARGE_STACKS_BASE => address % SMALL_STACK_SLOT,
        LARGE_STACKS_BASE..GUEST_END => address % LARGE_STACK_SLOT,
        _ => return false,
    };
    offset < PAGE_SIZE
}

const _: () = assert!(SMALL_STACKS_BASE.is_multiple_of(SMALL_STACK_SLOT));
const _: () = assert!(LARGE_STACKS_BASE.is_multiple_of(LARGE_STACK_SLOT));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_page_of_each_slot_is_a_guard() {
        for base in [
            SMALL_STACKS_BASE,
            SMALL_STACKS_BASE + SMALL_STACK_SLOT,
            LARGE_STACKS_BASE,
        ] {
            assert!(is_stack_guard(base));
            assert!(is_stack_guard(base + PAGE_SIZE - 1));
            assert!(!is_stack_guard(base + PAGE_SIZE));
        }
        assert!(!is_stack_guard(HEAP_END - 1));
        assert!(!is_stack_guard(GUEST_END));
        assert!(!is_stack_guard(LARGE_STACKS_BASE + SMALL_STACK_SLOT));
    }
}
