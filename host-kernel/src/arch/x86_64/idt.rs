//! Interrupt vectors: one table of stubs, four exceptions on stacks of their own.
//!
//! From ring 3 every stub ends in the world switch (`switch.rs`). In ring 0 interrupts arrive only
//! at the idle `sti; hlt`: they are noted in [`PENDING`] and the idle loop serves them, so that no
//! handler ever runs Rust. An exception in ring 0 is a kernel bug and ends in [`kernel_exception`].

#![expect(unsafe_code, reason = "loads the IDT; entry points from assembly")]

use super::gdt::{IstStack, KERNEL_CODE};
use super::registers::Registers;
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

/// The first vector that is no exception.
pub(crate) const FIRST_INTERRUPT: u8 = 32;

/// Interrupts that arrived in ring 0 and are not served yet: bit = vector.
static PENDING: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];

/// Non-maskable interrupts since boot.
#[unsafe(link_section = ".trampoline.data")]
static NMI_COUNT: AtomicU64 = AtomicU64::new(0);

global_asm!(
    r#"
.global vector_stubs, double_fault_entry, machine_check_entry, nmi_entry, debug_entry
.global trap_entry, kernel_trap
.text
/* Vectors 8, 10-14, 17, 21, 29, 30 push an error code (SDM vol. 3A table 6-1, AMD APM vol. 2
 * §8.2): the bits of the mask. */
.balign 16
vector_stubs:
.set vector, 0
.rept 256
    .balign 16
    .if (vector > 31) || !((0x60227d00 >> vector) & 1)
    push 0
    .endif
    push vector
    jmp trap_entry
    .set vector, vector + 1
.endr

trap_entry:
    test byte ptr [rsp + 24], 3     /* CS of what was interrupted */
    jnz world_leave_by_trap
    cmp dword ptr [rsp], 32
    jb kernel_trap

    /* At the idle hlt: note it, and go on with interrupts off. */
    push rax
    mov eax, [rsp + 8]
    lock bts dword ptr [rip + {pending}], eax
    and dword ptr [rsp + 40], 0xfffffdff
    pop rax
    add rsp, 16
    iretq

/* A bug. The stack may be the problem: report from one that is known to be good. */
double_fault_entry:
    push 8
    jmp kernel_trap
machine_check_entry:
    push 0
    push 18
kernel_trap:
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
    and rsp, -16
    cmp qword ptr [rdi + 15 * 8], 8
    je 2f
    cmp qword ptr [rdi + 15 * 8], 18
    je 2f
    movabs rsp, offset ist_stacks_first_top
2:  push 2
    popfq
    sub rsp, 8
    and rsp, -16
    xor ebp, ebp
    call {kernel_exception}
    ud2

.section .trampoline.text, "ax", @progbits
nmi_entry:
    lock inc qword ptr [rip + {nmi_count}]
    iretq
.text

/* From ring 3 the frame moves to the context. In ring 0 a debug trap can only be one that `mov ss`
 * held back for an instruction (CVE-2018-8897); DR7 is clear, so it means nothing. */
debug_entry:
    test byte ptr [rsp + 8], 3
    jnz 3f
    iretq
3:  mov [rip + debug_scratch], rax
    mov rax, rsp
    mov rsp, [rip + {task_state} + 4]
    push [rax + 32]
    push [rax + 24]
    push [rax + 16]
    push [rax + 8]
    push [rax]
    push 0
    push 1
    mov rax, [rip + debug_scratch]
    jmp world_leave_by_trap

.bss
.balign 8
debug_scratch: .skip 8
.text
"#,
    pending = sym PENDING,
    nmi_count = sym NMI_COUNT,
    kernel_exception = sym kernel_exception,
    task_state = sym super::gdt::TASK_STATE_SEGMENT,
);

unsafe extern "C" {
    static vector_stubs: u8;
    fn double_fault_entry();
    fn machine_check_entry();
    fn nmi_entry();
    fn debug_entry();
}

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Gate([u64; 2]);

/// Who may raise a vector with `int`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Raise {
    Kernel,
    Anyone,
}

