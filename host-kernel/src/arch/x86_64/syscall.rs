//! The hypercall entry: what `syscall` does on this CPU.

#![expect(unsafe_code, reason = "names the entry point, which is assembly")]

use super::cpu::write_msr;
use super::gdt::{KERNEL_CODE, USER_BASE};
use super::isolation::isolated_hypercall;
use super::paging::Isolation;

const IA32_STAR: u32 = 0xc000_0081;
const IA32_LSTAR: u32 = 0xc000_0082;
const IA32_CSTAR: u32 = 0xc000_0083;
const IA32_FMASK: u32 = 0xc000_0084;

/// Flags cleared on entry: TF, IF, DF, IOPL, NT, RF, AC.
const FLAGS_CLEARED: u64 = 0x0005_7700;

unsafe extern "C" {
    fn hypercall_entry();
}

/// Points `syscall` at the world switch, or at the trampoline before it.
pub(crate) fn enable(isolation: Isolation) {
    let entry = match isolation {
        Isolation::Off => hypercall_entry,
        Isolation::On => isolated_hypercall,
    };
    write_msr(
        IA32_STAR,
        u64::from(USER_BASE) << 48 | u64::from(KERNEL_CODE) << 32,
    );
    write_msr(IA32_LSTAR, (entry as *const ()).addr() as u64);
    // There is no 32-bit code segment from which CSTAR could be reached.
    write_msr(IA32_CSTAR, 0);
    write_msr(IA32_FMASK, FLAGS_CLEARED);
}
