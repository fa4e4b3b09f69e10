//! The world switch: into a guest and out again.
//!
//! While a guest runs, `rsp0` points into its context frame, so that the CPU itself stores the
//! interrupted state where it belongs; the stubs push the general registers behind it. All vector
//! state is saved before the first line of Rust when the guest was interrupted. A hypercall is a
//! function call to the guest: only MXCSR and the x87 control word survive it, and it returns with
//! otherwise clean vector state. There is no `swapgs`: the kernel does not use GS.

#![expect(
    unsafe_code,
    reason = "switches worlds; context frames through the direct map"
)]

use super::gdt::{self, USER_CODE, USER_DATA};
use super::registers::Registers;
use super::{cpu, fpu, paging};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use denali_kernel_core::machine::{Exit, FaultAccess, Position, Space};

/// Where vector state lies in a context frame.
pub(crate) const STATE_OFFSET: usize = 256;

/// Stands for `syscall` in [`Registers::vector`].
const HYPERCALL_VECTOR: u64 = 256;

/// Behind the lower canonical half.
const CANONICAL_END: u64 = 1 << 47;

/// Flags a guest keeps: CF, PF, AF, ZF, SF, TF, DF, OF, AC, ID.
const FLAGS_KEPT: u64 = 0x0024_0dd5
    | if cfg!(sabotage = "keep-io-privilege") {
        3 << 12
    } else {
        0
    };
/// Flags a guest always has: bit 1, IF.
const FLAGS_FORCED: u64 = 0x0202;

/// Bits of a page fault's error code (SDM vol. 3A §4.7).
const FAULT_PRESENT: u64 = 1;
const FAULT_WRITE: u64 = 1 << 1;
const FAULT_USER: u64 = 1 << 2;
const FAULT_EXECUTE: u64 = 1 << 4;

const IA32_FS_BASE: u32 = 0xc000_0100;
const IA32_GS_BASE: u32 = 0xc000_0101;

/// The contents of a context frame.
#[derive(Debug)]
#[repr(C, align(64))]
struct Context {
    registers: Registers,
    fs_base: u64,
    gs_base: u64,
    /// Of a guest that left by hypercall.
    mxcsr: u32,
    /// Of a guest that left by hypercall.
    control_word: u16,
    reserved: [u8; STATE_OFFSET - size_of::<Registers>() - 22],
    state: [u8; fpu::STATE_BYTES_MAX],
}

const _: () = assert!(size_of::<Context>() == 4096);
const _: () = assert!(offset_of!(Context, state) == STATE_OFFSET);

global_asm!(
    r#"
.text
/* extern "C" fn world_enter(context: *mut Context, called: u32): returns when the guest exits. */
.balign 16
.global world_enter
world_enter:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rip + kernel_rsp], rsp
    lea rax, [rdi + {frame_end}]
    mov [rip + {task_state} + {rsp0}], rax
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
2:  mov rsp, rdi
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
    pop rax
    add rsp, 16
    iretq

    /* Returns from a hypercall; the caller checked that rip is canonical. */
3:  test eax, eax
    jz 4f
    xrstor64 [rip + {clean_state}]
    jmp 5f
4:  fxrstor64 [rip + {clean_state}]
5:  fldcw [rdi + {control_word}]
    ldmxcsr [rdi + {mxcsr}]
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
    sysretq

/* From a stub, on the context as stack: vector, error code and the CPU's frame are there. */
.balign 16
.global world_leave_by_trap
world_leave_by_trap:
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
.global hypercall_entry
hypercall_entry:
    mov [rip + guest_rsp], rsp
    mov rsp, [rip + {task_state} + {rsp0}]
    push {user_data}
    push [rip + guest_rsp]
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

world_left:
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
    fn world_enter(context: *mut Context, called: u32);
}

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
}

impl World {
    /// Makes the switch, with the kernel's own tables loaded.
    pub(crate) fn new(kernel_root: u64, features: &cpu::Features) -> Self {
        Self {
            loaded: None,
            kernel_root,
            fsgsbase: features.fsgsbase,
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

    /// Runs the guest until it leaves.
    pub(crate) fn run(&mut self, space: Space) -> Left {
        self.load(space);
        let called = with_context(space, |context| {
            let registers = &mut context.registers;
            registers.cs = u64::from(USER_CODE);
            registers.ss = u64::from(USER_DATA);
            registers.rflags = registers.rflags & FLAGS_KEPT | FLAGS_FORCED;
            // Neither `sysret` nor `iret` may meet another one: they would fault in ring 0
            // (CVE-2012-0217).
            (registers.rip < CANONICAL_END).then_some(registers.vector == HYPERCALL_VECTOR)
        });
        let Some(called) = called else {
            return Left::Exit(Exit::Exception {
                vector: 13,
                code: 0,
            });
        };
        // SAFETY: the context is a frame of its own, laid out by `create`, with sanitised segments,
        // flags and instruction pointer; the guest's tables are loaded and hold the kernel's half;
        // what the guest can reach is what the core mapped.
        unsafe { world_enter(context_pointer(space), u32::from(called)) };
        with_context(space, |context| left(&context.registers))
    }

    /// Sets `rax` of a guest that made a hypercall.
    pub(crate) fn set_result(space: Space, result: i64) {
        with_context(space, |context| {
            context.registers.rax = result.cast_unsigned();
        });
    }

    /// Returns instruction and stack pointer.
    pub(crate) fn position(space: Space) -> Position {
        with_context(space, |context| Position {
            rip: context.registers.rip,
            rsp: context.registers.rsp,
        })
    }

    /// Makes `space` the loaded one: tables, segment registers and bases.
    fn load(&mut self, space: Space) {
        if self.loaded == Some(space) {
            return;
        }
        if let Some(old) = self.loaded {
            let (fs_base, gs_base) = self.bases();
            with_context(old, |context| {
                context.fs_base = fs_base;
                context.gs_base = gs_base;
            });
        }
        gdt::load_data_segments();
        let bases = with_context(space, |context| (context.fs_base, context.gs_base));
        if !cfg!(sabotage = "skip-bases") {
            self.set_bases(bases);
        }
        paging::load_root(paging::frame_address(space.root));
        self.loaded = Some(space);
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
