//! File systems on volumes: each is a directory of the root, and can be written.
//!
//! What a file system is made of is behind [`FileSystem`]; here is which are there, and which of their
//! files are open. One is opened at its first use, and used by one thread at a time.

use super::{Entry, Errno};
use crate::libc::errno::ENOENT;
use crate::sync::{GuestCell, Mutex};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use denali_abi::block::VOLUMES_MAX;

/// What is known of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its number.
    pub inode: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its permissions.
    pub permissions: u16,
    /// The names it has.
    pub links: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What it takes of the volume, in units of 512 bytes.
    pub sectors: u64,
    /// When it was last read, written and changed, in seconds since 1970.
    pub times: [i64; 3],
}

/// What is in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its name.
    pub name: String,
    /// Its number.
    pub inode: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// What to change about a file or directory besides its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its permissions.
    Permissions(u16),
    /// When it was last read and written, in seconds since 1970.
    Times {
        /// When it was read, if that changes.
        read: Option<i64>,
        /// When it was written, if that changes.
        written: Option<i64>,
    },
}

/// A file system. Files and directories have numbers; one that has lost its last name stays until
/// [`release`](Self::release).
///
/// Where something is removed, `Some` says that it was its last name.
pub trait FileSystem: Send {
    /// Returns the number of its first directory.
    fn root(&self) -> u64;

    /// Tells what a number stands for.
    ///
    /// # Errors
    ///
    /// As those of all calls here: the error numbers of the like-named call of POSIX.
    fn status(&mut self, inode: u64) -> Result<Status, Errno>;

    /// Finds a name in a directory.
    ///
    /// # Errors
    ///
    /// As those of `stat`, but for a name that is not there.
    fn lookup(&mut self, directory: u64, name: &str) -> Result<Option<Status>, Errno>;

    /// Lists a directory, without itself and its parent.
    ///
    /// # Errors
    ///
    /// As those of `readdir`.
    fn list(&mut self, directory: u64) -> Result<Vec<Child>, Errno>;

    /// Reads from a file. Returns how much was there.
    ///
    /// # Errors
    ///
    /// As those of `pread`.
    fn read(&mut self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno>;

    /// Writes to a file, all of it.
    ///
    /// # Errors
    ///
    /// As those of `pwrite`.
    fn write(&mut self, inode: u64, at: u64, from: &[u8]) -> Result<(), Errno>;

    /// Makes a file shorter, or longer by zeros.
    ///
    /// # Errors
    ///
    /// As those of `ftruncate`.
    fn truncate(&mut self, inode: u64, len: u64) -> Result<(), Errno>;

    /// Makes an empty file.
    ///
    /// # Errors
    ///
    /// As those of `open` with `O_CREAT` and `O_EXCL`.
    fn create(&mut self, directory: u64, name: &str, permissions: u16) -> Result<Status, Errno>;

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// As those of `mkdir`.
    fn make_directory(&mut self, directory: u64, name: &str, permissions: u16)
    -> Result<(), Errno>;

    /// Gives a file another name.
    ///
    /// # Errors
    ///
    /// As those of `link`.
    fn link(&mut self, inode: u64, directory: u64, name: &str) -> Result<(), Errno>;

    /// Removes a name of a file.
    ///
    /// # Errors
    ///
    /// As those of `unlink`.
    fn remove(&mut self, directory: u64, name: &str) -> Result<Option<u64>, Errno>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// As those of `rmdir`.
    fn remove_directory(&mut self, directory: u64, name: &str) -> Result<Option<u64>, Errno>;

    /// Renames, and replaces what has the name.
    ///
    /// # Errors
    ///
    /// As those of `rename`.
    fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Result<Option<u64>, Errno>;

    /// Frees what a number without a name takes: nobody has it open any more.
    ///
    /// # Errors
    ///
    /// [`Errno`] of the disk.
    fn release(&mut self, inode: u64) -> Result<(), Errno>;

    /// Changes what is known of a file or directory.
    ///
    /// # Errors
    ///
    /// As those of `chmod` and `utimensat`.
    fn change(&mut self, inode: u64, change: Change) -> Result<(), Errno>;

    /// Makes durable all that was done.
    ///
    /// # Errors
    ///
    /// As those of `fsync`.
    fn sync(&mut self) -> Result<(), Errno>;
}

/// Opens the file system on the volume of a name.
pub type Open = fn(&str) -> Result<Box<dyn FileSystem>, Errno>;

/// The names of volumes with file systems, and how those are opened.
static VOLUMES: GuestCell<(&'static [&'static str], Option<Open>)> = GuestCell::new((&[], None));

