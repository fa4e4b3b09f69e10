//! Calls that change files, of `unistd.h`, `stdio.h` and `sys/stat.h`: those of the image cannot be
//! changed. What is wrong with a path is told first.

use super::descriptor;
use super::errno::{self, EBADF, EEXIST, EINVAL, EPERM, EROFS, Errno};
use super::files;
use super::memory::{In, Out, Text};
use super::time::TimeSpec;
use core::ffi::{c_int, c_uint};

/// Refuses to change what a path names.
fn refused(path: Text) -> c_int {
    errno::answer(files::resolve(path.bytes()).and(Err(Errno(EROFS))))
}

/// Refuses to make something of a name.
fn refused_new(path: Text) -> c_int {
    errno::answer(Err(match files::resolve(path.bytes()) {
        Ok(_) => Errno(EEXIST),
        Err(Errno(errno::ENOENT)) => Errno(EROFS),
        Err(error) => error,
    }))
}

/// Refuses to change what a descriptor means.
fn refused_open(descriptor: c_int) -> c_int {
    errno::answer(descriptor::get(descriptor).and(Err(Errno(EROFS))))
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn chmod(path: Text, _mode: c_uint) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fchmod(descriptor: c_int, _mode: c_uint) -> c_int {
    refused_open(descriptor)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn chown(path: Text, _user: c_uint, _group: c_uint) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lchown(path: Text, _user: c_uint, _group: c_uint) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fchown(descriptor: c_int, _user: c_uint, _group: c_uint) -> c_int {
    refused_open(descriptor)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mkdir(path: Text, _mode: c_uint) -> c_int {
    refused_new(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mkfifo(path: Text, _mode: c_uint) -> c_int {
    refused_new(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn rmdir(path: Text) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn unlink(path: Text) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn unlinkat(_directory: c_int, path: Text, _flags: c_int) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn rename(from: Text, _to: Text) -> c_int {
    refused(from)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn symlink(_target: Text, path: Text) -> c_int {
    refused_new(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn linkat(
    _from_directory: c_int,
    from: Text,
    _to_directory: c_int,
    _to: Text,
    _flags: c_int,
) -> c_int {
    refused(from)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn utimensat(
    _directory: c_int,
    path: Text,
    _times: In<TimeSpec>,
    _flags: c_int,
) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn utimes(path: Text, _times: In<TimeSpec>) -> c_int {
    refused(path)
}

/// Fails: the file system is read-only.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn futimens(descriptor: c_int, _times: In<TimeSpec>) -> c_int {
    refused_open(descriptor)
}

/// Fails: no file is open for writing.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ftruncate(descriptor: c_int, _len: i64) -> c_int {
    errno::answer(descriptor::get(descriptor).and(Err(Errno(EINVAL))))
}

/// Like [`ftruncate`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ftruncate64(descriptor: c_int, len: i64) -> c_int {
    ftruncate(descriptor, len)
}

/// Fails: no file is open for writing.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pwrite(descriptor: c_int, _from: In<u8>, _len: usize, _at: i64) -> isize {
    errno::answer(descriptor::get(descriptor).and(Err(Errno(EBADF))))
}

/// Like [`pwrite`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pwrite64(descriptor: c_int, from: In<u8>, len: usize, at: i64) -> isize {
    pwrite(descriptor, from, len, at)
}

/// Succeeds: what can be read lies where it stays.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fsync(descriptor: c_int) -> c_int {
    let file = descriptor::get(descriptor);
    errno::answer(file.and_then(|description| {
        let is_file = description.object().as_file().is_some();
        is_file.then_some(0).ok_or(Errno(EINVAL))
    }))
}

/// Like [`fsync`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    fsync(descriptor)
}

/// Succeeds: nobody else has the file.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn flock(descriptor: c_int, _operation: c_int) -> c_int {
    errno::answer(descriptor::get(descriptor).map(|_| 0))
}

/// Fails: the root is what it is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn chroot(_path: Text) -> c_int {
    errno::answer(Err(Errno(EPERM)))
}

/// Fails, so that callers copy by reading and writing.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sendfile64(_to: c_int, _from: c_int, _at: Out<i64>, _len: usize) -> isize {
    errno::answer(Err(Errno(EINVAL)))
}

/// Fails, so that callers copy by reading and writing.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn splice(
    _from: c_int,
    _from_at: Out<i64>,
    _to: c_int,
    _to_at: Out<i64>,
    _len: usize,
    _flags: c_uint,
) -> isize {
    errno::answer(Err(Errno(EINVAL)))
}
