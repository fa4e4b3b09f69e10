//! `stdio.h`: streams on the console, and on descriptors.
//!
//! | file          | what                                            |
//! |---------------|-------------------------------------------------|
//! | `stream.rs`   | a stream's buffer and what becomes of it        |
//! | `print.rs`    | formatted output                                |
//!
//! The standard output is written out at the end of each line, the standard error at once; the
//! standard input is empty. There are no files: `fopen` fails with `ENOENT`.

mod print;
mod stream;

pub use print::{vasprintf, vdprintf, vfprintf, vprintf, vsnprintf, vsprintf, vsyslog};
pub use stream::File;

use super::errno::{self, EINVAL, ENOENT, ENOMEM};
use super::memory::{In, Out, Text};
use core::ffi::c_int;
use stream::Buffering;

/// What functions return at the end of the input and for errors.
pub const EOF: c_int = -1;

static STDIN: File = File::new(0, Buffering::None);
static STDOUT: File = File::new(1, Buffering::Line);
static STDERR: File = File::new(2, Buffering::None);

/// The standard input, which is empty.
#[cfg_attr(denali, unsafe(no_mangle))]
#[cfg_attr(not(denali), expect(non_upper_case_globals, reason = "its name in C"))]
pub static stdin: Out<File> = Out::to_static(&STDIN);

/// The standard output: the console.
#[cfg_attr(denali, unsafe(no_mangle))]
#[cfg_attr(not(denali), expect(non_upper_case_globals, reason = "its name in C"))]
pub static stdout: Out<File> = Out::to_static(&STDOUT);

/// The standard error: the console.
#[cfg_attr(denali, unsafe(no_mangle))]
#[cfg_attr(not(denali), expect(non_upper_case_globals, reason = "its name in C"))]
pub static stderr: Out<File> = Out::to_static(&STDERR);

/// Writes out what waits in the standard streams.
pub(super) fn flush_all() -> c_int {
    answer(STDOUT.flush() && STDERR.flush())
}

fn answer(is_done: bool) -> c_int {
    if is_done { 0 } else { EOF }
}

/// Returns the stream that a pointer means, the standard output for null.
fn stream_of(pointer: &Out<File>) -> &File {
    pointer.object().unwrap_or(&STDOUT)
}

/// Writes a text and a line end to the standard output.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn puts(text: Text) -> c_int {
    answer(STDOUT.write_all(&[text.bytes(), b"\n"]))
}

/// Writes a text.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fputs(text: Text, stream: Out<File>) -> c_int {
    answer(stream_of(&stream).write_all(&[text.bytes()]))
}

/// Writes a character and returns it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fputc(character: c_int, stream: Out<File>) -> c_int {
    let [byte, ..] = character.to_le_bytes();
    if stream_of(&stream).write_all(&[&[byte]]) {
        byte.into()
    } else {
        EOF
    }
}

/// Like [`fputc`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn putc(character: c_int, stream: Out<File>) -> c_int {
    fputc(character, stream)
}

/// Writes a character to the standard output and returns it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn putchar(character: c_int) -> c_int {
    fputc(character, stdout)
}

/// Writes `count` elements of `size` bytes. Returns how many were written.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fwrite(data: In<u8>, size: usize, count: usize, stream: Out<File>) -> usize {
    let Some(bytes) = size.checked_mul(count) else {
        return 0;
    };
    if stream_of(&stream).write_all(&[data.slice(bytes)]) {
        count
    } else {
        0
    }
}

/// Reads up to `count` elements of `size` bytes. Returns how many were read.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fread(mut to: Out<u8>, size: usize, count: usize, stream: Out<File>) -> usize {
    let bytes = size.saturating_mul(count);
    let read = stream_of(&stream).read(to.slice(bytes));
    read.checked_div(size).unwrap_or(0)
}

/// Reads a character, [`EOF`] at the end.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fgetc(stream: Out<File>) -> c_int {
    let mut byte = [0];
    match stream_of(&stream).read(&mut byte) {
        0 => EOF,
        _ => byte[0].into(),
    }
}

