//! The tree of files: those packed into the image, and a directory of the root for each volume that
//! has a file system.
//!
//! | file         | what                                                   |
//! |--------------|--------------------------------------------------------|
//! | `packed.rs`  | files of the image                                     |
//! | `volume.rs`  | file systems on volumes                                |
//! | `changes.rs` | making, removing and renaming                          |
//! | `fake.rs`    | a file system in memory, for tests                     |
//!
//! A program with `std` is given both by `denali-std`. What lies in the image is never written: calls
//! that would change it fail with `EROFS`. There are no symbolic links.

pub(super) mod changes;
#[cfg(test)]
mod fake;
mod packed;
mod volume;

pub use super::errno::Errno;
pub(super) use packed::contents;
pub use packed::{Packed, provide};
pub(super) use volume::with as with_volume;
pub use volume::{Change, Child, FileSystem, Open, Status, Volume, provide as provide_volumes};

use super::errno::{ENOENT, ENOTDIR};
use crate::sync::GuestCell;
use alloc::string::String;
use alloc::vec::Vec;

/// The working directory, without slashes at its ends.
static WORKING_DIRECTORY: GuestCell<String> = GuestCell::new(String::new());

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A file of the image, by its place among all.
    File(usize),
    /// A directory of the image, by its path without slashes at its ends; the root's is empty.
    Directory(String),
    /// A file or directory on a volume.
    Stored(Stored),
}

/// A file or directory on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The volume, by its place among all.
    pub(super) volume: usize,
    pub(super) inode: u64,
    pub(super) is_directory: bool,
    /// Its path when it was found, without slashes at its ends.
    path: String,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) inode: u64,
    pub(super) is_directory: bool,
}

impl Node {
    pub(super) fn is_directory(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Directory(_) => true,
            Self::Stored(stored) => stored.is_directory,
        }
    }

    /// Returns its path without the leading slash.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::File(place) => packed::path(*place),
            Self::Directory(path) => path,
            Self::Stored(stored) => &stored.path,
        }
    }

    /// Returns the number of what it lies on, and its number there, which nothing else there has.
    pub(super) fn identity(&self) -> (u64, u64) {
        let device = match self {
            Self::Stored(stored) => denali_abi::convert::usize_to_u64(stored.volume) + 2,
            Self::File(_) | Self::Directory(_) => 1,
        };
        (device, packed::inode(self))
    }

    /// Returns what it contains, a directory.
    pub(super) fn list(&self) -> Result<Vec<Entry>, Errno> {
        match self {
            Self::File(_) => Err(Errno(ENOTDIR)),
            Self::Directory(path) => {
                let mut entries = packed::list(path);
                if path.is_empty() {
                    volume::hide(&mut entries);
                    entries.extend(volume::entries());
                }
                Ok(entries)
            }
            Self::Stored(stored) => {
                with_volume(stored.volume, |volume| volume.system()?.list(stored.inode))
                    .map(|children| children.into_iter().map(Entry::from).collect())
            }
        }
    }

    /// Returns what is called `name` in it, a directory.
    fn child(&self, name: &str) -> Result<Option<Self>, Errno> {
        match self {
            Self::File(_) => Err(Errno(ENOTDIR)),
            Self::Directory(path) => match volume::named(name).filter(|_| path.is_empty()) {
                Some(volume) => {
                    let inode = with_volume(volume, |volume| Ok(volume.system()?.root()))?;
                    Ok(Some(Self::Stored(Stored {
                        volume,
                        inode,
                        is_directory: true,
                        path: name.into(),
                    })))
                }
                None => Ok(packed::node(&join(path, name))),
            },
            Self::Stored(stored) => {
                let found = with_volume(stored.volume, |volume| {
                    volume.system()?.lookup(stored.inode, name)
                })?;
                Ok(found.map(|status| stored.child(name, &status)))
            }
        }
    }
}

impl Stored {
    fn child(&self, name: &str, status: &Status) -> Node {
        Node::Stored(Self {
            volume: self.volume,
            inode: status.inode,
            is_directory: status.is_directory,
            path: join(&self.path, name),
        })
    }
}

/// Returns what `path` names; a relative one is taken from the working directory.
pub(super) fn resolve(path: &[u8]) -> Result<Node, Errno> {
    resolve_from(&working_directory(), path)
}

/// Returns what `path` names, a relative one from the directory `base` on.
pub(super) fn resolve_from(base: &str, path: &[u8]) -> Result<Node, Errno> {
    let text = core::str::from_utf8(path).map_err(|_| Errno(ENOENT))?;
    if text.is_empty() {
        return Err(Errno(ENOENT));
    }
    let base = if text.starts_with('/') { "" } else { base };
    text.split('/').try_fold(absolute(base)?, step)
}

/// Returns what a path from the root names.
fn absolute(path: &str) -> Result<Node, Errno> {
    let root = Node::Directory(String::new());
    path.split('/').try_fold(root, step)
}

/// Follows one part of a path.
fn step(from: Node, part: &str) -> Result<Node, Errno> {
    if !from.is_directory() {
        return Err(Errno(ENOTDIR));
    }
    match part {
        "" | "." => Ok(from),
        ".." => absolute(parent(from.path())),
        name => from.child(name)?.ok_or(Errno(ENOENT)),
    }
}

pub(super) fn working_directory() -> String {
    WORKING_DIRECTORY.with(|directory| directory.clone())
}

/// Makes a directory the one that relative paths begin at.
pub(super) fn set_working_directory(path: &[u8]) -> Result<(), Errno> {
    let node = resolve(path)?;
    if !node.is_directory() {
        return Err(Errno(ENOTDIR));
    }
    let path = String::from(node.path());
    let old = WORKING_DIRECTORY.with(|place| core::mem::replace(place, path));
    drop(old);
    Ok(())
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.into()
    } else {
        alloc::format!("{directory}/{name}")
    }
}

fn parent(directory: &str) -> &str {
    directory.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
pub(super) mod tests;
