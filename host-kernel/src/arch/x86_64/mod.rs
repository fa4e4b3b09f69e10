//! x86-64. Three laws hold everywhere here:
//!
//! 1. All vector state of an interrupted guest is saved before the first line of Rust, which uses
//!    those registers itself.
//! 2. Interrupts are off in ring 0 but for the idle `sti; hlt`; there is one kernel stack, and no
//!    handler runs Rust. NMI, #DF, #MC and #DB, which may strike anywhere, have stacks of their
//!    own.
//! 3. Nothing of a guest is trusted on the way back to it: segments, flags and instruction pointer
//!    are checked or replaced each time.
//!
//! | file        | what                                              |
//! |-------------|---------------------------------------------------|
//! | `boot`      | from the loader to 64-bit mode                    |
//! | `cpu`       | features, protections, single instructions        |
//! | `guest_pages` | what a guest's tables say of a page                |
//! | `gdt`       | segments, task state, exception stacks            |
//! | `idt`       | vectors and stubs                                 |
//! | `syscall`   | the hypercall entry                               |
//! | `world`     | the world switch                                  |
//! | `switch`    | its instructions                                  |
//! | `registers` | general registers as they are saved               |
//! | `entry_guard` | barriers on entry from a guest                  |
//! | `isolation` | the trampoline of page-table isolation            |
//! | `fpu`       | which vector state there is                       |
//! | `paging`    | page tables                                       |
//! | `apic`      | timer and end of interrupt                        |
//! | `clock`     | time-stamp counter and wall clock                 |
//! | `port`      | I/O ports                                         |

pub(crate) mod apic;
pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod cpu;
pub(crate) mod entry_guard;
mod fpu;
mod gdt;
pub(crate) mod guest_pages;
pub(crate) mod idt;
mod isolation;
pub(crate) mod paging;
pub(crate) mod port;
mod registers;
mod switch;
mod syscall;
pub(crate) mod world;

/// Loads descriptor tables, so that an exception is reported instead of resetting the machine.
pub(crate) fn load_tables() {
    gdt::load();
    idt::load();
}

/// Makes the CPU ready to run guests and returns the vector state they have, for the boot log.
pub(crate) fn enable_guests(features: &cpu::Features, paging: &paging::Paging) -> &'static str {
    if paging.isolation() == paging::Isolation::On {
        isolation::enable(paging.root());
    }
    syscall::enable(paging.isolation());
    fpu::enable(features)
}
