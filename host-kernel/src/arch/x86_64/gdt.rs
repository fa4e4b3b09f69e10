//! Segments and the task-state segment.
//!
//! `sysret` fixes the order of the user segments (SDM vol. 2B, SYSRET): stack, then 64-bit code.
//! The I/O permission bitmap lies beyond the TSS's limit, so that no port is open to ring 3
//! (SDM vol. 1 §19.5.2).

#![expect(unsafe_code, reason = "loads descriptor tables")]

use core::arch::asm;
use core::cell::UnsafeCell;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::{lgdt, load_tss};
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags};
use x86_64::structures::tss::TaskStateSegment;

/// Kernel code.
pub(crate) const KERNEL_CODE: u16 = 0x08;
/// Kernel data and stack.
pub(crate) const KERNEL_DATA: u16 = 0x10;
/// `IA32_STAR`'s base for `sysret`: the slot before the user stack segment.
pub(crate) const USER_BASE: u16 = 0x18 | 3;
/// Guest data and stack.
pub(crate) const USER_DATA: u16 = 0x20 | 3;
/// Guest 64-bit code.
pub(crate) const USER_CODE: u16 = 0x28 | 3;
const TASK_STATE: u16 = 0x30;

/// Stacks of exceptions that may strike anywhere: the IST number minus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum IstStack {
    /// #DF.
    DoubleFault = 0,
    /// NMI.
    NonMaskable = 1,
    /// #MC.
    MachineCheck = 2,
    /// #DB.
    Debug = 3,
}

/// A TSS that assembly reads and writes (`rsp0` says where a guest's state is saved).
#[repr(transparent)]
pub(crate) struct TaskState(UnsafeCell<TaskStateSegment>);

// SAFETY: one CPU; written here before any guest runs and by the world switch with interrupts off.
unsafe impl Sync for TaskState {}

/// The only task state.
#[unsafe(link_section = ".trampoline.data")]
pub(crate) static TASK_STATE_SEGMENT: TaskState =
    TaskState(UnsafeCell::new(TaskStateSegment::new()));

/// Offset of `rsp0` in the TSS (SDM vol. 3A §8.7).
pub(crate) const RSP0_OFFSET: usize = 4;

struct Table(UnsafeCell<[u64; 8]>);

// SAFETY: one CPU; written once, at boot.
unsafe impl Sync for Table {}

#[unsafe(link_section = ".trampoline.data")]
static TABLE: Table = Table(UnsafeCell::new([0; 8]));

unsafe extern "C" {
    static ist_stacks_first_top: u8;
}

const IST_STACKS: usize = 4;

/// Distance of one IST stack from the next, guard page included; kernel.ld lays them out.
const IST_STACK_STRIDE: usize = 0x4000 + 0x1000;

/// Sets the stack on which the CPU stores what it interrupts in ring 3.
pub(crate) fn set_trap_stack(top: u64) {
    // SAFETY: the CPU reads the field only on the way from ring 3 to ring 0, and nothing else in
    // Rust refers to the task state.
    unsafe { (*TASK_STATE_SEGMENT.0.get()).privilege_stack_table[0] = VirtAddr::new(top) };
}

/// Loads segments and task state.
pub(crate) fn load() {
    let task_state = TASK_STATE_SEGMENT.0.get();
    // SAFETY: nothing else refers to the task state yet.
    let segment = unsafe { &mut *task_state };
    let first_top = (&raw const ist_stacks_first_top).addr();
    let mut tops = segment.interrupt_stack_table;
    for (index, top) in tops.iter_mut().take(IST_STACKS).enumerate() {
        *top = VirtAddr::new((first_top + index * IST_STACK_STRIDE) as u64);
    }
    segment.interrupt_stack_table = tops;
    if cfg!(sabotage = "open-ports") {
        segment.iomap_base = 0;
    }
    assert!(
        cfg!(sabotage = "open-ports")
            || usize::from(segment.iomap_base) >= size_of::<TaskStateSegment>(),
        "ports are open"
    );

    // SAFETY: the task state is static and stays where it is.
    let descriptor = unsafe { Descriptor::tss_segment_unchecked(task_state) };
    let Descriptor::SystemSegment(low, high) = descriptor else {
        unreachable!("a TSS descriptor has two parts")
    };
    let entries = [
        0,
        DescriptorFlags::KERNEL_CODE64.bits(),
        DescriptorFlags::KERNEL_DATA.bits(),
        0,
        DescriptorFlags::USER_DATA.bits(),
        DescriptorFlags::USER_CODE64.bits(),
        low,
        high,
    ];
    // SAFETY: nothing reads the table before `lgdt` below.
    unsafe { *TABLE.0.get() = entries };
    let pointer = DescriptorTablePointer {
        limit: 8 * 8 - 1,
        base: VirtAddr::from_ptr(TABLE.0.get()),
    };
    // SAFETY: the table is static, and the code segment in use exists in it.
    unsafe { lgdt(&pointer) };
    // SAFETY: the selector names 64-bit ring-0 code.
    unsafe { CS::set_reg(selector(KERNEL_CODE)) };
    // SAFETY: the selector names ring-0 data.
    unsafe { SS::set_reg(selector(KERNEL_DATA)) };
    load_data_segments();
    // SAFETY: the selector names the descriptor made above.
    unsafe { load_tss(selector(TASK_STATE)) };
    // After reset the local table is 64 KiB of linear memory at 0 (SDM vol. 3A table 9-1), and a
    // boot loader may leave another: a guest could make its own gates there.
    // SAFETY: a null selector disables the local table, which nothing here uses.
    unsafe { asm!("lldt {0:x}", in(reg) 0_u16, options(nomem, nostack, preserves_flags)) };
}

/// Gives every data segment register the guests' data segment; zeroes the FS and GS bases.
///
/// The kernel uses none of them; guests must not find another's selectors there.
pub(crate) fn load_data_segments() {
    let user = selector(USER_DATA);
    // SAFETY: a valid data segment; 64-bit code does not use DS.
    unsafe { DS::set_reg(user) };
    // SAFETY: as DS.
    unsafe { ES::set_reg(user) };
    // SAFETY: the kernel does not use FS.
    unsafe { FS::set_reg(user) };
    // SAFETY: the kernel does not use GS.
    unsafe { GS::set_reg(user) };
}

const fn selector(value: u16) -> SegmentSelector {
    SegmentSelector(value)
}
