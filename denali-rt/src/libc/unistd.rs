//! `unistd.h`, and `readv` and `writev` of `sys/uio.h`.

use super::descriptor::file::From;
use super::descriptor::{self, pipe as pipes};
use super::errno::{self, EINVAL, ENAMETOOLONG, ENOTTY, ERANGE, EROFS, ESPIPE, Errno};
use super::fcntl::O_NONBLOCK;
use super::files::{self, Node};
use super::memory::{In, Out, Text};
use crate::registers;
use crate::thread;
use crate::time::Duration;
use core::ffi::{c_int, c_long, c_uint};

pub use super::stdlib::_exit;

/// A piece of memory of `readv` and `writev`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct IoVec {
    /// Where it begins.
    pub base: Out<u8>,
    /// Its length in bytes.
    pub len: usize,
}

/// Most pieces of one call (`IOV_MAX`).
pub(super) const PIECES_MAX: usize = 1024;

/// Returns a count of bytes as calls return it.
pub(super) fn count(count: Result<usize, Errno>) -> isize {
    errno::answer(count.map(|count| isize::try_from(count).unwrap_or(isize::MAX)))
}

/// Reads from a descriptor, waiting for something to read; 0 at the end.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn read(descriptor: c_int, mut to: Out<u8>, len: usize) -> isize {
    count(descriptor::read(descriptor, to.slice(len)))
}

/// Writes to a descriptor, waiting for room. Returns how much was written.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn write(descriptor: c_int, from: In<u8>, len: usize) -> isize {
    count(descriptor::write(descriptor, from.slice(len)))
}

/// Reads into several pieces of memory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn readv(descriptor: c_int, pieces: In<IoVec>, pieces_len: c_int) -> isize {
    count(each(pieces, pieces_len, |mut piece| {
        descriptor::read(descriptor, piece.base.slice(piece.len))
    }))
}

/// Writes several pieces of memory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn writev(descriptor: c_int, pieces: In<IoVec>, pieces_len: c_int) -> isize {
    count(each(pieces, pieces_len, |piece| {
        descriptor::write(descriptor, piece.base.readable().slice(piece.len))
    }))
}

/// Like [`readv`], from a place in a file.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn preadv(
    descriptor: c_int,
    pieces: In<IoVec>,
    pieces_len: c_int,
    at: i64,
) -> isize {
    let mut place = at;
    count(each(pieces, pieces_len, |mut piece| {
        let read = read_at(descriptor, piece.base.slice(piece.len), place)?;
        place = place.saturating_add_unsigned(denali_abi::convert::usize_to_u64(read));
        Ok(read)
    }))
}

/// Like [`writev`], to a place in a file.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pwritev(
    descriptor: c_int,
    pieces: In<IoVec>,
    pieces_len: c_int,
    at: i64,
) -> isize {
    let mut place = at;
    count(each(pieces, pieces_len, |piece| {
        let written = write_at(descriptor, piece.base.readable().slice(piece.len), place)?;
        place = place.saturating_add_unsigned(denali_abi::convert::usize_to_u64(written));
        Ok(written)
    }))
}

/// Moves piece after piece until one is not moved whole. Returns how many bytes were moved; an
/// error only if none was.
fn each(
    pieces: In<IoVec>,
    pieces_len: c_int,
    mut step: impl FnMut(IoVec) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let len = usize::try_from(pieces_len)
        .ok()
        .filter(|len| *len <= PIECES_MAX);
    let mut moved = 0;
    for piece in pieces.slice(len.ok_or(Errno(EINVAL))?) {
        if piece.len == 0 {
            continue;
        }
        match step(*piece) {
            Ok(count) => {
                moved += count;
                if count < piece.len {
                    break;
                }
            }
            Err(error) if moved == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(moved)
}

/// Closes a descriptor.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn close(descriptor: c_int) -> c_int {
    errno::answer(descriptor::close(descriptor).map(|()| 0))
}

/// Gives what a descriptor means another number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn dup(descriptor: c_int) -> c_int {
    errno::answer(descriptor::duplicate(descriptor, 0))
}

/// Gives what a descriptor means the number `to`, closing what had it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn dup2(descriptor: c_int, to: c_int) -> c_int {
    if descriptor == to {
        return errno::answer(descriptor::get(descriptor).map(|_| to));
    }
    errno::answer(descriptor::duplicate_to(descriptor, to))
}

