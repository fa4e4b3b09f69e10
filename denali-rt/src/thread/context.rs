//! The switch from one green thread to another.
//!
//! A switch is a function call to the compiler, so only what a callee must keep is kept: six
//! registers and the control words of SSE and x87 (System V ABI §3.2.1). The rest of a thread's
//! state lies on its stack already; the FS base is nobody's, as guests have no thread-local storage.

#![expect(unsafe_code, reason = "changes the stack pointer")]

use core::arch::naked_asm;

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

/// Calls the entry in R12 with the context that [`switch`] returned in RAX.
#[unsafe(naked)]
extern "C" fn start_thread() -> ! {
    naked_asm!("mov rdi, rax", "call r12", "ud2")
}
