//! I/O ports: every form of access, and the ports worth having.
//!
//! That all 65,536 are closed the harness reads off the running machine: the bitmap lies beyond the
//! limit of the task-state segment.

use crate::Attack;
use crate::instructions::instruction;
use denali_abi::end::EndReason::{self, PrivilegedInstruction};

const DENIED: &[EndReason] = &[PrivilegedInstruction];

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    instruction!("in-immediate", DENIED, "in al, 0x60"),
    instruction!("in-byte", DENIED, "mov edx, 0x64", "in al, dx"),
    instruction!("in-word", DENIED, "mov edx, 0x1f0", "in ax, dx"),
    instruction!("in-long", DENIED, "mov edx, 0xcfc", "in eax, dx"),
    instruction!(
        "in-string",
        DENIED,
        "mov edx, 0x1f0",
        "mov rdi, rsp",
        "sub rdi, 64",
        "insb"
    ),
    instruction!("out-immediate", DENIED, "out 0x80, al"),
    instruction!(
        "out-byte",
        DENIED,
        "mov edx, 0x3f8",
        "mov al, 88",
        "out dx, al"
    ),
    instruction!(
        "out-word",
        DENIED,
        "mov edx, 0x604",
        "mov eax, 0x2000",
        "out dx, ax"
    ),
    instruction!(
        "out-long",
        DENIED,
        "mov edx, 0xcf8",
        "mov eax, 0x80000000",
        "out dx, eax"
    ),
    instruction!(
        "out-string",
        DENIED,
        "mov edx, 0x3f8",
        "mov rsi, rsp",
        "outsb"
    ),
    instruction!("port-0", DENIED, "xor edx, edx", "in al, dx"),
    instruction!("port-pic", DENIED, "mov al, 0xff", "out 0x21, al"),
    instruction!("port-timer", DENIED, "mov al, 0x30", "out 0x43, al"),
    instruction!("port-reset", DENIED, "mov al, 0xfe", "out 0x64, al"),
    instruction!("port-clock", DENIED, "mov al, 0x0f", "out 0x70, al"),
    instruction!("port-fast-reset", DENIED, "mov al, 1", "out 0x92, al"),
    instruction!(
        "port-reset-control",
        DENIED,
        "mov edx, 0xcf9",
        "mov al, 6",
        "out dx, al"
    ),
    instruction!("port-debug-console", DENIED, "mov al, 88", "out 0xe9, al"),
    instruction!(
        "port-debug-exit",
        DENIED,
        "mov edx, 0x501",
        "mov al, 1",
        "out dx, al"
    ),
    instruction!(
        "port-firmware",
        DENIED,
        "mov edx, 0x510",
        "xor eax, eax",
        "out dx, ax"
    ),
    instruction!(
        "port-power",
        DENIED,
        "mov edx, 0xb004",
        "mov eax, 0x2000",
        "out dx, ax"
    ),
    instruction!("port-virtio", DENIED, "mov edx, 0xc000", "in eax, dx"),
    instruction!("port-last", DENIED, "mov edx, 0xffff", "in al, dx"),
    instruction!(
        "port-across-the-end",
        DENIED,
        "mov edx, 0xffff",
        "in eax, dx"
    ),
];
