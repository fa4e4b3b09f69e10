//! Where a thread is, for people with the program's ELF file.

#![expect(unsafe_code, reason = "reads the stack and what the linker knows")]

use super::walk::return_addresses;
use core::arch::asm;
use core::fmt::{self, Write};
use core::ops::Range;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::IMAGE_BASE;

/// Bytes in front of the build-id in its ELF note: three words and the owner's name, `GNU`.
const NOTE_HEADER_LEN: usize = 16;

unsafe extern "C" {
    /// The end of the text; the linker script defines it.
    static denali_text_end: u8;
    /// The start of the note that holds the build-id; the linker script defines it.
    static denali_build_id: u8;
    /// Its end.
    static denali_build_id_end: u8;
}

/// Writes which build this is, and the calls from `frame` on as a command that names them.
pub(super) fn write(to: &mut impl Write, frame: u64) -> fmt::Result {
    to.write_str("backtrace of build ")?;
    for byte in build_id() {
        write!(to, "{byte:02x}")?;
    }
    to.write_str(":\n  addr2line -Cfipe ELF-FILE")?;
    for address in return_addresses(frame, text(), read_stack) {
        // The call lies before the address it returns to.
        write!(to, " {:#x}", address - 1)?;
    }
    to.write_str("\n")
}

/// Returns the frame pointer of the caller, which keeps one.
#[inline(always)]
pub(super) fn frame_pointer() -> u64 {
    let frame: u64;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    frame
}

/// Reads a word of the running thread's stack.
fn read_stack(address: u64) -> u64 {
    let word = core::ptr::with_exposed_provenance::<u64>(u64_to_usize(address));
    // SAFETY: the walk asks for aligned words above the stack pointer in the slot of a frame of
    // this thread; the kernel maps all of a slot but its lowest page. Volatile since other code may
    // own the word.
    unsafe { word.read_volatile() }
}

/// Returns the addresses of the program's instructions.
fn text() -> Range<u64> {
    IMAGE_BASE..usize_to_u64((&raw const denali_text_end).addr())
}

/// Returns what tells this build from all others, or nothing if the linker made no such note.
fn build_id() -> &'static [u8] {
    let (start, end) = (&raw const denali_build_id, &raw const denali_build_id_end);
    let len = end.addr() - start.addr();
    // SAFETY: the linker placed the note between the two symbols, in memory that never changes.
    let note = unsafe { core::slice::from_raw_parts(start, len) };
    note.get(NOTE_HEADER_LEN..).unwrap_or_default()
}
