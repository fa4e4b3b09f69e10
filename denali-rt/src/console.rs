//! The VM's console: a ring of bytes in the kernel, shown by `cargo denali logs`.

use crate::hypercall;
use crate::interrupt;
use core::fmt::{self, Write};

/// Bytes gathered before they cross into the kernel.
const BUFFER_LEN: usize = 256;

/// Writes text to the console; [`print!`](crate::print) and its kin expand to this.
#[doc(hidden)]
pub fn write_fmt(text: fmt::Arguments<'_>) {
    // A line of one thread is not torn apart by another's.
    let _masked = interrupt::mask();
    let mut writer = Writer::new();
    // The writer takes everything; an error can only come from a `Display` of the caller's, and
    // what it wrote so far is worth showing.
    let _ = writer.write_fmt(text);
}

/// Gathers text and sends it when the buffer is full or the writer is dropped, so that a line
/// usually crosses into the kernel once.
pub(crate) struct Writer {
    buffer: [u8; BUFFER_LEN],
    used: usize,
}

impl Writer {
    pub(crate) const fn new() -> Self {
        Self {
            buffer: [0; BUFFER_LEN],
            used: 0,
        }
    }

    fn flush(&mut self) {
        hypercall::console_write_all(&self.buffer[..self.used]);
        self.used = 0;
    }
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.used == BUFFER_LEN {
                self.flush();
            }
            let taken = rest.len().min(BUFFER_LEN - self.used);
            let (now, later) = rest.split_at(taken);
            self.buffer[self.used..self.used + taken].copy_from_slice(now);
            self.used += taken;
            rest = later;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes formatted text to the console.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::console::write_fmt(::core::format_args!($($text)*)) };
}

/// Writes a formatted line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($text:tt)*) => {
        $crate::console::write_fmt(::core::format_args!("{}\n", ::core::format_args!($($text)*)))
    };
}

/// Writes formatted text to the console; a VM has only one.
#[macro_export]
macro_rules! eprint {
    ($($text:tt)*) => { $crate::print!($($text)*) };
}

/// Writes a formatted line to the console; a VM has only one.
#[macro_export]
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::println!($($text)*) };
}
