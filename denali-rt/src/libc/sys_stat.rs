//! `sys/stat.h`: what a descriptor is. There are no files.

use super::descriptor::{self, Kind};
use super::errno::{self, ENOENT, Errno};
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
    _times: [i64; 6],
    _reserved: [i64; 3],
}

const _: () = assert!(size_of::<Stat>() == 144);

/// Tells what a descriptor is.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fstat(descriptor: c_int, result: Out<Stat>) -> c_int {
    errno::answer(descriptor::get(descriptor).map(|description| {
        // The type in octal digits 5 and 6, as in `S_IFMT`.
        let kind = match description.object().kind() {
            Kind::CharacterDevice => 0o020_000,
            Kind::Pipe => 0o010_000,
            Kind::Socket => 0o140_000,
            Kind::Anonymous => 0,
        };
        result.write(Stat {
            st_dev: 1,
            st_ino: u64::from(descriptor.cast_unsigned()) + 1,
            st_nlink: 1,
            st_mode: kind | 0o600,
            st_uid: 0,
            st_gid: 0,
            _padding: 0,
            st_rdev: 0,
            st_size: 0,
            st_blksize: 4096,
            st_blocks: 0,
            _times: [0; 6],
            _reserved: [0; 3],
        });
        0
    }))
}

/// Like [`fstat`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fstat64(descriptor: c_int, result: Out<Stat>) -> c_int {
    fstat(descriptor, result)
}

/// Fails: there are no files.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn stat(_path: Text, _result: Out<Stat>) -> c_int {
    errno::answer(Err(Errno(ENOENT)))
}

/// Like [`stat`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn stat64(path: Text, result: Out<Stat>) -> c_int {
    stat(path, result)
}

/// Like [`stat`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn lstat(path: Text, result: Out<Stat>) -> c_int {
    stat(path, result)
}
