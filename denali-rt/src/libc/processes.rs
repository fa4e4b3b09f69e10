//! Processes, which do not exist: one VM is one program. `std` refers to these whether a program starts
//! processes or not, so they are there, and fail with `ENOSYS`.

use super::errno::{self, ECHILD, ENOSYS, EPERM, ESRCH, Errno};
use super::memory::{In, Out, Text};
use core::ffi::{c_int, c_short, c_uint};

/// Fails: processes do not exist.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fork() -> c_int {
    errno::answer(Err(Errno(ENOSYS)))
}

/// Fails: processes do not exist.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn execvp(_file: Text, _arguments: In<Text>) -> c_int {
    errno::answer(Err(Errno(ENOSYS)))
}

/// Fails: there are no children to wait for.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn waitpid(_process: c_int, _status: Out<c_int>, _options: c_int) -> c_int {
    errno::answer(Err(Errno(ECHILD)))
}

/// Fails: there are no children to wait for.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn waitid(_kind: c_uint, _id: c_uint, _info: Out<u8>, _options: c_int) -> c_int {
    errno::answer(Err(Errno(ECHILD)))
}

/// Fails: signals do not exist.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn kill(_process: c_int, _signal: c_int) -> c_int {
    errno::answer(Err(Errno(ESRCH)))
}

/// Fails: there are no sessions.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setsid() -> c_int {
    errno::answer(Err(Errno(EPERM)))
}

/// Fails: there are no groups of processes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setpgid(_process: c_int, _group: c_int) -> c_int {
    errno::answer(Err(Errno(EPERM)))
}

/// Fails: processes do not exist.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawnp(
    _process: Out<c_int>,
    _file: Text,
    _actions: In<u8>,
    _attributes: In<u8>,
    _arguments: In<Text>,
    _environment: In<Text>,
) -> c_int {
    ENOSYS
}

/// Accepted: no process will have these attributes. Returns 0.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawnattr_init(_attributes: Out<u8>) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawnattr_destroy(_attributes: Out<u8>) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawnattr_setflags(_attributes: Out<u8>, _flags: c_short) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawnattr_setpgroup(_attributes: Out<u8>, _group: c_int) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawnattr_setsigdefault(_attributes: Out<u8>, _signals: In<u8>) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawnattr_setsigmask(_attributes: Out<u8>, _signals: In<u8>) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawn_file_actions_init(_actions: Out<u8>) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawn_file_actions_destroy(_actions: Out<u8>) -> c_int {
    0
}

/// Accepted, as above.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_spawn_file_actions_adddup2(
    _actions: Out<u8>,
    _of: c_int,
    _to: c_int,
) -> c_int {
    0
}
