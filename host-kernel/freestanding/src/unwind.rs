//! Symbols of unwinding, which never happens: panics abort.

#![expect(unsafe_code, reason = "exports the unwinder's symbols")]

/// Named by unwind tables; never called.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    unreachable!("a panic aborts, so nothing unwinds")
}

/// Called by landing pads, which are never reached.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    unreachable!("a panic aborts, so nothing unwinds")
}
