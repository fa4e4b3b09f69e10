//! The world switch: into a guest and out again.
//!
//! The instructions that do it are in `switch.rs`; here is what surrounds them: which space is
//! loaded, what is checked before, and what the registers mean after.

#![expect(
    unsafe_code,
    reason = "switches worlds; context frames through the direct map"
)]

use super::gdt::{self, USER_CODE, USER_DATA};
use super::registers::Registers;
use super::switch::{self, Context, HYPERCALL_VECTOR};
use super::{cpu, fpu, paging};
use core::arch::asm;
use core::sync::atomic::Ordering;
use denali_abi::upcall::UpcallFrame;
use denali_kernel_core::machine::{Exit, FaultAccess, Position, Space};
use host_kernel::measures::{Measure, Measures, msr};
use host_kernel::vector_state;

/// Behind the lower canonical half.
const CANONICAL_END: u64 = 1 << 47;

/// Flags a guest keeps: CF, PF, AF, ZF, SF, TF, DF, OF, AC, ID.
const FLAGS_KEPT: u64 = 0x0024_0dd5;
/// Flags a guest always has: bit 1, IF.
const FLAGS_FORCED: u64 = if cfg!(sabotage = "give-io-privilege") {
    0x3202
} else {
    0x0202
};

/// Bits of a page fault's error code (SDM vol. 3A §4.7).
const FAULT_PRESENT: u64 = 1;
const FAULT_WRITE: u64 = 1 << 1;
const FAULT_USER: u64 = 1 << 2;
const FAULT_EXECUTE: u64 = 1 << 4;

/// Bytes of the instruction `syscall`.
const SYSCALL_LEN: u64 = 2;

const IA32_FS_BASE: u32 = 0xc000_0100;
const IA32_GS_BASE: u32 = 0xc000_0101;

/// Why the guest left, as far as the CPU is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The guest did something that the core decides upon.
    Exit(Exit),
    /// An interrupt with this vector arrived; it wants an EOI.
    Interrupt(u8),
}

/// The world switch and the space that is loaded.
#[derive(Debug)]
pub(crate) struct World {
    loaded: Option<Space>,
    kernel_root: u64,
    fsgsbase: bool,
    measures: Measures,
}

impl World {
    /// Makes the switch, with the kernel's own tables loaded.
    pub(crate) fn new(kernel_root: u64, features: &cpu::Features, measures: Measures) -> Self {
        Self {
            loaded: None,
            kernel_root,
            fsgsbase: features.fsgsbase,
            measures,
        }
    }

    /// Returns whether translations of `space` may be cached.
    pub(crate) fn is_loaded(&self, space: Space) -> bool {
        self.loaded == Some(space)
    }

    /// Lays out the context of a new guest in a zeroed frame.
    pub(crate) fn create(space: Space, entry: u64, stack_top: u64) {
        with_context(space, |context| {
            context.registers.rip = entry;
            context.registers.rsp = stack_top;
            let clean = &fpu::CLEAN_STATE.0;
            context.state[..clean.len()].copy_from_slice(clean);
        });
    }

    /// Forgets `space`.
    pub(crate) fn forget(&mut self, space: Space) {
        if self.loaded == Some(space) {
            paging::load_root(self.kernel_root);
            self.loaded = None;
        }
    }

    /// Writes what of `space` is in registers to its context, and forgets it.
    pub(crate) fn suspend(&mut self, space: Space) {
        if self.loaded == Some(space) {
            self.save_bases(space);
        }
        self.forget(space);
    }

    /// Returns whether the context, which may hold anything, is one that a guest can have. Selectors
    /// and flags are set and the instruction pointer is looked at whenever it is entered.
    pub(crate) fn adopt(&mut self, space: Space) -> bool {
        self.forget(space);
        let enabled = fpu::XSAVE_MASK.load(Ordering::Relaxed);
        with_context(space, |context| {
            // Loading a base that is not canonical faults.
            let bases = [context.fs_base, context.gs_base];
            let is_canonical = |base: u64| base.wrapping_add(CANONICAL_END) < 2 * CANONICAL_END;
            bases.into_iter().all(is_canonical)
                && context.registers.rip < CANONICAL_END
                && vector_state::is_mxcsr(context.mxcsr)
                && vector_state::is_loadable(&context.state, enabled)
        })
    }

    /// Runs the guest until it leaves.
    pub(crate) fn run(&mut self, space: Space) -> Left {
        self.load(space);
        let called = with_context(space, |context| {
            let registers = &mut context.registers;
            registers.cs = u64::from(USER_CODE);
            registers.ss = u64::from(USER_DATA);
            registers.vector == HYPERCALL_VECTOR
        });
        self.enter(space, called)
    }

    /// Lets the loaded guest go on after a hypercall.
    pub(crate) fn resume(&mut self, space: Space) -> Left {
        debug_assert!(self.is_loaded(space));
        self.enter(space, true)
    }

    /// Enters the loaded guest, whose segments are set.
    #[inline]
    fn enter(&self, space: Space, called: bool) -> Left {
        let is_canonical = with_context(space, |context| {
            let registers = &mut context.registers;
            registers.rflags = registers.rflags & FLAGS_KEPT | FLAGS_FORCED;
            // Neither `sysret` nor `iret` may meet another one: they would fault in ring 0
            // (CVE-2012-0217).
            registers.rip < CANONICAL_END
        });
        if !is_canonical {
            return Left::Exit(Exit::Exception {
                vector: 13,
                code: 0,
            });
        }
        let context = context_pointer(space);
        let root = paging::frame_address(space.root);
        // SAFETY: the context is a frame of its own, laid out by `create`, with sanitised segments,
        // flags and instruction pointer; what the guest can reach is what the core mapped. The
        // guest's tables hold the kernel's half and are loaded, or with isolation the trampoline.
        unsafe { switch::enter(context, u32::from(called), root, &self.measures) };
        with_context(space, |context| left(&context.registers))
    }