static MOUNTS: [Mutex<Volume>; VOLUMES_MAX] = [const { Mutex::new(Volume::new()) }; VOLUMES_MAX];

/// Makes volumes known, by their names.
pub fn provide(names: &'static [&'static str], open: Open) {
    VOLUMES.with(|volumes| *volumes = (names, Some(open)));
}

/// A volume with a file system.
pub struct Volume {
    system: Option<Box<dyn FileSystem>>,
    /// What is open.
    held: BTreeMap<u64, Held>,
}

/// A file or directory that is open.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// How often.
    count: usize,
    /// Whether it has lost its last name.
    is_nameless: bool,
}

impl Volume {
    const fn new() -> Self {
        Self {
            system: None,
            held: BTreeMap::new(),
        }
    }

    /// Returns the file system.
    pub(in crate::libc) fn system(&mut self) -> Result<&mut dyn FileSystem, Errno> {
        Ok(&mut **self.system.as_mut().ok_or(Errno(ENOENT))?)
    }

    /// Notes that something has been opened.
    pub(in crate::libc) fn hold(&mut self, inode: u64) {
        self.held.entry(inode).or_default().count += 1;
    }

    /// Notes that something has been closed.
    pub(in crate::libc) fn let_go(&mut self, inode: u64) -> Result<(), Errno> {
        let Some(held) = self.held.get_mut(&inode) else {
            return Ok(());
        };
        held.count -= 1;
        let Held { count, is_nameless } = *held;
        if count > 0 {
            return Ok(());
        }
        self.held.remove(&inode);
        match is_nameless {
            true => self.system()?.release(inode),
            false => Ok(()),
        }
    }

    /// Notes that something has lost its last name.
    pub(in crate::libc) fn unname(&mut self, inode: Option<u64>) -> Result<(), Errno> {
        let Some(inode) = inode else {
            return Ok(());
        };
        match self.held.get_mut(&inode) {
            Some(held) => {
                held.is_nameless = true;
                Ok(())
            }
            None => self.system()?.release(inode),
        }
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl From<Child> for Entry {
    fn from(child: Child) -> Self {
        Self {
            name: child.name,
            inode: child.inode,
            is_directory: child.is_directory,
        }
    }
}

fn names() -> &'static [&'static str] {
    VOLUMES.with(|(names, _)| *names)
}

/// Returns the place of the volume of this name.
pub(super) fn named(name: &str) -> Option<usize> {
    names().iter().position(|known| *known == name)
}

/// Removes from the root's entries what volumes hide.
pub(super) fn hide(entries: &mut Vec<Entry>) {
    entries.retain(|entry| named(&entry.name).is_none());
}

/// Returns the volumes as entries of the root.
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    (1..).zip(names()).map(|(inode, name)| Entry {
        name: (*name).into(),
        inode,
        is_directory: true,
    })
}

/// Does something with a volume, which is opened if it was not before.
pub(in crate::libc) fn with<R>(
    place: usize,
    f: impl FnOnce(&mut Volume) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let mut volume = MOUNTS.get(place).ok_or(Errno(ENOENT))?.lock();
    if volume.system.is_none() {
        let (names, open) = VOLUMES.with(|volumes| *volumes);
        let (name, open) = names.get(place).zip(open).ok_or(Errno(ENOENT))?;
        volume.system = Some(open(name)?);
    }
    f(&mut volume)
}
