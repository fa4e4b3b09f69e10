//! Formatted output, with arguments from a `va_list`.

use super::stream::Writer;
use super::{File, STDERR, STDOUT, stream_of};
use crate::libc::arguments::VaList;
use crate::libc::descriptor;
use crate::libc::errno::{self, Errno};
use crate::libc::format::{Sink, format};
use crate::libc::malloc;
use crate::libc::memory::{Out, Text};
use core::ffi::c_int;

impl Sink for Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }
}

/// A buffer that keeps what fits.
struct Memory {
    place: Out<u8>,
    /// Bytes left, the NUL not counted.
    room: usize,
}

impl Sink for Memory {
    fn put(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.room);
        self.place.slice(count).copy_from_slice(&bytes[..count]);
        self.place = self.place.add(count);
        self.room -= count;
    }
}

/// An allocated buffer that grows.
struct Growing {
    start: Out<u8>,
    used: usize,
    has_failed: bool,
}

impl Sink for Growing {
    fn put(&mut self, bytes: &[u8]) {
        let grown = malloc::realloc(self.start, self.used + bytes.len() + 1);
        if self.has_failed || grown.is_null() {
            self.has_failed = true;
            return;
        }
        self.start = grown;
        let mut place = grown.add(self.used);
        place.slice(bytes.len()).copy_from_slice(bytes);
        self.used += bytes.len();
        grown.add(self.used).write(0);
    }
}

/// A descriptor without a buffer.
struct Direct {
    descriptor: c_int,
    result: Result<(), Errno>,
}

impl Sink for Direct {
    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.result.is_ok() {
            match descriptor::write(self.descriptor, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.result = Err(error),
            }
        }
    }
}

fn print(stream: &File, text: Text, mut arguments: Out<VaList>) -> c_int {
    let mut result = Ok(0);
    let is_done = stream.writer(|writer| result = format(writer, text, &mut arguments));
    match errno::answer(result) {
        count if is_done => count,
        _ => -1,
    }
}

/// Writes formatted text to the standard output.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn vprintf(format: Text, arguments: Out<VaList>) -> c_int {
    print(&STDOUT, format, arguments)
}

/// Writes formatted text to a stream.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn vfprintf(stream: Out<File>, format: Text, arguments: Out<VaList>) -> c_int {
    print(stream_of(&stream), format, arguments)
}

/// Writes formatted text to a descriptor.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn vdprintf(descriptor: c_int, text: Text, mut arguments: Out<VaList>) -> c_int {
    let mut direct = Direct {
        descriptor,
        result: Ok(()),
    };
    let written = format(&mut direct, text, &mut arguments);
    errno::answer(direct.result.and(written))
}

/// Writes formatted text to memory that is large enough.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn vsprintf(to: Out<u8>, format: Text, arguments: Out<VaList>) -> c_int {
    vsnprintf(
        to,
        c_int::MAX.unsigned_abs().try_into().unwrap_or(0),
        format,
        arguments,
    )
}

/// Writes formatted text to a buffer of `len` bytes, cut if need be. Returns how long it would be.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn vsnprintf(
    to: Out<u8>,
    len: usize,
    text: Text,
    mut arguments: Out<VaList>,
) -> c_int {
    let mut memory = Memory {
        place: to,
        room: len.saturating_sub(1),
    };
    let written = format(&mut memory, text, &mut arguments);
    if len > 0 {
        memory.place.write(0);
    }
    errno::answer(written)
}

/// Writes formatted text to memory that it allocates, to be freed.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn vasprintf(result: Out<Out<u8>>, text: Text, mut arguments: Out<VaList>) -> c_int {
    let mut growing = Growing {
        start: Out::NULL,
        used: 0,
        has_failed: false,
    };
    growing.put(b"");
    let written = format(&mut growing, text, &mut arguments);
    if growing.has_failed || written.is_err() {
        malloc::free(growing.start);
        return errno::answer(written.and(Err(Errno(errno::ENOMEM))));
    }
    result.write(growing.start);
    errno::answer(written)
}

/// Writes formatted text and a line end to the console.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn vsyslog(_priority: c_int, text: Text, mut arguments: Out<VaList>) {
    STDERR.writer(|writer| {
        // A format that is not known leaves what came before.
        format(writer, text, &mut arguments).unwrap_or_default();
        writer.write(b"\n");
    });
}
