//! Leaving a thread from anywhere within it.
//!
//! A thread's first function is called by a few instructions that note where the stack was;
//! `pthread_exit` goes back there, and the thread ends as if that function had returned.

#![expect(unsafe_code, reason = "goes back up the stack")]

use super::{CURRENT, MAIN, Start, THREADS, key};
use crate::interrupt;
use crate::libc::memory::Out;
use crate::sync::WaitQueue;
use core::arch::naked_asm;
use core::cell::Cell;

crate::thread_local! {
    /// The stack pointer where the thread's first function was called; 0 where it was not by us.
    static PLACE: Cell<usize> = Cell::new(0);
}

/// Where the first thread waits for the others once it has left `main`.
static ONE_ENDED: WaitQueue = WaitQueue::new();

/// Calls a thread's first function and returns what it returned, or what it left with.
pub(super) fn run(start: Start, argument: Out<u8>) -> Out<u8> {
    let place = PLACE.with(Cell::as_ptr);
    // SAFETY: `place` stays until the thread has ended.
    unsafe { call(start, argument, place) }
}

/// Calls `start` with `argument`; notes the stack pointer at `place`.
///
/// # Safety
///
/// `place` is valid for writes.
#[unsafe(naked)]
unsafe extern "C" fn call(start: Start, argument: Out<u8>, place: *mut usize) -> Out<u8> {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rdx], rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "jmp {leave}",
        leave = sym leave,
    )
}

/// The end of [`call`].
///
/// # Safety
///
/// The stack pointer is the one that `call` noted.
#[unsafe(naked)]
unsafe extern "C" fn leave() {
    naked_asm!(
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

/// Returns from the [`call`] that noted `place`, with `result`.
///
/// # Safety
///
/// That call has not returned, and was made by this thread; nothing between needs to be cleaned up.
#[unsafe(naked)]
unsafe extern "C" fn go_back(place: usize, result: Out<u8>) -> ! {
    naked_asm!("mov rsp, rdi", "mov rax, rsi", "jmp {leave}", leave = sym leave)
}

/// Ends the running thread, which leaves `result` to who joins it. In the first thread: waits for the
/// end of all others, then ends the program with success.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_exit(result: Out<u8>) -> ! {
    let place = PLACE.with(Cell::get);
    if CURRENT.with(Cell::get) <= MAIN || place == 0 {
        key::destroy_values();
        wait_for_all();
        super::super::stdlib::exit(0);
    }
    // SAFETY: `run` of this thread noted the place and has not returned, for we are within; C code
    // alone lies between.
    unsafe { go_back(place, result) }
}

/// Waits for the end of all threads started here.
fn wait_for_all() {
    let _masked = interrupt::mask();
    while THREADS.with(|threads| threads.running) > 0 {
        ONE_ENDED.wait();
    }
}

/// Tells the first thread, which may wait for all others, that one has ended.
pub(super) fn tell_main() {
    ONE_ENDED.wake_all();
}
