//! `dirent.h`: what is in a directory.

use super::descriptor;
use super::errno::{self, EBADF, ENOTDIR, Errno};
use super::fcntl;
use super::files::Entry;
use super::memory::{Out, Text};
use crate::sync::GuestCell;
use alloc::vec::Vec;
use core::ffi::c_int;

/// Longest name of an entry, its NUL included.
const NAME_MAX: usize = 256;

const DT_DIR: u8 = 4;
const DT_REG: u8 = 8;

/// An entry, as Linux lays it out.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DirEnt {
    d_ino: u64,
    d_off: i64,
    d_reclen: u16,
    d_type: u8,
    d_name: [u8; NAME_MAX],
}

/// A directory that is being read.
#[derive(Debug)]
pub struct Dir {
    descriptor: c_int,
    state: GuestCell<State>,
}

#[derive(Debug)]
struct State {
    entries: Vec<Entry>,
    next: usize,
    /// The entry told last, which C code looks at until the next call.
    told: DirEnt,
}

/// Opens a directory to read it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn opendir(path: Text) -> Out<Dir> {
    let descriptor = fcntl::open(path, fcntl::O_DIRECTORY, 0);
    if descriptor < 0 {
        return Out::NULL;
    }
    fdopendir(descriptor)
}

/// Reads the directory that a descriptor means; it is closed with the directory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn fdopendir(descriptor: c_int) -> Out<Dir> {
    let open = || {
        let description = descriptor::get(descriptor)?;
        let file = description.object().as_file().ok_or(Errno(ENOTDIR))?;
        let entries = file.node().list()?;
        let place: Out<Dir> = super::malloc::malloc(size_of::<Dir>()).cast();
        if !place.is_null() {
            place.write(Dir {
                descriptor,
                state: GuestCell::new(State {
                    entries,
                    next: 0,
                    told: DirEnt {
                        d_ino: 0,
                        d_off: 0,
                        d_reclen: 0,
                        d_type: 0,
                        d_name: [0; NAME_MAX],
                    },
                }),
            });
        }
        Ok(place)
    };
    errno::answer(open())
}

/// Returns the next entry, valid until the next call; null at the end.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn readdir(directory: Out<Dir>) -> Out<DirEnt> {
    let Some(directory) = directory.object() else {
        errno::set(EBADF);
        return Out::NULL;
    };
    directory.state.with(|state| {
        let Some(entry) = state.entries.get(state.next) else {
            return Out::NULL;
        };
        state.next += 1;
        let mut name = [0; NAME_MAX];
        let len = entry.name.len().min(NAME_MAX - 1);
        name[..len].copy_from_slice(&entry.name.as_bytes()[..len]);
        state.told = DirEnt {
            d_ino: entry.inode,
            d_off: i64::try_from(state.next).unwrap_or(i64::MAX),
            d_reclen: u16::try_from(size_of::<DirEnt>()).unwrap_or(u16::MAX),
            d_type: match entry.is_directory {
                false => DT_REG,
                true => DT_DIR,
            },
            d_name: name,
        };
        Out::from_raw(&raw mut state.told)
    })
}

/// Like [`readdir`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn readdir64(directory: Out<Dir>) -> Out<DirEnt> {
    readdir(directory)
}

/// Returns the descriptor of a directory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn dirfd(directory: Out<Dir>) -> c_int {
    let descriptor = directory.object().map(|directory| directory.descriptor);
    errno::answer(descriptor.ok_or(Errno(EBADF)))
}

/// Ends the reading of a directory.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn closedir(directory: Out<Dir>) -> c_int {
    let Some(closing) = directory.object() else {
        return errno::answer(Err(Errno(EBADF)));
    };
    let descriptor = closing.descriptor;
    drop(
        closing
            .state
            .with(|state| core::mem::take(&mut state.entries)),
    );
    super::malloc::free(directory.cast());
    super::unistd::close(descriptor)
}
