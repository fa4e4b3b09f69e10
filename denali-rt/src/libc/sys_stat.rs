//! `sys/stat.h`: what a descriptor or a file is.

use super::descriptor::{self, Kind};
use super::errno::{self, Errno};
use super::fcntl::{self, AT_FDCWD};
use super::files::changes::At;
use super::files::{self, Node};
use super::memory::{Out, Text};
use core::ffi::c_int;

/// What is known of a file, as Linux lays it out.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Stat {
    st_dev: u64,
    st_ino: u64,
    st_nlink: u64,
    st_mode: u32,
    st_uid: u32,
    st_gid: u32,
    _padding: u32,
    st_rdev: u64,
    st_size: i64,
    st_blksize: i64,
    st_blocks: i64,
    /// Seconds and nanoseconds of when it was last read, written and changed.
    times: [i64; 6],
    _reserved: [i64; 3],
}

const _: () = assert!(size_of::<Stat>() == 144);

/// Linux's `AT_EMPTY_PATH`: an empty path means the descriptor itself.
const AT_EMPTY_PATH: c_int = 0x1000;

/// Returns what there is to say of something of this type and size. Times are those of nobody: the
/// beginning of 1970.
fn status(mode: u32, inode: u64, size: usize) -> Stat {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    Stat {
        st_dev: 1,
        st_ino: inode,
        st_nlink: 1,
        st_mode: mode,
        st_uid: 0,
        st_gid: 0,
        _padding: 0,
        st_rdev: 0,
        st_size: size,
        st_blksize: 4096,
        st_blocks: size.cast_unsigned().div_ceil(512).cast_signed(),
        times: [0; 6],
        _reserved: [0; 3],
    }
}

/// Returns what there is to say of a file or directory. Those of the image have no times.
fn of_node(node: &Node) -> Result<Stat, Errno> {
    let (device, inode) = node.identity();
    let found = match node {
        Node::File(file) => status(0o100_444, inode, files::contents(*file).len()),
        Node::Directory(_) => status(0o040_555, inode, 0),
        Node::Stored(stored) => {
            let found = files::with_volume(stored.volume, |volume| {
                volume.system()?.status(stored.inode)
            })?;
            of_stored(&found)
        }
    };
    Ok(Stat {
        st_dev: device,
        ..found
    })
}

/// Returns what there is to say of something on a volume.
fn of_stored(found: &files::Status) -> Stat {
    let kind = match found.is_directory {
        true => 0o040_000,
        false => 0o100_000,
    };
    let [read, written, changed] = found.times;
    let len = denali_abi::convert::u64_to_usize(found.len);
    Stat {
        st_nlink: found.links,
        st_blocks: i64::try_from(found.sectors).unwrap_or(i64::MAX),
        times: [read, 0, written, 0, changed, 0],
        ..status(kind | u32::from(found.permissions), found.inode, len)
    }
}

/// Tells what a descriptor is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fstat(descriptor: c_int, result: Out<Stat>) -> c_int {
    let tell = || {
        let description = descriptor::get(descriptor)?;
        let object = description.object();
        // The type in octal digits 5 and 6, as in `S_IFMT`.
        let kind = match object.kind() {
            Kind::CharacterDevice => 0o020_000,
            Kind::Pipe => 0o010_000,
            Kind::Socket => 0o140_000,
            Kind::Regular | Kind::Directory | Kind::Anonymous => 0,
        };
        let of_descriptor = || {
            let inode = u64::from(descriptor.cast_unsigned()) + 1;
            status(kind | 0o600, inode, 0)
        };
        result.write(match object.as_file() {
            Some(file) => of_node(file.node())?,
            None => of_descriptor(),
        });
        Ok(0)
    };
    errno::answer(tell())
}

/// Like [`fstat`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fstat64(descriptor: c_int, result: Out<Stat>) -> c_int {
    fstat(descriptor, result)
}

/// Tells what a file or directory is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn stat(path: Text, result: Out<Stat>) -> c_int {
    fstatat64(AT_FDCWD, path, result, 0)
}

/// Like [`stat`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn stat64(path: Text, result: Out<Stat>) -> c_int {
    stat(path, result)
}

/// Like [`stat`]: there are no symbolic links.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lstat(path: Text, result: Out<Stat>) -> c_int {
    stat(path, result)
}

/// Like [`lstat`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lstat64(path: Text, result: Out<Stat>) -> c_int {
    stat(path, result)
}

/// Like [`stat`], a relative path from the directory that a descriptor means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fstatat64(
    directory: c_int,
    path: Text,
    result: Out<Stat>,
    flags: c_int,
) -> c_int {
    if path.bytes().is_empty() && flags & AT_EMPTY_PATH != 0 {
        return fstat(directory, result);
    }
    let tell = || {
        let base = fcntl::base(directory, path)?;
        let path = path.bytes();
        result.write(of_node(&At { base: &base, path }.resolve()?)?);
        Ok(0)
    };
    errno::answer(tell())
}
