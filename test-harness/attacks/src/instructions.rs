//! Privileged and sensitive instructions, each opcode once.

use crate::Attack;
use denali_abi::end::EndReason::{
    self, Breakpoint, DivideError, FloatingPoint, InvalidInstruction, PrivilegedInstruction,
};

/// What ends a VM that may not do something.
const DENIED: &[EndReason] = &[PrivilegedInstruction];

/// What ends a VM whose instruction does not exist for it.
const UNDEFINED: &[EndReason] = &[InvalidInstruction];

/// Instructions that one processor denies and another does not know.
const DENIED_OR_UNDEFINED: &[EndReason] = &[PrivilegedInstruction, InvalidInstruction];

/// An attack of a few instructions that must end the VM.
macro_rules! instruction {
    ($name:literal, $reasons:expr, $($text:literal),+) => {
        Attack::killed($name, $reasons, || {
            // SAFETY: none; the kernel must end this VM.
            unsafe {
                core::arch::asm!(
                    $($text),+,
                    out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _,
                    out("r8") _,
                );
            }
            Ok(())
        })
    };
}
pub(crate) use instruction;

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    instruction!("cli", DENIED, "cli"),
    instruction!("sti", DENIED, "sti"),
    instruction!("hlt", DENIED, "hlt"),
    instruction!("lgdt", DENIED, "lgdt [rsp - 64]"),
    instruction!("lidt", DENIED, "lidt [rsp - 64]"),
    instruction!("lldt", DENIED, "xor eax, eax", "lldt ax"),
    instruction!("ltr", DENIED, "mov eax, 0x30", "ltr ax"),
    instruction!("lmsw", DENIED, "xor eax, eax", "lmsw ax"),
    instruction!("clts", DENIED, "clts"),
    instruction!("invd", DENIED, "invd"),
    instruction!("wbinvd", DENIED, "wbinvd"),
    instruction!("invlpg", DENIED, "invlpg [rsp]"),
    instruction!(
        "invpcid",
        DENIED_OR_UNDEFINED,
        "xor eax, eax",
        "invpcid rax, [rsp - 64]"
    ),
    instruction!("read-cr0", DENIED, "mov rax, cr0"),
    instruction!("write-cr0", DENIED, "mov eax, 0x80000011", "mov cr0, rax"),
    instruction!("read-cr2", DENIED, "mov rax, cr2"),
    instruction!("read-cr3", DENIED, "mov rax, cr3"),
    instruction!("write-cr3", DENIED, "xor eax, eax", "mov cr3, rax"),
    instruction!("read-cr4", DENIED, "mov rax, cr4"),
    instruction!("write-cr4", DENIED, "mov eax, 0x20", "mov cr4, rax"),
    instruction!("read-cr8", DENIED, "mov rax, cr8"),
    instruction!("read-dr0", DENIED, "mov rax, dr0"),
    instruction!("write-dr0", DENIED, "mov eax, 0x110000", "mov dr0, rax"),
    instruction!("write-dr7", DENIED, "mov eax, 0x401", "mov dr7, rax"),
    instruction!("rdmsr", DENIED, "mov ecx, 0xc0000082", "rdmsr"),
    instruction!(
        "wrmsr",
        DENIED,
        "mov ecx, 0xc0000082",
        "xor eax, eax",
        "xor edx, edx",
        "wrmsr"
    ),
    instruction!(
        "write-efer",
        DENIED,
        "mov ecx, 0xc0000080",
        "xor eax, eax",
        "wrmsr"
    ),
    instruction!("rdpmc", DENIED, "xor ecx, ecx", "rdpmc"),
    instruction!("sgdt", DENIED, "sgdt [rsp - 64]"),
    instruction!("sidt", DENIED, "sidt [rsp - 64]"),
    instruction!("sldt", DENIED, "sldt rax"),
    instruction!("str", DENIED, "str rax"),
    instruction!("smsw", DENIED, "smsw rax"),
    instruction!("swapgs", DENIED, "swapgs"),
    instruction!(
        "xsetbv",
        DENIED,
        "xor ecx, ecx",
        "mov eax, 1",
        "xor edx, edx",
        "xsetbv"
    ),
    instruction!(
        "monitor",
        DENIED_OR_UNDEFINED,
        "mov rax, rsp",
        "xor ecx, ecx",
        "monitor"
    ),
    instruction!(
        "mwait",
        DENIED_OR_UNDEFINED,
        "xor eax, eax",
        "xor ecx, ecx",
        "mwait"
    ),
    instruction!("vmcall", DENIED_OR_UNDEFINED, "vmcall"),
    instruction!("vmmcall", DENIED_OR_UNDEFINED, "vmmcall"),
    instruction!("vmxon", DENIED_OR_UNDEFINED, "vmxon [rsp - 64]"),
    instruction!("vmrun", DENIED_OR_UNDEFINED, ".byte 0x0f, 0x01, 0xd8"),
    instruction!("stgi", DENIED_OR_UNDEFINED, ".byte 0x0f, 0x01, 0xdc"),
    instruction!("skinit", DENIED_OR_UNDEFINED, ".byte 0x0f, 0x01, 0xde"),
    instruction!("rsm", DENIED_OR_UNDEFINED, ".byte 0x0f, 0xaa"),
    instruction!("clac", UNDEFINED, "clac"),
    instruction!("stac", UNDEFINED, "stac"),
    instruction!(
        "wrpkru",
        UNDEFINED,
        "xor eax, eax",
        "xor ecx, ecx",
        "xor edx, edx",
        "wrpkru"
    ),
    instruction!("ud2", UNDEFINED, "ud2"),
    instruction!("into", UNDEFINED, ".byte 0xce"),
    instruction!("lock-nop", UNDEFINED, ".byte 0xf0, 0x90"),
    instruction!(
        "sixteen-byte-instruction",
        DENIED_OR_UNDEFINED,
        ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66",
        ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90"
    ),
    instruction!("int3", &[Breakpoint], "int3"),
    instruction!("icebp", &[Breakpoint, InvalidInstruction], ".byte 0xf1"),
    instruction!("int-divide-error", DENIED, "int 0"),
    instruction!("int-nmi", DENIED, "int 2"),
    instruction!("int-double-fault", DENIED, "int 8"),
    instruction!("int-page-fault", DENIED, "int 14"),
    instruction!("int-machine-check", DENIED, "int 18"),
    instruction!("int-timer", DENIED, "int 32"),
    instruction!("int-linux", DENIED, "int 0x80"),
    instruction!("int-last", DENIED, "int 255"),
    instruction!("divide-by-zero", &[DivideError], "xor ecx, ecx", "div ecx"),
    instruction!(
        "quotient-overflow",
        &[DivideError],
        "mov rax, 0x8000000000000000",
        "cqo",
        "mov rcx, -1",
        "idiv rcx"
    ),
    instruction!(
        "x87-exception",
        &[FloatingPoint],
        "mov word ptr [rsp - 64], 0x0340",
        "fldcw [rsp - 64]",
        "fld1",
        "fldz",
        "fdivp",
        "fwait"
    ),
    instruction!(
        "xrstor-supervisor-state",
        DENIED,
        "mov rax, rsp",
        "sub rax, 2048",
        "and rax, -64",
        "mov rcx, -1",
        "mov [rax + 512], rcx",
        "mov [rax + 520], rcx",
        "mov rdi, rax",
        "mov eax, -1",
        "mov edx, -1",
        "xrstor [rdi]"
    ),
    instruction!(
        "xsaves",
        DENIED_OR_UNDEFINED,
        "mov rdi, rsp",
        "and rdi, -64",
        "xsaves [rdi - 2048]"
    ),
];