impl Gate {
    /// Makes an interrupt gate (SDM vol. 3A §6.14.1): interrupts go off.
    fn new(handler: u64, ist: Option<IstStack>, raise: Raise) -> Self {
        let ist = ist.map_or(0, |stack| stack as u64 + 1);
        let privilege = if raise == Raise::Anyone { 3 << 45 } else { 0 };
        let low = handler & 0xffff
            | u64::from(KERNEL_CODE) << 16
            | ist << 32
            | 0x8e << 40
            | privilege
            | (handler >> 16 & 0xffff) << 48;
        Self([low, handler >> 32])
    }
}

#[repr(C, align(4096))]
struct Table(UnsafeCell<[Gate; 256]>);

// SAFETY: one CPU; written once, at boot.
unsafe impl Sync for Table {}

#[unsafe(link_section = ".trampoline.data")]
static TABLE: Table = Table(UnsafeCell::new([Gate([0; 2]); 256]));

/// Where the vectors lead: an entry for each that has a stack of its own, stubs for the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    pub(crate) stubs: *const u8,
    pub(crate) debug: unsafe extern "C" fn(),
    pub(crate) double_fault: unsafe extern "C" fn(),
    pub(crate) machine_check: unsafe extern "C" fn(),
}

/// Fills and loads the table with the entries that need the kernel's tables loaded.
pub(crate) fn load() {
    fill(Entries {
        stubs: &raw const vector_stubs,
        debug: debug_entry,
        double_fault: double_fault_entry,
        machine_check: machine_check_entry,
    });
    let pointer = DescriptorTablePointer {
        limit: 256 * 16 - 1,
        base: VirtAddr::from_ptr(TABLE.0.get()),
    };
    // SAFETY: the table is static, and each gate leads to an entry for its vector.
    unsafe { lidt(&pointer) };
}

/// Fills the table. Interrupts are off, so that nothing meets a half-written gate.
pub(crate) fn fill(entries: Entries) {
    const STUB_BYTES: u64 = 16;
    let stubs = entries.stubs.addr() as u64;
    let gates = core::array::from_fn(|vector| {
        let ist = |entry: unsafe extern "C" fn(), stack| {
            Gate::new(
                (entry as *const ()).addr() as u64,
                Some(stack),
                Raise::Kernel,
            )
        };
        match vector {
            1 => ist(entries.debug, IstStack::Debug),
            2 => ist(nmi_entry, IstStack::NonMaskable),
            8 => ist(entries.double_fault, IstStack::DoubleFault),
            18 => ist(entries.machine_check, IstStack::MachineCheck),
            // `int3` is a breakpoint, not an attack.
            3 => Gate::new(stubs + 3 * STUB_BYTES, None, Raise::Anyone),
            _ if cfg!(sabotage = "open-gates") => {
                Gate::new(stubs + vector as u64 * STUB_BYTES, None, Raise::Anyone)
            }
            _ => Gate::new(stubs + vector as u64 * STUB_BYTES, None, Raise::Kernel),
        }
    });
    // SAFETY: the table is this module's alone, and the CPU reads it only when an exception or
    // interrupt strikes: not here, interrupts being off.
    unsafe { *TABLE.0.get() = gates };
}

/// Takes the next interrupt that arrived in ring 0.
pub(crate) fn take_pending() -> Option<u8> {
    PENDING
        .iter()
        .zip((0u8..=224).step_by(32))
        .find_map(|(word, base)| {
            let bits = word.load(Ordering::Relaxed);
            let index = u8::try_from(bits.trailing_zeros())
                .ok()
                .filter(|&index| index < 32)?;
            word.fetch_and(!(1 << index), Ordering::Relaxed);
            Some(base + index)
        })
}

/// Returns how many non-maskable interrupts there were.
pub(crate) fn nmi_count() -> u64 {
    NMI_COUNT.load(Ordering::Relaxed)
}

/// Ends the kernel: an exception in ring 0, a double fault or a machine check.
extern "C" fn kernel_exception(registers: &Registers) -> ! {
    let address = super::cpu::page_fault_address();
    panic!(
        "{} in the kernel, error code {:#x}, cr2 {address:#x}\n{registers}",
        exception_name(registers.vector),
        registers.error,
    );
}

fn exception_name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        6 => "invalid opcode",
        8 => "double fault (kernel stack overflow?)",
        12 => "stack-segment fault",
        13 => "general protection fault",
        14 => "page fault",
        18 => "machine check",
        19 => "SIMD floating-point exception",
        _ => "unexpected exception",
    }
}
