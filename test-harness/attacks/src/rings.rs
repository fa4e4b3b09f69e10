//! Ways to another privilege level: segments, gates, returns.

use crate::instructions::instruction;
use crate::{Attack, Outcome, ensure};
use core::arch::asm;
use denali_abi::end::EndReason::{
    self, BadAddress, InvalidInstruction, OtherException, PrivilegedInstruction,
};

const DENIED: &[EndReason] = &[PrivilegedInstruction];
const DENIED_OR_UNDEFINED: &[EndReason] = &[PrivilegedInstruction, InvalidInstruction];

/// QEMU reads the stack of a far return as the kernel would, which SMAP forbids.
const BAD_RETURN: &[EndReason] = &[PrivilegedInstruction, OtherException];

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    instruction!("ds-kernel-data", DENIED, "mov eax, 0x10", "mov ds, eax"),
    instruction!("es-task-state", DENIED, "mov eax, 0x30", "mov es, eax"),
    instruction!(
        "fs-beyond-the-table",
        DENIED,
        "mov eax, 0x1003",
        "mov fs, eax"
    ),
    instruction!("gs-local-table", DENIED, "mov eax, 7", "mov gs, eax"),
    instruction!("ss-null", DENIED, "xor eax, eax", "mov ss, eax"),
    instruction!("ss-kernel-data", DENIED, "mov eax, 0x10", "mov ss, eax"),
    instruction!("ss-code", DENIED, "mov eax, 0x2b", "mov ss, eax"),
    instruction!(
        "far-jump-to-kernel-code",
        DENIED,
        "mov dword ptr [rsp - 64], 0x80200000",
        "mov word ptr [rsp - 60], 8",
        "jmp fword ptr [rsp - 64]"
    ),
    instruction!(
        "far-call-to-task-state",
        DENIED,
        "mov dword ptr [rsp - 64], 0",
        "mov word ptr [rsp - 60], 0x30",
        "call fword ptr [rsp - 64]"
    ),
    instruction!(
        "far-jump-to-data",
        DENIED,
        "mov dword ptr [rsp - 64], 0x110000",
        "mov word ptr [rsp - 60], 0x23",
        "jmp fword ptr [rsp - 64]"
    ),
    instruction!(
        "far-return-to-kernel-code",
        BAD_RETURN,
        "mov rax, 0xffffffff80200000",
        "push 8",
        "push rax",
        "retfq"
    ),
    instruction!(
        "iret-to-kernel-code",
        BAD_RETURN,
        "mov rax, rsp",
        "mov rcx, 0xffffffff80200000",
        "push 0x10",
        "push rax",
        "push 2",
        "push 8",
        "push rcx",
        "iretq"
    ),
    instruction!(
        "iret-of-nested-task",
        BAD_RETURN,
        "push 0x4202",
        "popfq",
        "push 0",
        "iretq"
    ),
    instruction!(
        "sysret",
        DENIED,
        "lea rcx, [rip]",
        "mov r11, 0x202",
        ".byte 0x48",
        "sysret"
    ),
    instruction!(
        "sysexit",
        DENIED_OR_UNDEFINED,
        "mov rcx, rsp",
        "lea rdx, [rip]",
        "sysexit"
    ),
    instruction!("sysenter", DENIED_OR_UNDEFINED, "sysenter"),
    instruction!(
        "jump-non-canonical",
        &[PrivilegedInstruction, BadAddress],
        "mov rax, 0x800000000000",
        "jmp rax"
    ),
    instruction!(
        "push-non-canonical",
        &[PrivilegedInstruction, OtherException, BadAddress],
        "mov rsp, 0x800000000000",
        "push rax"
    ),
    instruction!(
        "push-to-kernel",
        &[BadAddress],
        "mov rsp, 0xffffffff80300000",
        "push rax"
    ),
    Attack::harmless("hypercall-on-a-mad-stack", mad_stacks),
    Attack::harmless("segments-survive", segments_survive),
];

/// The kernel must not use the stack of its caller.
fn mad_stacks() -> Outcome {
    for stack in [0, 8, 1 << 47, u64::MAX, 0xffff_ffff_8030_0000, 0x0010_0100] {
        let number = denali_abi::hypercall::Hypercall::Yield.number();
        let (result, back): (i64, u64);
        // SAFETY: the stack pointer is put back before anything uses it.
        unsafe {
            asm!(
                "mov r12, rsp",
                "mov rsp, {stack}",
                "syscall",
                "mov r13, rsp",
                "mov rsp, r12",
                stack = in(reg) stack,
                inlateout("rax") number => result,
                out("r12") _,
                out("r13") back,
                clobber_abi("sysv64"),
            );
        }
        ensure!(
            result == 0 && back == stack,
            "{result}, stack {back:#x} for {stack:#x}"
        );
    }
    Ok(())
}

/// A data segment may be null; the kernel must not mind, and another VM's must not come back.
fn segments_survive() -> Outcome {
    // SAFETY: 64-bit code does not use these segments.
    unsafe { asm!("xor eax, eax", "mov ds, eax", "mov es, eax", "mov fs, eax", out("eax") _) };
    for _ in 0..64 {
        denali_rt::hypercall::yield_cpu();
        let (data, code): (u64, u64);
        // SAFETY: reads registers.
        unsafe { asm!("mov {0}, ds", "mov {1}, cs", out(reg) data, out(reg) code) };
        let sound = matches!(data & 0xffff, 0 | 0x23) && code & 0xffff == 0x2b;
        ensure!(sound, "ds {data:#x}, cs {code:#x}");
    }
    Ok(())
}
