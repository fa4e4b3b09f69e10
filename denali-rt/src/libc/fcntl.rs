//! `fcntl.h` and `sys/ioctl.h`. Their functions are variadic in C; with at most one argument more,
//! which lies in the register of the next fixed one, they need not be here.

use super::descriptor;
use super::errno::{self, EINVAL, ENOENT, ENOTTY, Errno};
use super::memory::{Out, Text};
use core::ffi::{c_int, c_ulong};

/// Open for reading and writing.
pub const O_RDWR: c_int = 2;

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

/// Fails: there are no files.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn open(_path: Text, _flags: c_int, _mode: c_int) -> c_int {
    errno::answer(Err(Errno(ENOENT)))
}

/// Like [`open`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn open64(path: Text, flags: c_int, mode: c_int) -> c_int {
    open(path, flags, mode)
}
