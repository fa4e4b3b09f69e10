//! The VM's own memory against its rules: permissions, guards, limits, and what was there before.

use crate::raw::{address_of, execute, hypercall, peek, poke, refused};
use crate::{Attack, End, Outcome, ensure};
use alloc::vec;
use core::hint::black_box;
use core::mem::offset_of;
use denali_abi::end::EndReason::{self, AccessViolation, BadAddress, OutOfMemory, StackOverflow};
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{
    GUEST_END, HEAP_END, IMAGE_BASE, INITIAL_STACK_TOP, LARGE_STACK_SLOT, LARGE_STACKS_BASE,
    PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS, SMALL_STACK_SLOT, SMALL_STACKS_BASE,
};
use denali_abi::shared::{SharedPage, THREAD_NAME_MAX};
use denali_rt::registers;

const FORBIDDEN: &[EndReason] = &[AccessViolation];
const EXHAUSTED: &[EndReason] = &[OutOfMemory];

/// Something nobody expects to find.
const PATTERN: u64 = 0x6b6b_6b6b_6b6b_6b6b;

/// A return instruction, as data.
static RETURN_IN_RODATA: [u8; 16] = [0xc3; 16];

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    Attack::killed("write-text", FORBIDDEN, || write(IMAGE_BASE)),
    Attack::killed("write-own-function", FORBIDDEN, || {
        write(write as *const () as u64)
    }),
    Attack::killed("write-rodata", FORBIDDEN, || {
        write(address_of(RETURN_IN_RODATA.as_ptr()))
    }),
    Attack::killed("execute-rodata", FORBIDDEN, || {
        run(address_of(RETURN_IN_RODATA.as_ptr()))
    }),
    Attack::killed("execute-heap", FORBIDDEN, || {
        run(address_of(vec![0xc3_u8; 16].as_ptr()))
    }),
    Attack::killed("execute-stack", FORBIDDEN, || {
        run(address_of(black_box([0xc3_u8; 16]).as_ptr()))
    }),
    Attack::killed("execute-fresh-heap", FORBIDDEN, || run(far_heap())),
    Attack::killed("recursion", &[StackOverflow], || {
        black_box(recurse(0));
        Ok(())
    }),
    Attack::killed("big-frame", &[StackOverflow], || {
        write(INITIAL_STACK_TOP - SMALL_STACK_SLOT + 8)
    }),
    Attack::killed("hog-heap", EXHAUSTED, || {
        touch_all(far_heap(), HEAP_END, PAGE_SIZE)
    }),
    Attack::killed("hog-stacks", EXHAUSTED, || {
        touch_all(
            SMALL_STACKS_BASE + PAGE_SIZE,
            LARGE_STACKS_BASE,
            SMALL_STACK_SLOT,
        )
    }),
    Attack::killed("hog-page-tables", EXHAUSTED, || {
        touch_all(
            LARGE_STACKS_BASE + PAGE_SIZE,
            GUEST_END,
            2 * LARGE_STACK_SLOT,
        )
    }),
    Attack::killed("hog-by-hypercall", EXHAUSTED, hog_by_hypercall),
    Attack::killed("release-own-stack", &[BadAddress], || {
        release(INITIAL_STACK_TOP - 15 * PAGE_SIZE, 15);
        Ok(())
    }),
    Attack::harmless("heap-starts-as-zero", || zeros(far_heap(), 180)),
    Attack::harmless("stacks-start-as-zero", || {
        zeros(LARGE_STACKS_BASE + PAGE_SIZE, 180)
    }),
    Attack::harmless("registers-page-tail-is-zero", || {
        let end = REGISTERS_ADDRESS + size_of_val(registers::get()) as u64;
        words_are_zero(end, REGISTERS_ADDRESS + PAGE_SIZE)
    }),
    Attack::harmless("shared-page-starts-as-zero", || {
        // Where the runtime has written the name of this thread by now.
        let name = SHARED_ADDRESS + offset_of!(SharedPage, thread) as u64;
        words_are_zero(SHARED_ADDRESS, name)?;
        words_are_zero(name + THREAD_NAME_MAX as u64, SHARED_ADDRESS + PAGE_SIZE)
    }),
    Attack::harmless("released-pages-read-as-zero", released_pages),
    Attack::harmless("released-pages-are-not-the-old", released_then_taken),
    Attack::harmless("limit-is-told", limit_is_told),
    Attack::new("release-text", End::Refused(Errno::BadAddress), || {
        refused_release(IMAGE_BASE, 1)
    }),
    Attack::new("release-registers", End::Refused(Errno::BadAddress), || {
        refused_release(REGISTERS_ADDRESS, 2)
    }),
    Attack::new(
        "release-behind-memory",
        End::Refused(Errno::BadAddress),
        || {
            refused_release(GUEST_END - PAGE_SIZE, 2)?;
            refused_release(GUEST_END, 1)?;
            refused_release(u64::MAX - PAGE_SIZE + 1, 1)
        },
    ),
    Attack::new("release-kernel", End::Refused(Errno::BadAddress), || {
        refused_release(crate::raw::DIRECT_MAP, 1)?;
        refused_release(far_heap(), u64::MAX)?;
        refused_release(far_heap(), u64::MAX / PAGE_SIZE)?;
        refused_release(far_heap(), 1 << 52)
    }),
    Attack::new("release-inside-page", End::Refused(Errno::Invalid), || {
        refused(release(far_heap() + 1, 1), Errno::Invalid)
    }),
];