/// Like [`fgetc`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getc(stream: Out<File>) -> c_int {
    fgetc(stream)
}

/// Reads a character of the standard input, which has none.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getchar() -> c_int {
    fgetc(stdin)
}

/// Puts a character back, to be read next; [`EOF`] if one was already.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ungetc(character: c_int, stream: Out<File>) -> c_int {
    let byte = u8::try_from(character).ok();
    match byte.filter(|byte| stream_of(&stream).put_back(*byte)) {
        Some(byte) => byte.into(),
        None => EOF,
    }
}

/// Reads a line, `len` - 1 bytes at most. Returns `to`, or null at the end of the input.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fgets(to: Out<u8>, len: c_int, stream: Out<File>) -> Out<u8> {
    let max = usize::try_from(len).unwrap_or(0).saturating_sub(1);
    let mut count = 0;
    while count < max {
        let Ok(byte) = u8::try_from(fgetc(stream)) else {
            break;
        };
        to.add(count).write(byte);
        count += 1;
        if byte == b'\n' {
            break;
        }
    }
    if count == 0 {
        return Out::NULL;
    }
    to.add(count).write(0);
    to
}

/// Writes out what waits in a stream; null means all streams.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fflush(stream: Out<File>) -> c_int {
    stream
        .object()
        .map_or_else(flush_all, |stream| answer(stream.flush()))
}

/// Sets when a stream is written out: 0 when full, 1 at line ends, 2 at once.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setvbuf(stream: Out<File>, _buffer: Out<u8>, mode: c_int, _len: usize) -> c_int {
    let buffering = match mode {
        0 => Buffering::Full,
        1 => Buffering::Line,
        2 => Buffering::None,
        _ => {
            errno::set(EINVAL);
            return EOF;
        }
    };
    answer(stream_of(&stream).set_buffering(buffering))
}

/// Makes a stream be written out when full, or at once without a buffer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setbuf(stream: Out<File>, buffer: Out<u8>) {
    setvbuf(stream, buffer, if buffer.is_null() { 2 } else { 0 }, 0);
}

/// Makes a stream be written out at line ends.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setlinebuf(stream: Out<File>) {
    setvbuf(stream, Out::NULL, 1, 0);
}

/// Returns a stream's descriptor.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fileno(stream: Out<File>) -> c_int {
    stream_of(&stream).descriptor()
}

/// Returns whether a stream's input has ended.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn feof(stream: Out<File>) -> c_int {
    stream_of(&stream).is_at_end().into()
}

/// Returns whether an operation on a stream has failed.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ferror(stream: Out<File>) -> c_int {
    stream_of(&stream).has_failed().into()
}

/// Forgets end and failure.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn clearerr(stream: Out<File>) {
    stream_of(&stream).clear();
}

/// Fails: there are no files.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fopen(_path: Text, _mode: Text) -> Out<File> {
    errno::set(ENOENT);
    Out::NULL
}

/// Makes a stream on a descriptor, a socket's for example; null without memory for it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fdopen(descriptor: c_int, _mode: Text) -> Out<File> {
    let place: Out<File> = super::malloc::malloc(size_of::<File>()).cast();
    if place.is_null() {
        errno::set(ENOMEM);
    }
    place.write(File::new(descriptor, Buffering::Full));
    place
}

/// Writes out what waits in a stream, and closes it and its descriptor.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fclose(stream: Out<File>) -> c_int {
    let Some(closing) = stream.object() else {
        return EOF;
    };
    let is_done = closing.flush();
    let descriptor = closing.descriptor();
    closing.forget();
    if descriptor > STDERR.descriptor() {
        super::malloc::free(stream.cast());
        return answer(is_done && super::unistd::close(descriptor) == 0);
    }
    answer(is_done)
}

/// Writes a text and what the last error means to the standard error.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn perror(text: Text) {
    let error = errno::strerror(errno::get());
    let separator: &[u8] = if text.bytes().is_empty() { b"" } else { b": " };
    STDERR.write_all(&[text.bytes(), separator, error.bytes(), b"\n"]);
}

#[cfg(test)]
mod tests;
