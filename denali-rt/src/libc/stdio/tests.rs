//! Streams on pipes, which keep what was written.

use super::super::memory::test::{one, text};
use super::*;
use crate::libc::descriptor;
use crate::libc::unistd;

/// Returns the two ends of a pipe: a descriptor to read, a stream to write.
fn stream() -> (c_int, Out<File>) {
    let mut ends = [0; 2];
    assert_eq!(unistd::pipe(one(&mut ends)), 0);
    (ends[0], fdopen(ends[1], text(c"w")))
}

fn read(from: c_int) -> alloc::vec::Vec<u8> {
    let mut buffer = [0; 64];
    let waiting = descriptor::get(from).unwrap().object().available().unwrap();
    let count = match waiting {
        0 => 0,
        _ => descriptor::read(from, &mut buffer).unwrap(),
    };
    buffer[..count].into()
}

#[test]
fn a_stream_is_written_out_as_its_mode_says() {
    let (from, stream) = stream();
    assert!(fputs(text(c"full "), stream) >= 0);
    assert_eq!(read(from), b"");
    assert_eq!(fflush(stream), 0);
    assert_eq!(read(from), b"full ");
    setlinebuf(stream);
    fputs(text(c"no line"), stream);
    assert_eq!(read(from), b"");
    fputc(b'\n'.into(), stream);
    assert_eq!(read(from), b"no line\n");
    assert_eq!(setvbuf(stream, Out::NULL, 2, 0), 0);
    assert_eq!(fwrite(text(c"at once").start(), 1, 7, stream), 7);
    assert_eq!(read(from), b"at once");
    setbuf(stream, Out::NULL);
    assert_eq!(setvbuf(stream, Out::NULL, 3, 0), EOF);
    assert_eq!((ferror(stream), fileno(stream) > 2), (0, true));
    fputs(text(c"rest"), stream);
    assert_eq!(fclose(stream), 0);
    assert_eq!(read(from), b"rest");
    assert_eq!(descriptor::read(from, &mut [0; 4]), Ok(0));
}

#[test]
fn a_write_that_fails_leaves_its_mark() {
    let (from, stream) = stream();
    assert_eq!(unistd::close(from), 0);
    fputs(text(c"lost"), stream);
    assert_eq!(fflush(stream), EOF);
    assert_eq!((errno::get(), ferror(stream)), (errno::EPIPE, 1));
    clearerr(stream);
    assert_eq!(ferror(stream), 0);
    fclose(stream);
}

#[test]
fn lines_are_read() {
    let mut ends = [0; 2];
    assert_eq!(unistd::pipe(one(&mut ends)), 0);
    descriptor::write(ends[1], b"one\ntwo").unwrap();
    unistd::close(ends[1]);
    let input = fdopen(ends[0], text(c"r"));
    let mut line = [0; 8];
    let mut next = |len| {
        let read = fgets(Out::from_raw(line.as_mut_ptr()), len, input);
        (!read.is_null()).then(|| alloc::vec::Vec::from(read.text().bytes()))
    };
    assert_eq!(next(8).as_deref(), Some(&b"one\n"[..]));
    assert_eq!(ungetc(b'T'.into(), input), b'T'.into());
    assert_eq!(next(3).as_deref(), Some(&b"Tt"[..]));
    assert_eq!(next(8).as_deref(), Some(&b"wo"[..]));
    assert_eq!((next(8), feof(input)), (None, 1));
    fclose(input);
}

#[test]
fn the_standard_input_is_empty() {
    assert_eq!((getchar(), feof(stdin)), (EOF, 1));
    let mut bytes = [0; 4];
    assert_eq!(fread(Out::from_raw(bytes.as_mut_ptr()), 1, 4, stdin), 0);
    assert!(fopen(text(c"/etc/passwd"), text(c"r")).is_null());
    assert_eq!(errno::get(), ENOENT);
}
