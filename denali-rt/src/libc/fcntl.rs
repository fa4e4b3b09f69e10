//! `fcntl.h` and `sys/ioctl.h`. Their functions are variadic in C; with at most one argument more,
//! which lies in the register of the next fixed one, they need not be here.

use super::descriptor;
use super::descriptor::Description;
use super::descriptor::file::{Access, File};
use super::errno::{self, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTTY, EROFS, Errno};
use super::files::changes::{self, At};
use super::files::{self, Node};
use super::memory::{Out, Text};
use alloc::string::String;
use core::ffi::{c_int, c_short, c_ulong};

/// Open for reading and writing.
pub const O_RDWR: c_int = 2;

/// Open for writing alone.
const O_WRONLY: c_int = 1;

/// What of the flags says whether to read or write.
const O_ACCMODE: c_int = 3;

const O_CREAT: c_int = 0o100;
const O_EXCL: c_int = 0o200;
const O_TRUNC: c_int = 0o1000;
const O_APPEND: c_int = 0o2000;
const O_DSYNC: c_int = 0o10_000;

/// Only a directory will do.
pub const O_DIRECTORY: c_int = 0o200_000;

/// Stands for the working directory where a descriptor of a directory is asked for.
pub const AT_FDCWD: c_int = -100;

/// Calls fail with `EAGAIN` instead of waiting.
pub const O_NONBLOCK: c_int = 0o4000;

/// Set at `exec`, which does not exist: accepted everywhere, and means nothing.
pub const FD_CLOEXEC: c_int = 1;

const F_DUPFD: c_int = 0;
const F_GETFD: c_int = 1;
const F_SETFD: c_int = 2;
const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const F_GETLK: c_int = 5;
const F_SETLK: c_int = 6;
const F_SETLKW: c_int = 7;
const F_DUPFD_CLOEXEC: c_int = 1030;

/// The type of a lock that nobody else holds: locks are between processes, and there is one.
const F_UNLCK: c_short = 2;

/// Does what the command says to a descriptor.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: c_ulong) -> c_int {
    errno::answer(control(descriptor, command, argument))
}

/// Like [`fcntl`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fcntl64(descriptor: c_int, command: c_int, argument: c_ulong) -> c_int {
    fcntl(descriptor, command, argument)
}

fn control(descriptor: c_int, command: c_int, argument: c_ulong) -> Result<c_int, Errno> {
    let description = descriptor::get(descriptor)?;
    let nonblocking = if description.is_nonblocking() {
        O_NONBLOCK
    } else {
        0
    };
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let from = c_int::try_from(argument).map_err(|_| Errno(EINVAL))?;
            descriptor::duplicate(descriptor, from)
        }
        F_GETFD => Ok(FD_CLOEXEC),
        F_SETFD => Ok(0),
        F_GETFL => Ok(open_flags(&description) | nonblocking),
        F_SETFL => {
            let wanted = c_ulong::from(O_NONBLOCK.unsigned_abs());
            description.set_nonblocking(argument & wanted != 0);
            Ok(0)
        }
        F_GETLK | F_SETLK | F_SETLKW => {
            let is_file = description.object().as_file().is_some();
            let address = denali_abi::convert::u64_to_usize(argument);
            let lock: Out<c_short> = Out::from_raw(core::ptr::with_exposed_provenance_mut(address));
            if is_file && command == F_GETLK {
                lock.write(F_UNLCK);
            }
            is_file.then_some(0).ok_or(Errno(EINVAL))
        }
        _ => Err(Errno(EINVAL)),
    }
}

/// Returns what the descriptor was opened for.
fn open_flags(description: &Description) -> c_int {
    let Some(file) = description.object().as_file() else {
        return O_RDWR;
    };
    let access = file.access();
    let mode = match (access.reads, access.writes) {
        (true, true) => O_RDWR,
        (false, true) => O_WRONLY,
        (_, false) => 0,
    };
    mode | if access.appends { O_APPEND } else { 0 }
}

const FIONBIO: c_ulong = 0x5421;
const FIONREAD: c_ulong = 0x541b;
const FIOCLEX: c_ulong = 0x5451;

/// Sets whether calls wait (`FIONBIO`), or tells how much can be read (`FIONREAD`).
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: Out<c_int>) -> c_int {
    let act = || {
        let description = descriptor::get(descriptor)?;
        match request {
            FIONBIO => description.set_nonblocking(argument.read().unwrap_or(0) != 0),
            FIONREAD => {
                let count = description.object().available()?;
                argument.write(c_int::try_from(count).unwrap_or(c_int::MAX));
            }
            FIOCLEX => (),
            _ => return Err(Errno(ENOTTY)),
        }
        Ok(0)
    };
    errno::answer(act())
}

/// Opens a file or directory. What lies in the image can be opened for reading alone.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn open(path: Text, flags: c_int, mode: c_int) -> c_int {
    openat64(AT_FDCWD, path, flags, mode)
}

/// Like [`open`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn open64(path: Text, flags: c_int, mode: c_int) -> c_int {
    openat64(AT_FDCWD, path, flags, mode)
}

/// Like [`open`], a relative path from the directory that a descriptor means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn openat64(directory: c_int, path: Text, flags: c_int, mode: c_int) -> c_int {
    let open = || {
        let base = base(directory, path)?;
        let path = path.bytes();
        open_at(At { base: &base, path }, flags, permissions(mode))
    };
    errno::answer(open())
}

/// Returns the directory from which a path is taken: what a descriptor means, if it is relative.
pub(super) fn base(directory: c_int, path: Text) -> Result<String, Errno> {
    if directory == AT_FDCWD || path.bytes().starts_with(b"/") {
        return Ok(files::working_directory());
    }
    let description = descriptor::get(directory)?;
    let file = description.object().as_file().ok_or(Errno(ENOTDIR))?;
    match file.node().is_directory() {
        true => Ok(file.node().path().into()),
        false => Err(Errno(ENOTDIR)),
    }
}

/// Returns the permissions of something made with a mode: only its owner writes.
pub(super) fn permissions(mode: c_int) -> u16 {
    u16::try_from(mode & 0o7755).unwrap_or_default()
}

fn open_at(at: At<'_>, flags: c_int, permissions: u16) -> Result<c_int, Errno> {
    let (node, is_new) = match at.resolve() {
        Err(Errno(ENOENT)) if flags & O_CREAT != 0 => (changes::create(at, permissions)?, true),
        found => (found?, false),
    };
    let access = Access {
        reads: flags & O_ACCMODE != O_WRONLY,
        writes: flags & O_ACCMODE != 0,
        appends: flags & O_APPEND != 0,
        is_synchronous: flags & O_DSYNC != 0,
    };
    if !is_new {
        check_present(&node, flags)?;
    }
    let file = File::new(node, access)?;
    if flags & O_TRUNC != 0 && access.writes && !is_new {
        file.truncate(0)?;
    }
    descriptor::open(|| file, flags & O_NONBLOCK != 0)
}

/// Checks whether something that is there can be opened so.
fn check_present(node: &Node, flags: c_int) -> Result<(), Errno> {
    let changes = flags & O_ACCMODE != 0 || flags & O_TRUNC != 0;
    match node {
        _ if flags & O_CREAT != 0 && flags & O_EXCL != 0 => Err(Errno(EEXIST)),
        node if node.is_directory() && changes => Err(Errno(EISDIR)),
        node if !node.is_directory() && flags & O_DIRECTORY != 0 => Err(Errno(ENOTDIR)),
        Node::File(_) if changes => Err(Errno(EROFS)),
        _ => Ok(()),
    }
}