/// Like [`dup2`], but the numbers must differ.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn dup3(descriptor: c_int, to: c_int, _flags: c_int) -> c_int {
    if descriptor == to {
        return errno::answer(Err(Errno(EINVAL)));
    }
    dup2(descriptor, to)
}

/// Makes a pipe: `ends[0]` to read, `ends[1]` to write.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pipe(ends: Out<[c_int; 2]>) -> c_int {
    pipe2(ends, 0)
}

/// Like [`pipe`], with `O_NONBLOCK` if so flagged.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pipe2(ends: Out<[c_int; 2]>, flags: c_int) -> c_int {
    let open = || {
        descriptor::make_room()?;
        let (reader, writer) = pipes::pipe();
        let nonblocking = flags & O_NONBLOCK != 0;
        let first = descriptor::open(|| reader, nonblocking)?;
        let second = descriptor::open(|| writer, nonblocking).inspect_err(|_| {
            // It was opened just now.
            descriptor::close(first).unwrap_or_default();
        })?;
        ends.write([first, second]);
        Ok(0)
    };
    errno::answer(open())
}

/// Moves the position of a file; nothing else has one.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lseek(descriptor: c_int, offset: i64, from: c_int) -> i64 {
    let seek = || {
        let from = match from {
            0 => From::Start,
            1 => From::Here,
            2 => From::End,
            _ => return Err(Errno(EINVAL)),
        };
        let description = descriptor::get(descriptor)?;
        let file = description.object().as_file().ok_or(Errno(ESPIPE))?;
        file.seek(offset, from)
    };
    errno::answer(seek())
}

/// Like [`lseek`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lseek64(descriptor: c_int, offset: i64, from: c_int) -> i64 {
    lseek(descriptor, offset, from)
}

/// Returns whether a descriptor is the console. It is no terminal to a program, which would expect
/// somebody to type: always 0.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn isatty(descriptor: c_int) -> c_int {
    let Errno(number) = descriptor::get(descriptor).map_or_else(|error| error, |_| Errno(ENOTTY));
    errno::set(number);
    0
}

/// Reads from a place in a file, whatever its position.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pread(descriptor: c_int, mut to: Out<u8>, len: usize, at: i64) -> isize {
    count(read_at(descriptor, to.slice(len), at))
}

/// Reads what is at a place in a file.
fn read_at(descriptor: c_int, to: &mut [u8], at: i64) -> Result<usize, Errno> {
    let at = u64::try_from(at).map_err(|_| Errno(EINVAL))?;
    let description = descriptor::get(descriptor)?;
    let file = description.object().as_file().ok_or(Errno(ESPIPE))?;
    file.read_at(at, to)
}

/// Writes to a place in a file, whatever its position; to its end if it is appended to, as on Linux.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pwrite(descriptor: c_int, from: In<u8>, len: usize, at: i64) -> isize {
    count(write_at(descriptor, from.slice(len), at))
}

/// Writes to a place in a file.
fn write_at(descriptor: c_int, from: &[u8], at: i64) -> Result<usize, Errno> {
    let at = u64::try_from(at).map_err(|_| Errno(EINVAL))?;
    let description = descriptor::get(descriptor)?;
    let file = description.object().as_file().ok_or(Errno(ESPIPE))?;
    file.write_at(at, from).map(|_| from.len())
}

/// Like [`pwrite`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pwrite64(descriptor: c_int, from: In<u8>, len: usize, at: i64) -> isize {
    pwrite(descriptor, from, len, at)
}

/// Like [`pread`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pread64(descriptor: c_int, to: Out<u8>, len: usize, at: i64) -> isize {
    pread(descriptor, to, len, at)
}

/// Tells whether a file or directory may be used so: all but writing to the image is allowed.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn access(path: Text, mode: c_int) -> c_int {
    /// Linux's `W_OK`.
    const WRITE: c_int = 2;
    errno::answer(match files::resolve(path.bytes()) {
        Ok(Node::File(_) | Node::Directory(_)) if mode & WRITE != 0 => Err(Errno(EROFS)),
        found => found.map(|_| 0),
    })
}

