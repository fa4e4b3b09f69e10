//! Flags around `syscall` and traps: what a guest sets must neither confuse the kernel nor stay.

use crate::instructions::instruction;
use crate::{Attack, Outcome, ensure};
use core::arch::asm;
use denali_abi::end::EndReason::{self, Breakpoint};
use denali_abi::hypercall::Hypercall;

/// A single step ends the VM wherever it strikes.
const STEPPED: &[EndReason] = &[Breakpoint];

const INTERRUPTS: u64 = 1 << 9;
const IO_PRIVILEGE: u64 = 3 << 12;

/// CF, PF, AF, ZF, SF, DF, OF, NT, AC, ID: what `popfq` may change in ring 3 without a trap.
const CHANGEABLE: [u32; 10] = [0, 2, 4, 6, 7, 10, 11, 14, 18, 21];

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    Attack::harmless("flags-around-hypercalls", around_hypercalls),
    Attack::harmless("flags-interrupts-off", interrupts_off),
    Attack::harmless("flags-io-privilege", io_privilege),
    Attack::harmless("flags-across-preemption", across_preemption),
    instruction!("single-step", STEPPED, "push 0x102", "popfq", "nop", "nop"),
    instruction!(
        "single-step-into-hypercall",
        STEPPED,
        "mov eax, 0x44450002",
        "push 0x102",
        "popfq",
        "syscall",
        "nop"
    ),
    instruction!(
        "single-step-behind-mov-ss",
        STEPPED,
        "mov ecx, ss",
        "mov eax, 0x44450002",
        "push 0x102",
        "popfq",
        "mov ss, ecx",
        "syscall",
        "nop"
    ),
    instruction!(
        "breakpoint-behind-mov-ss",
        STEPPED,
        "mov ecx, ss",
        "mov ss, ecx",
        "int3"
    ),
    instruction!(
        "step-with-direction-down",
        STEPPED,
        "push 0x44502",
        "popfq",
        "nop",
        "nop"
    ),
];

/// Loads flags, makes a hypercall, and returns the flags behind it.
fn through_hypercall(flags: u64) -> u64 {
    let after;
    // SAFETY: the flags are put back to what compiled code expects before it goes on; the red zone
    // is left alone.
    unsafe {
        asm!(
            "sub rsp, 256",
            "push {flags}",
            "popfq",
            "syscall",
            "pushfq",
            "pop rdx",
            "push 2",
            "popfq",
            "add rsp, 256",
            flags = in(reg) flags,
            lateout("rdx") after,
            inlateout("rax") Hypercall::Yield.number() => _,
            clobber_abi("sysv64"),
        );
    }
    after
}

fn around_hypercalls() -> Outcome {
    for choice in 0..1_u64 << CHANGEABLE.len() {
        let mut flags = 2;
        for (index, bit) in CHANGEABLE.iter().enumerate() {
            flags |= (choice >> index & 1) << bit;
        }
        let after = through_hypercall(flags);
        ensure!(
            after & INTERRUPTS != 0,
            "interrupts are off with flags {flags:#x}"
        );
        ensure!(
            after & IO_PRIVILEGE == 0,
            "{after:#x} lets the guest use ports"
        );
    }
    Ok(())
}

fn interrupts_off() -> Outcome {
    let after = through_hypercall(2);
    ensure!(
        after & INTERRUPTS != 0,
        "a hypercall left interrupts off: {after:#x}"
    );
    let after: u64;
    // SAFETY: changes flags that compiled code does not rely on.
    unsafe {
        asm!("sub rsp, 256", "push 2", "popfq", "pushfq", "pop {}", "add rsp, 256", out(reg) after);
    }
    ensure!(
        after & INTERRUPTS != 0,
        "popfq turned interrupts off: {after:#x}"
    );
    Ok(())
}

fn io_privilege() -> Outcome {
    let after = through_hypercall(IO_PRIVILEGE | 0x001b_0000 | 2);
    ensure!(
        after & IO_PRIVILEGE == 0,
        "{after:#x} lets the guest use ports"
    );
    Ok(())
}

/// The direction flag and alignment checks stay this VM's own while others run in between.
fn across_preemption() -> Outcome {
    for _ in 0..8 {
        let after: u64;
        // SAFETY: nothing but the loop runs with these flags.
        unsafe {
            asm!(
                "sub rsp, 256",
                "push 0x240402",
                "popfq",
                "2:",
                "dec {turns}",
                "jnz 2b",
                "pushfq",
                "pop {after}",
                "push 2",
                "popfq",
                "add rsp, 256",
                turns = inout(reg) 2_000_000_u64 => _,
                after = out(reg) after,
            );
        }
        ensure!(
            after & 0x0024_0400 == 0x0024_0400,
            "flags changed to {after:#x}"
        );
    }
    Ok(())
}
