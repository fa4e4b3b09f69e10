//! `fcntl.h` and `sys/ioctl.h`. Their functions are variadic in C; with at most one argument more,
//! which lies in the register of the next fixed one, they need not be here.

use super::descriptor;
use super::descriptor::file::File;
use super::errno::{self, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTTY, EROFS, Errno};
use super::files::{self, Node};
use super::memory::{Out, Text};
use core::ffi::{c_int, c_ulong};

/// Open for reading and writing.
pub const O_RDWR: c_int = 2;

/// What of the flags says whether to read or write.
const O_ACCMODE: c_int = 3;

const O_CREAT: c_int = 0o100;
const O_EXCL: c_int = 0o200;
const O_TRUNC: c_int = 0o1000;

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
const F_DUPFD_CLOEXEC: c_int = 1030;

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
        F_GETFL if description.object().as_file().is_some() => Ok(nonblocking),
        F_GETFL => Ok(O_RDWR | nonblocking),
        F_SETFL => {
            let wanted = c_ulong::from(O_NONBLOCK.unsigned_abs());
            description.set_nonblocking(argument & wanted != 0);
            Ok(0)
        }
        _ => Err(Errno(EINVAL)),
    }
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

/// Opens a file or directory of the image for reading; nothing can be opened for writing.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn open(path: Text, flags: c_int, _mode: c_int) -> c_int {
    errno::answer(open_found(files::resolve(path.bytes()), flags))
}

/// Like [`open`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn open64(path: Text, flags: c_int, mode: c_int) -> c_int {
    open(path, flags, mode)
}

/// Like [`open`], a relative path from the directory that a descriptor means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn openat64(directory: c_int, path: Text, flags: c_int, _mode: c_int) -> c_int {
    errno::answer(open_found(resolve_at(directory, path), flags))
}

/// Returns what a path names, a relative one from the directory that a descriptor means.
pub(super) fn resolve_at(directory: c_int, path: Text) -> Result<Node, Errno> {
    if directory == AT_FDCWD || path.bytes().starts_with(b"/") {
        return files::resolve(path.bytes());
    }
    let description = descriptor::get(directory)?;
    let file = description.object().as_file().ok_or(Errno(ENOTDIR))?;
    match file.node() {
        Node::Directory(base) => files::resolve_from(base, path.bytes()),
        Node::File(_) => Err(Errno(ENOTDIR)),
    }
}

fn open_found(found: Result<Node, Errno>, flags: c_int) -> Result<c_int, Errno> {
    let node = match found {
        Err(Errno(ENOENT)) if flags & O_CREAT != 0 => return Err(Errno(EROFS)),
        found => found?,
    };
    let is_directory = matches!(node, Node::Directory(_));
    if flags & O_CREAT != 0 && flags & O_EXCL != 0 {
        return Err(Errno(EEXIST));
    }
    if flags & O_DIRECTORY != 0 && !is_directory {
        return Err(Errno(ENOTDIR));
    }
    if flags & O_ACCMODE != 0 || flags & O_TRUNC != 0 {
        return Err(Errno(if is_directory { EISDIR } else { EROFS }));
    }
    descriptor::open(File::new(node), flags & O_NONBLOCK != 0)
}