    /// Sets `rax` of a guest that made a hypercall.
    pub(crate) fn set_result(space: Space, result: i64) {
        with_context(space, |context| {
            context.registers.rax = result.cast_unsigned();
        });
    }

    /// Moves a guest that made a hypercall back to the `syscall`, with its number where it was.
    pub(crate) fn repeat_call(space: Space, number: u64) {
        with_context(space, |context| {
            context.registers.rax = number;
            context.registers.rip = context.registers.rip.wrapping_sub(SYSCALL_LEN);
        });
    }

    /// Returns instruction and stack pointer.
    pub(crate) fn position(space: Space) -> Position {
        with_context(space, |context| Position {
            rip: context.registers.rip,
            rsp: context.registers.rsp,
        })
    }

    /// Returns what an upcall interrupts.
    pub(crate) fn interrupted(space: Space) -> UpcallFrame {
        with_context(space, |context| {
            let Registers {
                rip, rflags, rsp, ..
            } = context.registers;
            UpcallFrame {
                pending: 0,
                rip,
                cs: u64::from(USER_CODE),
                rflags: rflags & FLAGS_KEPT | FLAGS_FORCED,
                rsp,
                ss: u64::from(USER_DATA),
            }
        })
    }

    /// Lets the guest go on at `position` with clean flags, all its other registers as they are.
    pub(crate) fn divert(space: Space, position: Position) {
        with_context(space, |context| {
            context.registers.rip = position.rip;
            context.registers.rsp = position.rsp;
            context.registers.rflags = FLAGS_FORCED;
        });
    }

    /// Makes `space` the loaded one: tables, segment registers and bases.
    fn load(&mut self, space: Space) {
        if self.loaded == Some(space) {
            return;
        }
        if let Some(old) = self.loaded {
            self.save_bases(old);
        }
        gdt::load_data_segments();
        let bases = with_context(space, |context| (context.fs_base, context.gs_base));
        if !cfg!(sabotage = "skip-bases") {
            self.set_bases(bases);
        }
        if self.measures.has(Measure::BranchBarrier) {
            cpu::write_msr(msr::PRED_CMD, msr::PRED_CMD_IBPB);
        }
        if self.measures.has(Measure::FlushL1d) {
            cpu::write_msr(msr::FLUSH_CMD, msr::FLUSH_CMD_L1D);
        }
        if !self.measures.has(Measure::PageTableIsolation) {
            paging::load_root(paging::frame_address(space.root));
        }
        self.loaded = Some(space);
    }

    /// Saves the segment bases of the loaded space.
    fn save_bases(&self, space: Space) {
        let (fs_base, gs_base) = self.bases();
        with_context(space, |context| {
            context.fs_base = fs_base;
            context.gs_base = gs_base;
        });
    }

    fn bases(&self) -> (u64, u64) {
        if !self.fsgsbase {
            return (cpu::read_msr(IA32_FS_BASE), cpu::read_msr(IA32_GS_BASE));
        }
        let (fs, gs);
        // SAFETY: CR4.FSGSBASE is set; reads two registers.
        unsafe {
            asm!("rdfsbase {}", "rdgsbase {}", out(reg) fs, out(reg) gs, options(nomem, nostack));
        }
        (fs, gs)
    }

    fn set_bases(&self, (fs, gs): (u64, u64)) {
        if !self.fsgsbase {
            cpu::write_msr(IA32_FS_BASE, fs);
            cpu::write_msr(IA32_GS_BASE, gs);
            return;
        }
        // SAFETY: CR4.FSGSBASE is set; the values were read from these registers or are zero, so
        // they are canonical; the kernel uses neither segment.
        unsafe {
            asm!("wrfsbase {}", "wrgsbase {}", in(reg) fs, in(reg) gs, options(nomem, nostack));
        }
    }
}

/// Says what the registers of a guest that just left mean.
fn left(registers: &Registers) -> Left {
    let code = registers.error;
    let exit = match registers.vector {
        HYPERCALL_VECTOR => Exit::Hypercall {
            number: registers.rax,
            arguments: [
                registers.rdi,
                registers.rsi,
                registers.rdx,
                registers.r10,
                registers.r8,
                registers.r9,
            ],
        },
        // A fault of the CPU's own access on the guest's behalf: mapping a page would not help.
        14 if code & FAULT_USER == 0 => Exit::Exception { vector: 14, code },
        14 => Exit::PageFault {
            address: cpu::page_fault_address(),
            access: match code {
                code if code & FAULT_EXECUTE != 0 => FaultAccess::Execute,
                code if code & FAULT_WRITE != 0 => FaultAccess::Write,
                _ => FaultAccess::Read,
            },
            present: code & FAULT_PRESENT != 0,
        },
        vector => match u8::try_from(vector).expect("a stub pushed its vector") {
            vector if vector >= super::idt::FIRST_INTERRUPT => return Left::Interrupt(vector),
            vector => Exit::Exception { vector, code },
        },
    };
    Left::Exit(exit)
}

fn context_pointer(space: Space) -> *mut Context {
    paging::direct_map(paging::frame_address(space.context)).cast()
}

/// Lends the context of a guest that does not run.
fn with_context<R>(space: Space, action: impl FnOnce(&mut Context) -> R) -> R {
    // SAFETY: a context frame belongs to its space alone, is page aligned and valid for any
    // contents; no guest runs now; the reference does not leave `action`, and no action here lends
    // another context.
    action(unsafe { &mut *context_pointer(space) })
}
