//! A file system in memory.

use super::{Change, Child, Errno, FileSystem, Status};
use crate::libc::errno::{EEXIST, EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use denali_abi::convert::{u64_to_usize, usize_to_u64};

/// The volumes of all tests in this crate: they share one process.
pub(in crate::libc) const VOLUMES: &[&str] = &["data", "other"];

/// The first directory.
const ROOT: u64 = 1;

/// Longest file.
const LEN_MAX: usize = 1 << 20;

enum What {
    File(Vec<u8>),
    Directory(BTreeMap<String, u64>),
}

struct Inode {
    what: What,
    permissions: u16,
    links: u64,
    times: [i64; 3],
}

/// Files in memory, by their numbers.
pub(in crate::libc) struct FakeFiles {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
}

/// Opens an empty one, whatever its name.
pub(in crate::libc) fn open(_name: &str) -> Result<Box<dyn FileSystem>, Errno> {
    let mut files = FakeFiles {
        inodes: BTreeMap::new(),
        next: ROOT,
    };
    files.make(What::Directory(BTreeMap::new()), 0o755);
    Ok(Box::new(files))
}

impl FakeFiles {
    fn make(&mut self, what: What, permissions: u16) -> u64 {
        let inode = Inode {
            what,
            permissions,
            links: 1,
            times: [0; 3],
        };
        self.inodes.insert(self.next, inode);
        self.next += 1;
        self.next - 1
    }

    fn inode(&mut self, inode: u64) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&inode).ok_or(Errno(ENOENT))
    }

    fn bytes(&mut self, inode: u64) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.inode(inode)?.what {
            What::File(bytes) => Ok(bytes),
            What::Directory(_) => Err(Errno(EISDIR)),
        }
    }

    fn names(&mut self, directory: u64) -> Result<&mut BTreeMap<String, u64>, Errno> {
        match &mut self.inode(directory)?.what {
            What::Directory(names) => Ok(names),
            What::File(_) => Err(Errno(ENOTDIR)),
        }
    }

    fn add(&mut self, directory: u64, name: &str, what: What, bits: u16) -> Result<u64, Errno> {
        if self.names(directory)?.contains_key(name) {
            return Err(Errno(EEXIST));
        }
        let inode = self.make(what, bits);
        self.names(directory)?.insert(name.into(), inode);
        Ok(inode)
    }

    /// Takes a name away from what has it. Returns that, if it was its last one.
    fn unname(&mut self, inode: u64) -> Result<Option<u64>, Errno> {
        let links = &mut self.inode(inode)?.links;
        *links -= 1;
        Ok((*links == 0).then_some(inode))
    }
}

impl FileSystem for FakeFiles {
    fn root(&self) -> u64 {
        ROOT
    }

    fn status(&mut self, inode: u64) -> Result<Status, Errno> {
        let found = self.inode(inode)?;
        let len = match &found.what {
            What::File(bytes) => bytes.len(),
            What::Directory(_) => 0,
        };
        Ok(Status {
            inode,
            is_directory: matches!(found.what, What::Directory(_)),
            permissions: found.permissions,
            links: found.links,
            len: usize_to_u64(len),
            sectors: 0,
            times: found.times,
        })
    }

    fn lookup(&mut self, directory: u64, name: &str) -> Result<Option<Status>, Errno> {
        let found = self.names(directory)?.get(name).copied();
        found.map(|inode| self.status(inode)).transpose()
    }

    fn list(&mut self, directory: u64) -> Result<Vec<Child>, Errno> {
        let names = self.names(directory)?.clone();
        names
            .into_iter()
            .map(|(name, inode)| {
                let is_directory = self.status(inode)?.is_directory;
                Ok(Child {
                    name,
                    inode,
                    is_directory,
                })
            })
            .collect()
    }

    fn read(&mut self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let rest = self.bytes(inode)?.get(u64_to_usize(at)..);
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&mut self, inode: u64, at: u64, from: &[u8]) -> Result<(), Errno> {
        let (start, end) = (u64_to_usize(at), u64_to_usize(at) + from.len());
        if end > LEN_MAX {
            return Err(Errno(ENOSPC));
        }
        let bytes = self.bytes(inode)?;
        bytes.resize(bytes.len().max(end), 0);
        bytes[start..end].copy_from_slice(from);
        Ok(())
    }

    fn truncate(&mut self, inode: u64, len: u64) -> Result<(), Errno> {
        self.bytes(inode)?.resize(u64_to_usize(len), 0);
        Ok(())
    }

    fn create(&mut self, directory: u64, name: &str, permissions: u16) -> Result<Status, Errno> {
        let inode = self.add(directory, name, What::File(Vec::new()), permissions)?;
        self.status(inode)
    }

    fn make_directory(&mut self, directory: u64, name: &str, bits: u16) -> Result<(), Errno> {
        let what = What::Directory(BTreeMap::new());
        self.add(directory, name, what, bits).map(|_| ())
    }

    fn link(&mut self, inode: u64, directory: u64, name: &str) -> Result<(), Errno> {
        self.names(directory)?.insert(name.into(), inode);
        self.inode(inode)?.links += 1;
        Ok(())
    }

    fn remove(&mut self, directory: u64, name: &str) -> Result<Option<u64>, Errno> {
        let inode = self.names(directory)?.remove(name);
        self.unname(inode.ok_or(Errno(ENOENT))?)
    }

    fn remove_directory(&mut self, directory: u64, name: &str) -> Result<Option<u64>, Errno> {
        let inode = self.names(directory)?.get(name).copied();
        let inode = inode.ok_or(Errno(ENOENT))?;
        if !self.names(inode)?.is_empty() {
            return Err(Errno(ENOTEMPTY));
        }
        self.remove(directory, name)
    }

    fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Result<Option<u64>, Errno> {
        let inode = self.names(from.0)?.remove(from.1).ok_or(Errno(ENOENT))?;
        let replaced = self.names(to.0)?.insert(to.1.into(), inode);
        replaced.map_or(Ok(None), |replaced| self.unname(replaced))
    }

    fn release(&mut self, inode: u64) -> Result<(), Errno> {
        self.inodes.remove(&inode);
        Ok(())
    }

    fn change(&mut self, inode: u64, change: Change) -> Result<(), Errno> {
        let changed = self.inode(inode)?;
        match change {
            Change::Permissions(bits) => changed.permissions = bits,
            Change::Times { read, written } => {
                changed.times[0] = read.unwrap_or(changed.times[0]);
                changed.times[1] = written.unwrap_or(changed.times[1]);
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}