/// Fails: nothing is a symbolic link.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn readlink(path: Text, _to: Out<u8>, _len: usize) -> isize {
    errno::answer(files::resolve(path.bytes()).and(Err(Errno(EINVAL))))
}

/// Writes the path of a file or directory from the root on; into memory of its own if `to` is null.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn realpath(path: Text, to: Out<u8>) -> Out<u8> {
    let resolve = || {
        let node = files::resolve(path.bytes())?;
        let text = alloc::format!("/{}\0", node.path());
        let mut place = match to.is_null() {
            true => super::malloc::malloc(text.len()).cast(),
            false => to,
        };
        place.slice(text.len()).copy_from_slice(text.as_bytes());
        Ok(place)
    };
    errno::answer::<Out<u8>>(resolve())
}

/// Waits for a signal, and so for ever.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pause() -> c_int {
    loop {
        thread::park();
    }
}

/// Writes the working directory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getcwd(mut to: Out<u8>, len: usize) -> Out<u8> {
    let text = alloc::format!("/{}\0", files::working_directory());
    if len < text.len() {
        errno::set(if len == 0 { EINVAL } else { ERANGE });
        return Out::NULL;
    }
    to.slice(text.len()).copy_from_slice(text.as_bytes());
    to
}

/// Makes a directory the one that relative paths begin at.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn chdir(path: Text) -> c_int {
    errno::answer(files::set_working_directory(path.bytes()).map(|()| 0))
}

/// Waits for whole seconds. Returns 0: nothing ends a sleep early.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sleep(seconds: c_uint) -> c_uint {
    thread::sleep(Duration::from_secs(seconds.into()));
    0
}

/// Waits for microseconds.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn usleep(microseconds: c_uint) -> c_int {
    thread::sleep(Duration::from_micros(microseconds.into()));
    0
}

/// Returns the number of the VM's only process.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getpid() -> c_int {
    1
}

/// Returns 0: nobody started the process.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getppid() -> c_int {
    0
}

/// Returns the size of a page.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getpagesize() -> c_int {
    4096
}

/// Writes the VM's name.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn gethostname(mut to: Out<u8>, len: usize) -> c_int {
    let name = registers::name().as_bytes();
    if name.len() >= len {
        return errno::answer(Err(Errno(ENAMETOOLONG)));
    }
    to.slice(name.len()).copy_from_slice(name);
    to.add(name.len()).write(0);
    0
}

/// Linux's `_SC_…` numbers.
mod limit {
    use core::ffi::c_int;

    pub(super) const ARG_MAX: c_int = 0;
    pub(super) const CLK_TCK: c_int = 2;
    pub(super) const OPEN_MAX: c_int = 4;
    pub(super) const PAGESIZE: c_int = 30;
    pub(super) const IOV_MAX: c_int = 60;
    pub(super) const THREAD_KEYS_MAX: c_int = 74;
    pub(super) const THREAD_STACK_MIN: c_int = 75;
    pub(super) const NPROCESSORS_CONF: c_int = 83;
    pub(super) const NPROCESSORS_ONLN: c_int = 84;
    pub(super) const PHYS_PAGES: c_int = 85;
    pub(super) const AVPHYS_PAGES: c_int = 86;
    pub(super) const HOST_NAME_MAX: c_int = 180;
}

/// Returns a limit of the system, -1 for one that it does not have.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sysconf(name: c_int) -> c_long {
    let long = |number: usize| c_long::try_from(number).unwrap_or(c_long::MAX);
    match name {
        limit::ARG_MAX | limit::PAGESIZE => 4096,
        limit::CLK_TCK => 100,
        limit::OPEN_MAX => long(descriptor::DESCRIPTORS_MAX),
        limit::IOV_MAX => long(PIECES_MAX),
        limit::THREAD_KEYS_MAX => long(super::pthread::KEYS_MAX),
        limit::THREAD_STACK_MIN => 16_384,
        limit::NPROCESSORS_CONF | limit::NPROCESSORS_ONLN => 1,
        limit::PHYS_PAGES => registers::memory_pages().into(),
        limit::AVPHYS_PAGES => registers::pages_left().into(),
        limit::HOST_NAME_MAX => 64,
        _ => errno::answer(Err(Errno(EINVAL))),
    }
}