/// Returns an address of the heap that the allocator has not reached.
fn far_heap() -> u64 {
    let start = registers::get().heap_start;
    start.next_multiple_of(PAGE_SIZE) + 0x100_0000
}

fn write(address: u64) -> Outcome {
    poke(address, PATTERN);
    Ok(())
}

fn run(address: u64) -> Outcome {
    execute(address);
    Ok(())
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if frame[0] == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + black_box(frame)[1]
}

fn touch_all(start: u64, end: u64, step: u64) -> Outcome {
    let mut address = start;
    while address < end {
        poke(address, PATTERN);
        address += step;
    }
    Ok(())
}

/// The kernel must charge what it maps on a VM's behalf, and then end it as if it had done so.
fn hog_by_hypercall() -> Outcome {
    for page in 0..4096 {
        let result = hypercall(Hypercall::Random, [far_heap() + page * PAGE_SIZE, 8, 0, 0]);
        if result != 8 {
            refused(result, Errno::OutOfMemory)?;
            // The limit holds for the VM's own accesses, too.
            poke(far_heap() + (page + 1) * PAGE_SIZE, PATTERN);
            return Ok(());
        }
    }
    Ok(())
}

fn release(address: u64, pages: u64) -> i64 {
    hypercall(Hypercall::ReleaseMemory, [address, pages, 0, 0])
}

fn refused_release(address: u64, pages: u64) -> Outcome {
    refused(release(address, pages), Errno::BadAddress)
}

fn zeros(start: u64, pages: u64) -> Outcome {
    words_are_zero(start, start + pages * PAGE_SIZE)
}

fn words_are_zero(start: u64, end: u64) -> Outcome {
    let mut address = start;
    while address < end {
        let word = peek(address);
        ensure!(word == 0, "{word:#x} at {address:#x}");
        address += 8;
    }
    Ok(())
}

fn released_pages() -> Outcome {
    const PAGES: u64 = 32;
    let start = far_heap();
    for round in 1..8 {
        touch_all(start, start + PAGES * PAGE_SIZE, PAGE_SIZE)?;
        let released = release(start, PAGES);
        ensure!(released == 32, "{released} pages released in round {round}");
        zeros(start, PAGES)?;
        release(start, PAGES);
    }
    Ok(())
}

/// A stale translation would write to the page's next owner, or read what that wrote.
fn released_then_taken() -> Outcome {
    let (old, new) = (far_heap(), far_heap() + 0x10_0000);
    poke(old, PATTERN);
    release(old, 1);
    poke(new, !PATTERN);
    let seen = peek(old);
    ensure!(seen == 0, "{seen:#x} through a page that was given back");
    poke(old, PATTERN);
    let seen = peek(new);
    ensure!(seen == !PATTERN, "{seen:#x}: two pages share a frame");
    Ok(())
}

fn limit_is_told() -> Outcome {
    let block = black_box(vec![PATTERN; 8192]);
    let (resident, limit) = (registers::resident_pages(), registers::memory_pages());
    ensure!(
        resident <= limit && resident > 16,
        "{resident} of {limit} pages: {}",
        block[0]
    );
    Ok(())
}
