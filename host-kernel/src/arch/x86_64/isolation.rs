//! Page-table isolation: guests run on tables that map of the kernel only a trampoline.
//!
//! On a processor with the Meltdown defect a guest reads what its tables map, whatever the rights
//! say. With isolation on, they map the entries below, the descriptor tables, a few words of
//! scratch and the highest page of each exception stack; the kernel runs on its own tables, which
//! hold no guest. What the entries leave in those pages is erased before another guest runs.
//! The way back is in `switch.rs`.

#![expect(unsafe_code, reason = "entry points from assembly")]

use super::{gdt, idt};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

global_asm!(
    r#"
.section .trampoline.text, "ax", @progbits
/* As in idt.rs. */
.global isolated_stubs
.balign 16
isolated_stubs:
.set isolated_vector, 0
.rept 256
    .balign 16
    .if (isolated_vector > 31) || !((0x60227d00 >> isolated_vector) & 1)
    push 0
    .endif
    push isolated_vector
    jmp isolated_trap
    .set isolated_vector, isolated_vector + 1
.endr

isolated_trap:
    test byte ptr [rsp + 24], 3     /* CS of what was interrupted */
    jnz isolated_leave
    cmp dword ptr [rsp], 32
    jae trap_entry                  /* at the idle hlt, so on the kernel's tables */
isolated_kernel_trap:
    push rax
    mov rax, [rip + {kernel_root}]
    mov cr3, rax
    pop rax
    jmp kernel_trap

.global isolated_double_fault, isolated_machine_check, isolated_debug
isolated_double_fault:
    push 8
    jmp isolated_kernel_trap
isolated_machine_check:
    push 0
    push 18
    jmp isolated_kernel_trap
isolated_debug:
    test byte ptr [rsp + 8], 3
    jnz 1f
    iretq
1:  push 0
    push 1

/* From ring 3: the frame moves to the context. */
isolated_leave:
    push rax
    mov rax, [rip + {kernel_root}]
    mov cr3, rax
    mov rax, rsp
    mov rsp, [rip + context_end]
    push [rax + 56]
    push [rax + 48]
    push [rax + 40]
    push [rax + 32]
    push [rax + 24]
    push [rax + 16]
    push [rax + 8]
    push [rax]
    mov qword ptr [rax + 56], 0
    mov qword ptr [rax + 48], 0
    mov qword ptr [rax + 40], 0
    mov qword ptr [rax + 32], 0
    mov qword ptr [rax + 24], 0
    mov qword ptr [rax + 16], 0
    mov qword ptr [rax + 8], 0
    mov qword ptr [rax], 0
    mov qword ptr [rip + trampoline_rsp], 0
    jmp world_leave_isolated

/* `syscall`: as in switch.rs. Exceptions that may strike here have stacks of their own, so that rsp
 * is free to carry the tables. */
.balign 16
.global isolated_hypercall
isolated_hypercall:
    mov [rip + trampoline_rsp], rsp
    mov rsp, [rip + {kernel_root}]
    mov cr3, rsp
    mov rsp, [rip + context_end]
    push {user_data}
    push [rip + trampoline_rsp]
    mov qword ptr [rip + trampoline_rsp], 0
    jmp hypercall_isolated

.section .trampoline.data, "aw", @progbits
.balign 64
    .skip 256                       /* a fault in the trampoline pushes here, too */
.global trampoline_stack_top, trampoline_rsp
trampoline_stack_top:
trampoline_rsp: .skip 8
.text
"#,
    kernel_root = sym KERNEL_ROOT,
    user_data = const gdt::USER_DATA,
);

/// The kernel's root page table.
#[unsafe(link_section = ".trampoline.data")]
static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static isolated_stubs: u8;
    static trampoline_stack_top: u8;
    fn isolated_debug();
    fn isolated_double_fault();
    fn isolated_machine_check();
    pub(super) fn isolated_hypercall();
}

/// Leads every entry but `syscall` through the trampoline. Before the first guest runs.
pub(super) fn enable(kernel_root: u64) {
    KERNEL_ROOT.store(kernel_root, Ordering::Relaxed);
    gdt::set_trap_stack((&raw const trampoline_stack_top).addr() as u64);
    idt::fill(idt::Entries {
        stubs: &raw const isolated_stubs,
        debug: isolated_debug,
        double_fault: isolated_double_fault,
        machine_check: isolated_machine_check,
    });
}
