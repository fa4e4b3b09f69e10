//! Calls that change files, of `unistd.h`, `stdio.h` and `sys/stat.h`: those of volumes. What lies in
//! the image cannot be changed; what is wrong with a path is told first.

use super::descriptor;
use super::descriptor::lock::Mode;
use super::errno::{self, EINVAL, EPERM, EROFS, Errno};
use super::fcntl::{self, AT_FDCWD};
use super::files::changes::{self, At};
use super::files::{self, Change};
use super::memory::{In, Out, Text};
use super::time::{TimeSpec, TimeVal};
use crate::time::wall;
use core::ffi::{c_int, c_uint};

/// Has `unlinkat` remove a directory.
const AT_REMOVEDIR: c_int = 0x200;

/// What `flock` is to do: `LOCK_NB` has it fail instead of wait.
const LOCK_SH: c_int = 1;
const LOCK_EX: c_int = 2;
const LOCK_NB: c_int = 4;
const LOCK_UN: c_int = 8;

/// Nanoseconds that stand for the time of the call, and for a time that stays.
const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

/// Does something to what a path names, a relative one from the directory that a descriptor means.
fn at(
    directory: c_int,
    path: Text,
    act: impl FnOnce(At<'_>) -> Result<(), Errno>,
) -> Result<c_int, Errno> {
    let base = fcntl::base(directory, path)?;
    let path = path.bytes();
    act(At { base: &base, path }).map(|()| 0)
}

/// Does something to what a path names.
fn with(path: Text, act: impl FnOnce(At<'_>) -> Result<(), Errno>) -> c_int {
    errno::answer(at(AT_FDCWD, path, act))
}

/// Does something to what two paths name.
fn with_both(
    from: (c_int, Text),
    to: (c_int, Text),
    act: impl FnOnce(At<'_>, At<'_>) -> Result<(), Errno>,
) -> c_int {
    errno::answer(at(from.0, from.1, |from| {
        at(to.0, to.1, |to| act(from, to)).map(|_| ())
    }))
}

/// Changes what is known of an open file or directory.
fn change_open(descriptor: c_int, change: Change) -> c_int {
    let act = || {
        let description = descriptor::get(descriptor)?;
        let file = description.object().as_file().ok_or(Errno(EROFS))?;
        changes::change(file.node(), change).map(|()| 0)
    };
    errno::answer(act())
}

/// Changes the permissions of a file or directory, which everybody has in a VM.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn chmod(path: Text, mode: c_uint) -> c_int {
    with(path, |at| {
        changes::change(&at.resolve()?, permissions(mode))
    })
}

/// Like [`chmod`], of what a descriptor means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fchmod(descriptor: c_int, mode: c_uint) -> c_int {
    change_open(descriptor, permissions(mode))
}

fn permissions(mode: c_uint) -> Change {
    Change::Permissions(u16::try_from(mode & 0o7777).unwrap_or_default())
}

/// Fails: there is one user, who owns all; succeeds if that is the one.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn chown(path: Text, user: c_uint, group: c_uint) -> c_int {
    with(path, |at| own(&at.resolve()?, user, group))
}

/// Like [`chown`]: there are no symbolic links.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lchown(path: Text, user: c_uint, group: c_uint) -> c_int {
    chown(path, user, group)
}

/// Like [`chown`], of what a descriptor means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fchown(descriptor: c_int, user: c_uint, group: c_uint) -> c_int {
    let act = || {
        let description = descriptor::get(descriptor)?;
        let file = description.object().as_file().ok_or(Errno(EROFS))?;
        own(file.node(), user, group).map(|()| 0)
    };
    errno::answer(act())
}

fn own(node: &files::Node, user: c_uint, group: c_uint) -> Result<(), Errno> {
    // All bits set mean that it stays.
    let stays = |owner: c_uint| owner == 0 || owner == c_uint::MAX;
    match node {
        files::Node::Stored(_) if stays(user) && stays(group) => Ok(()),
        files::Node::Stored(_) => Err(Errno(EPERM)),
        files::Node::File(_) | files::Node::Directory(_) => Err(Errno(EROFS)),
    }
}

/// Makes a directory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mkdir(path: Text, mode: c_uint) -> c_int {
    let permissions = fcntl::permissions(mode.cast_signed());
    with(path, |at| changes::make_directory(at, permissions))
}

/// Fails: there are no pipes with names.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mkfifo(path: Text, _mode: c_uint) -> c_int {
    with(path, changes::refuse)
}

