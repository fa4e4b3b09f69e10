//! The switch from one green thread to another.
//!
//! A switch is a function call to the compiler, so only what a callee must keep is kept: six
//! registers and the control words of SSE and x87 (System V ABI §3.2.1). The rest of a thread's
//! state lies on its stack already, also when the thread was preempted: the upcall's entry put it
//! there. The FS base, where C keeps thread-local storage, is switched beside it.

#![expect(unsafe_code, reason = "changes the stack pointer")]

#[cfg(denali)]
use core::arch::asm;
use core::arch::naked_asm;
#[cfg(denali)]
use core::arch::x86_64::{__cpuid, __cpuid_count};
#[cfg(denali)]
use core::sync::atomic::{AtomicU8, Ordering};

/// The stack pointer of a thread that does not run, on top of its saved registers.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Context(usize);

impl Context {
    /// Stands for the context of a thread that runs.
    pub(crate) const RUNNING: Self = Self(0);
}

/// Where a new thread starts: it gets the context of the thread that was switched away from.
pub(crate) type Entry = extern "C" fn(Context) -> !;

/// MXCSR with all exceptions masked (SDM vol. 1 §11.6.4) below, x87 control word likewise above.
const CONTROL_WORDS: usize = 0x037f_0000_1f80;

/// Words [`switch`] pops: control words, six registers, the return address.
const FRAME: usize = 8;

/// Lays out the stack of a new thread below `top` so that the first switch to it calls `entry`.
///
/// # Safety
///
/// `top` is the end of a writable area of at least 128 bytes that nobody else uses, and is a
/// multiple of 16.
pub(crate) unsafe fn prepare(top: *mut u8, entry: Entry) -> Context {
    // Two words more: zero as the return address of a call that never was ends backtraces, and
    // together they leave the stack aligned to 16 bytes where `start_thread` calls on.
    let mut frame = [0; FRAME + 2];
    frame[FRAME - 8] = CONTROL_WORDS;
    // R12 carries the entry to `start_thread`.
    frame[FRAME - 4] = entry as usize;
    frame[FRAME - 1] = start_thread as *const () as usize;
    let bottom = top.expose_provenance() - size_of_val(&frame);
    // SAFETY: the frame takes less than 128 bytes below `top`, which the caller gives us.
    unsafe { core::ptr::with_exposed_provenance_mut::<[usize; FRAME + 2]>(bottom).write(frame) };
    Context(bottom)
}

/// Saves the running thread on its stack and resumes another. Returns, when somebody switches back,
/// the context of that somebody.
///
/// # Safety
///
/// `to` was made by [`prepare`] or returned by `switch`, has not been resumed since, and its stack
/// is still there.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch(to: Context) -> Context {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov rax, rsp",
        "mov rsp, rdi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Returns the FS base; 0 where guests cannot set one.
#[cfg(denali)]
pub(crate) fn fs_base() -> u64 {
    if !has_fs_base() {
        return 0;
    }
    let base: u64;
    // SAFETY: the CPU has the instruction and the kernel allows it; reads a register.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Sets the FS base, where guests can.
#[cfg(denali)]
pub(crate) fn set_fs_base(base: u64) {
    if has_fs_base() {
        // SAFETY: as above; the base is one of this thread's own, so it is canonical.
        unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags)) };
    }
}

/// Returns whether guests can set segment bases: the kernel lets them where the CPU can.
#[cfg(denali)]
fn has_fs_base() -> bool {
    static KNOWN: AtomicU8 = AtomicU8::new(UNKNOWN);
    const UNKNOWN: u8 = 2;
    match KNOWN.load(Ordering::Relaxed) {
        UNKNOWN => {
            let has = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 != 0;
            KNOWN.store(u8::from(has), Ordering::Relaxed);
            has
        }
        known => known != 0,
    }
}

/// On the developer's machine the FS base is the system's.
#[cfg(not(denali))]
pub(crate) const fn fs_base() -> u64 {
    0
}

/// See [`fs_base`].
#[cfg(not(denali))]
pub(crate) const fn set_fs_base(_base: u64) {}

/// Calls the entry in R12 with the context that [`switch`] returned in RAX.
#[unsafe(naked)]
extern "C" fn start_thread() -> ! {
    naked_asm!("mov rdi, rax", "call r12", "ud2")
}
