//! The instructions of the world switch.
//!
//! While a guest runs, `rsp0` points into its context frame, so that the CPU itself stores the
//! interrupted state where it belongs; the stubs push the general registers behind it. All vector
//! state is saved before the first line of Rust when the guest was interrupted. A hypercall is a
//! function call to the guest: only MXCSR and the x87 control word survive it, and it returns with
//! otherwise clean vector state. There is no `swapgs`: the kernel does not use GS.
//!
//! With page-table isolation the first and last instructions on a guest's tables are those of
//! `isolation.rs` and of the section `.trampoline.text` here.

#![expect(unsafe_code, reason = "declares and calls assembly")]

use super::fpu;
use super::gdt::{self, KERNEL_DATA, USER_CODE, USER_DATA};
use super::registers::Registers;
use core::arch::global_asm;
use core::mem::offset_of;
use host_kernel::measures::{Measure, Measures};

/// Where vector state lies in a context frame.
pub(super) const STATE_OFFSET: usize = 256;

/// Stands for `syscall` in [`Registers::vector`].
pub(super) const HYPERCALL_VECTOR: u64 = 256;

/// The contents of a context frame.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Context {
    pub(super) registers: Registers,
    pub(super) fs_base: u64,
    pub(super) gs_base: u64,
    /// Of a guest that left by hypercall.
    pub(super) mxcsr: u32,
    /// Of a guest that left by hypercall.
    control_word: u16,
    reserved: [u8; STATE_OFFSET - size_of::<Registers>() - 22],
    pub(super) state: [u8; fpu::STATE_BYTES_MAX],
}

const _: () = assert!(size_of::<Context>() == 4096);
const _: () = assert!(offset_of!(Context, state) == STATE_OFFSET);

global_asm!(
    r#"
.text
/* extern "C" fn world_enter(context: *mut Context, called: u32, root: u64): returns when the guest
 * exits. One copy for each set of measures, so that what is off costs nothing. */
.macro define_world_enter name, isolated, clearing
.text
.balign 16
.global \name
\name:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rip + kernel_rsp], rsp
    lea rax, [rdi + {frame_end}]
    .if \isolated
    mov [rip + context_end], rax
    mov [rip + guest_root], rdx
    .else
    mov [rip + {task_state} + {rsp0}], rax
    .endif
    test esi, esi
    mov eax, [rip + {xsave_mask}]
    mov edx, [rip + {xsave_mask} + 4]
    jnz 3f

    /* Interrupted: everything back as it was. */
    test eax, eax
    jz 1f
    xrstor64 [rdi + {state}]
    jmp 2f
1:  fxrstor64 [rdi + {state}]
2:
    .if \isolated
    lea rsp, [rip + trampoline_stack_top]
    push [rdi + {ss}]
    push [rdi + {rsp}]
    push [rdi + {rflags}]
    push [rdi + {cs}]
    push [rdi + {rip}]
    push [rdi + {rax}]
    .endif
    mov rsp, rdi
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    .if \isolated
    mov rax, [rip + guest_root]
    lea rsp, [rip + trampoline_stack_top - 6 * 8]
    jmp 6f
    .pushsection .trampoline.text, "ax", @progbits
6:  mov cr3, rax
    pop rax
    .else
    pop rax
    add rsp, 16
    .endif
    .if \clearing
    verw [rip + buffers_selector]
    .endif
    iretq
    .if \isolated
    .popsection
    .endif

    /* Returns from a hypercall; the caller checked that rip is canonical. */
3:  test eax, eax
    jz 4f
    xrstor64 [rip + {clean_state}]
    jmp 5f
4:  fxrstor64 [rip + {clean_state}]
5:  fldcw [rdi + {control_word}]
    ldmxcsr [rdi + {mxcsr}]
    .if \isolated
    /* What `iretq` needed of whoever used it last. */
    lea rax, [rip + trampoline_stack_top]
    mov qword ptr [rax - 16], 0
    mov qword ptr [rax - 24], 0
    mov qword ptr [rax - 40], 0
    mov qword ptr [rax - 48], 0
    .endif
    mov rsp, rdi
    pop r15
    pop r14
    pop r13
    pop r12
    add rsp, 8
    pop r10
    pop r9
    pop r8
    add rsp, 8
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    add rsp, 8
    pop rax
    mov rcx, [rdi + {rip}]
    mov r11, [rdi + {rflags}]
    mov rsp, [rdi + {rsp}]
    mov rdi, [rdi + {rdi}]
    .if \isolated
    mov [rip + trampoline_rsp], rsp
    mov rsp, [rip + guest_root]
    jmp 7f
    .pushsection .trampoline.text, "ax", @progbits