/// Removes an empty directory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn rmdir(path: Text) -> c_int {
    with(path, changes::remove_directory)
}

/// Removes a name of a file, which stays as long as it is open.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn unlink(path: Text) -> c_int {
    with(path, changes::remove)
}

/// Like [`unlink`] or [`rmdir`], a relative path from the directory that a descriptor means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn unlinkat(directory: c_int, path: Text, flags: c_int) -> c_int {
    errno::answer(match flags & AT_REMOVEDIR {
        0 => at(directory, path, changes::remove),
        _ => at(directory, path, changes::remove_directory),
    })
}

/// Renames a file or directory, and replaces what has the name.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn rename(from: Text, to: Text) -> c_int {
    with_both((AT_FDCWD, from), (AT_FDCWD, to), changes::rename)
}

/// Fails: there are no symbolic links.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn symlink(_target: Text, path: Text) -> c_int {
    with(path, changes::refuse)
}

/// Gives a file another name.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn linkat(
    from_directory: c_int,
    from: Text,
    to_directory: c_int,
    to: Text,
    _flags: c_int,
) -> c_int {
    with_both((from_directory, from), (to_directory, to), changes::link)
}

/// Says when a file or directory was read and written last; now, without times.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn utimensat(
    directory: c_int,
    path: Text,
    times: In<TimeSpec>,
    _flags: c_int,
) -> c_int {
    let change = changed_times(times);
    errno::answer(at(directory, path, |at| {
        changes::change(&at.resolve()?, change?)
    }))
}

/// Like [`utimensat`], in microseconds.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn utimes(path: Text, times: In<TimeVal>) -> c_int {
    let seconds = |place: usize| match times.is_null() {
        true => Some(now()),
        false => Some(times.slice(2)[place].tv_sec),
    };
    let change = Change::Times {
        read: seconds(0),
        written: seconds(1),
    };
    with(path, |at| changes::change(&at.resolve()?, change))
}

/// Like [`utimensat`], of what a descriptor means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn futimens(descriptor: c_int, times: In<TimeSpec>) -> c_int {
    match changed_times(times) {
        Ok(change) => change_open(descriptor, change),
        Err(error) => errno::answer(Err(error)),
    }
}

/// Returns what two times say.
fn changed_times(times: In<TimeSpec>) -> Result<Change, Errno> {
    let time = |place: usize| match times.slice(2).get(place) {
        None => Ok(Some(now())),
        Some(time) if time.tv_nsec == UTIME_NOW => Ok(Some(now())),
        Some(time) if time.tv_nsec == UTIME_OMIT => Ok(None),
        Some(time) => time.duration().map(|_| Some(time.tv_sec)),
    };
    Ok(Change::Times {
        read: time(0)?,
        written: time(1)?,
    })
}

fn now() -> i64 {
    i64::try_from(wall().as_secs()).unwrap_or(i64::MAX)
}

/// Makes a file shorter, or longer by zeros.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ftruncate(descriptor: c_int, len: i64) -> c_int {
    let act = || {
        let description = descriptor::get(descriptor)?;
        let file = description.object().as_file().ok_or(Errno(EINVAL))?;
        file.truncate(len).map(|()| 0)
    };
    errno::answer(act())
}

/// Like [`ftruncate`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ftruncate64(descriptor: c_int, len: i64) -> c_int {
    ftruncate(descriptor, len)
}

/// Makes durable what was written: all of the volume that the file is on.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fsync(descriptor: c_int) -> c_int {
    let act = || {
        let description = descriptor::get(descriptor)?;
        let file = description.object().as_file().ok_or(Errno(EINVAL))?;
        file.sync().map(|()| 0)
    };
    errno::answer(act())
}

/// Like [`fsync`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    fsync(descriptor)
}

/// Locks a file against other descriptions of it, or unlocks it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn flock(descriptor: c_int, operation: c_int) -> c_int {
    let act = || {
        let description = descriptor::get(descriptor)?;
        let file = description.object().as_file().ok_or(Errno(EINVAL))?;
        let waits = operation & LOCK_NB == 0;
        match operation & !LOCK_NB {
            LOCK_SH => file.lock(Mode::Shared, waits)?,
            LOCK_EX => file.lock(Mode::Exclusive, waits)?,
            LOCK_UN => file.unlock(),
            _ => return Err(Errno(EINVAL)),
        }
        Ok(0)
    };
    errno::answer(act())
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
