//! The entry for upcalls: whatever the interrupted code was working with is saved and restored.
//!
//! The kernel leaves all registers but `rip`, `rsp` and the flags alone, so the entry saves those
//! that a function call loses on the interrupted thread's own stack: general registers, and all
//! vector state by XSAVE (or FXSAVE where there is no XSAVE). A switch to another thread in between
//! saves the rest, as in any call that waits.
//!
//! Returning does not cross either. Flags and address of return go right below the red zone of the
//! interrupted code, and `ret` takes the red zone off the stack with them. `iretq` would do it, too,
//! but QEMU before 9.1 reads its frame as the kernel would, which SMAP forbids. Interrupts are enabled
//! before that: an upcall in between leaves alone what lies above the stack pointer.

use super::serve;
use crate::hypercall;
use core::arch::naked_asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::shared::SharedPage;
use denali_abi::upcall::{RED_ZONE, UpcallFrame};

/// Bytes of an FXSAVE area (SDM vol. 1 §10.5.1).
const FXSAVE_BYTES: u64 = 512;

/// Bytes of the area for vector state.
static STATE_BYTES: AtomicU64 = AtomicU64::new(FXSAVE_BYTES);

/// What the compiler's code expects of MXCSR: all exceptions masked (SDM vol. 1 §11.6.4).
static MXCSR: u32 = 0x1f80;

/// Registers pushed by the entry, in bytes.
const PUSHED: usize = 9 * 8;

const ENABLED: u64 = SHARED_ADDRESS + offset_of!(SharedPage, interrupts_enabled) as u64;

const _: () = assert!(offset_of!(UpcallFrame, pending) == 0);
// The way back writes behind the first two fields it needs, and over the rest.
const _: () = assert!(offset_of!(UpcallFrame, rflags) + 8 <= size_of::<UpcallFrame>() - 16);

/// Has the kernel deliver interrupts by upcalls, on whatever stack is in use.
pub(super) fn register() {
    const XSAVE_ENABLED: u32 = 1 << 27;
    if __cpuid(1).ecx & XSAVE_ENABLED != 0 {
        // The size for what XCR0 enables: all that this VM can use.
        STATE_BYTES.store(u64::from(__cpuid_count(0xd, 0).ebx), Ordering::Relaxed);
    }
    hypercall::register_upcall(entry as *const () as u64);
}

/// Where an upcall begins, with `rsp` at an [`UpcallFrame`].
#[unsafe(naked)]
extern "C" fn entry() -> ! {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rax", "push rcx", "push rdx", "push rsi", "push rdi", "push r8",
        "push r9", "push r10", "push r11",
        "mov rcx, [rip + {state_bytes}]",
        "sub rsp, rcx",
        "and rsp, -64",
        "cmp rcx, {fxsave_bytes}",
        "je 2f",
        // XRSTOR wants a header without garbage (SDM vol. 1 §13.4.2).
        "xor eax, eax",
        "mov [rsp + 512], rax", "mov [rsp + 520], rax", "mov [rsp + 528], rax",
        "mov [rsp + 536], rax", "mov [rsp + 544], rax", "mov [rsp + 552], rax",
        "mov [rsp + 560], rax", "mov [rsp + 568], rax",
        "mov eax, -1",
        "mov edx, -1",
        "xsave64 [rsp]",
        "jmp 3f",
        "2: fxsave64 [rsp]",
        "3: fninit",
        "ldmxcsr [rip + {mxcsr}]",
        "mov rdi, [rbp + 8]",
        "call {serve}",
        "cmp qword ptr [rip + {state_bytes}], {fxsave_bytes}",
        "je 4f",
        "mov eax, -1",
        "mov edx, -1",
        "xrstor64 [rsp]",
        "jmp 5f",
        "4: fxrstor64 [rsp]",
        "5: mov rax, [rbp + {rip}]",
        "mov rcx, [rbp + {rflags}]",
        "mov rdx, [rbp + {rsp}]",
        "sub rdx, {red_zone} + 16",
        "mov [rdx + 8], rax",
        "mov [rdx], rcx",
        "mov [rbp + 8], rdx",
        "lea rsp, [rbp - {pushed}]",
        "pop r11", "pop r10", "pop r9", "pop r8", "pop rdi", "pop rsi", "pop rdx",
        "pop rcx", "pop rax", "pop rbp",
        "mov dword ptr [{enabled}], 1",
        "pop rsp",
        "popfq",
        "ret {red_zone}",
        red_zone = const RED_ZONE,
        rip = const 8 + offset_of!(UpcallFrame, rip),
        rflags = const 8 + offset_of!(UpcallFrame, rflags),
        rsp = const 8 + offset_of!(UpcallFrame, rsp),
        state_bytes = sym STATE_BYTES,
        fxsave_bytes = const FXSAVE_BYTES,
        mxcsr = sym MXCSR,
        serve = sym serve_upcall,
        pushed = const PUSHED,
        enabled = const ENABLED,
    )
}

/// Serves an upcall; the kernel has masked interrupts.
extern "C" fn serve_upcall(delivered: u64) {
    serve(u32::try_from(delivered).unwrap_or(u32::MAX));
}