7:  mov cr3, rsp
    mov rsp, [rip + trampoline_rsp]
    .endif
    .if \clearing
    verw [rip + buffers_selector]
    .endif
    sysretq
    .if \isolated
    .popsection
    .endif
.endm

define_world_enter world_enter, 0, 0
define_world_enter world_enter_clearing, 0, 1
define_world_enter world_enter_isolated, 1, 0
define_world_enter world_enter_isolated_clearing, 1, 1

/* From a stub, on the context as stack: vector, error code and the CPU's frame are there. */
.balign 16
.global world_leave_by_trap, world_leave_isolated
world_leave_by_trap:
    push rax
world_leave_isolated:
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    mov rsp, [rip + kernel_rsp]
    push 2                          /* AC, DF, TF off: gates leave AC, and so SMAP, alone */
    popfq
    mov eax, [rip + {xsave_mask}]
    mov edx, [rip + {xsave_mask} + 4]
    test eax, eax
    jz 6f
    xsave64 [rdi + {state}]
    jmp 7f
6:  fxsave64 [rdi + {state}]
7:  ldmxcsr [rip + {clean_state} + {state_mxcsr}]
    jmp world_left

/* `syscall`: rcx is rip, r11 is rflags, rsp is the guest's. */
.balign 16
.global hypercall_entry, hypercall_isolated
hypercall_entry:
    mov [rip + guest_rsp], rsp
    mov rsp, [rip + {task_state} + {rsp0}]
    push {user_data}
    push [rip + guest_rsp]
hypercall_isolated:
    push r11
    push {user_code}
    push rcx
    push 0
    push {hypercall}
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    mov rsp, [rip + kernel_rsp]
    stmxcsr [rdi + {mxcsr}]
    fnstcw [rdi + {control_word}]
    ldmxcsr [rip + {clean_state} + {state_mxcsr}]

.global world_left, world_left_guarded
world_left:
    .byte 0x0f, 0x1f, 0x44, 0, 0    /* a NOP of 5 bytes, patched by entry_guard.rs */
world_left_guarded:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

.bss
.balign 8
kernel_rsp: .skip 8
guest_rsp: .skip 8
.global context_end
context_end: .skip 8
guest_root: .skip 8

.section .trampoline.data, "aw", @progbits
buffers_selector: .short {kernel_data}
.text
"#,
    frame_end = const size_of::<Registers>(),
    state = const STATE_OFFSET,
    mxcsr = const offset_of!(Context, mxcsr),
    control_word = const offset_of!(Context, control_word),
    rip = const offset_of!(Registers, rip),
    rflags = const offset_of!(Registers, rflags),
    rsp = const offset_of!(Registers, rsp),
    rdi = const offset_of!(Registers, rdi),
    rax = const offset_of!(Registers, rax),
    cs = const offset_of!(Registers, cs),
    ss = const offset_of!(Registers, ss),
    kernel_data = const KERNEL_DATA,
    user_code = const USER_CODE,
    user_data = const USER_DATA,
    hypercall = const HYPERCALL_VECTOR,
    state_mxcsr = const fpu::MXCSR_OFFSET,
    rsp0 = const gdt::RSP0_OFFSET,
    task_state = sym gdt::TASK_STATE_SEGMENT,
    xsave_mask = sym fpu::XSAVE_MASK,
    clean_state = sym fpu::CLEAN_STATE,
);

unsafe extern "C" {
    fn world_enter(context: *mut Context, called: u32, root: u64);
    fn world_enter_clearing(context: *mut Context, called: u32, root: u64);
    fn world_enter_isolated(context: *mut Context, called: u32, root: u64);
    fn world_enter_isolated_clearing(context: *mut Context, called: u32, root: u64);
}

/// Runs a guest until it leaves, by the copy of the switch for the measures in force: called
/// directly, since a pointer would be one more branch to guard.
///
/// # Safety
///
/// `context` is a context frame with the guest's segments, sanitised flags and a canonical
/// instruction pointer; `called` says whether it left by hypercall; `root` is its page table, which
/// is loaded unless `measures` isolate it, and which maps nothing but the guest that ring 3 can use.
pub(super) unsafe fn enter(context: *mut Context, called: u32, root: u64, measures: &Measures) {
    let isolated = measures.has(Measure::PageTableIsolation);
    match (isolated, measures.has(Measure::ClearBuffers)) {
        // SAFETY: the caller's promise.
        (false, false) => unsafe { world_enter(context, called, root) },
        // SAFETY: the caller's promise.
        (false, true) => unsafe { world_enter_clearing(context, called, root) },
        // SAFETY: the caller's promise.
        (true, false) => unsafe { world_enter_isolated(context, called, root) },
        // SAFETY: the caller's promise.
        (true, true) => unsafe { world_enter_isolated_clearing(context, called, root) },
    }
}
