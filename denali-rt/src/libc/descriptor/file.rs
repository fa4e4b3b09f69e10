//! Open files and directories.

use super::lock::{Lock, Mode};
use super::watch::Watch;
use super::{Kind, Object};
use crate::libc::errno::{EBADF, EFBIG, EINVAL, EISDIR, EROFS, Errno};
use crate::libc::files::{self, Node, Stored, with_volume};
use crate::net::Readiness;
use crate::sync::Mutex;
use core::task::Waker;
use denali_abi::convert::{u64_to_usize, usize_to_u64};

/// From where a position is counted (`SEEK_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::libc) enum From {
    Start,
    Here,
    End,
}

/// What an open file may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::libc) struct Access {
    pub(in crate::libc) reads: bool,
    pub(in crate::libc) writes: bool,
    /// Whether all writes go to the end.
    pub(in crate::libc) appends: bool,
    /// Whether a write is durable when it returns.
    pub(in crate::libc) is_synchronous: bool,
}

/// An open file or directory.
pub(in crate::libc) struct File {
    node: Node,
    access: Access,
    /// Held while something is read or written there, which may wait for a disk.
    position: Mutex<u64>,
    lock: Lock,
}

impl File {
    /// Opens what a path names.
    pub(in crate::libc) fn new(node: Node, access: Access) -> Result<Self, Errno> {
        if let Node::Stored(Stored { volume, inode, .. }) = node {
            with_volume(volume, |volume| {
                volume.hold(inode);
                Ok(())
            })?;
        }
        Ok(Self {
            node,
            access,
            position: Mutex::new(0),
            lock: Lock::default(),
        })
    }

    pub(in crate::libc) fn node(&self) -> &Node {
        &self.node
    }

    pub(in crate::libc) fn access(&self) -> Access {
        self.access
    }

    /// Copies what is there from `position` on. Returns how much that was.
    pub(in crate::libc) fn read_at(&self, position: u64, to: &mut [u8]) -> Result<usize, Errno> {
        if !self.access.reads {
            return Err(Errno(EBADF));
        }
        match &self.node {
            Node::File(file) => {
                let rest = files::contents(*file).get(u64_to_usize(position)..);
                let rest = rest.unwrap_or_default();
                let count = rest.len().min(to.len());
                to[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            Node::Stored(file) if !file.is_directory => with_volume(file.volume, |volume| {
                volume.system()?.read(file.inode, position, to)
            }),
            Node::Stored(_) | Node::Directory(_) => Err(Errno(EISDIR)),
        }
    }

    /// Writes to where `position` is, or to the end of a file that is appended to. Returns where that
    /// ends.
    pub(in crate::libc) fn write_at(&self, position: u64, from: &[u8]) -> Result<u64, Errno> {
        let file = self.writable(EBADF)?;
        with_volume(file.volume, |volume| {
            let system = volume.system()?;
            let at = match self.access.appends {
                true => system.status(file.inode)?.len,
                false => position,
            };
            let end = at.checked_add(usize_to_u64(from.len()));
            let end = end.filter(|end| i64::try_from(*end).is_ok());
            let end = end.ok_or(Errno(EFBIG))?;
            system.write(file.inode, at, from)?;
            if self.access.is_synchronous {
                system.sync()?;
            }
            Ok(end)
        })
    }

    /// Makes it shorter, or longer by zeros.
    pub(in crate::libc) fn truncate(&self, len: i64) -> Result<(), Errno> {
        let len = u64::try_from(len).map_err(|_| Errno(EINVAL))?;
        let file = self.writable(EINVAL)?;
        with_volume(file.volume, |volume| {
            volume.system()?.truncate(file.inode, len)
        })
    }

    /// Makes durable what was written; what lies in the image is.
    pub(in crate::libc) fn sync(&self) -> Result<(), Errno> {
        match &self.node {
            Node::Stored(stored) => with_volume(stored.volume, |volume| volume.system()?.sync()),
            Node::File(_) | Node::Directory(_) => Ok(()),
        }
    }

    /// Locks it against other descriptions, or fails with `EAGAIN` instead of waiting.
    pub(in crate::libc) fn lock(&self, mode: Mode, waits: bool) -> Result<(), Errno> {
        self.lock.take(self.node.identity(), mode, waits)
    }

    /// Lets others lock it.
    pub(in crate::libc) fn unlock(&self) {
        self.lock.release(self.node.identity());
    }

    /// Returns where on a volume it lies; `otherwise` if it is not open for writing.
    fn writable(&self, otherwise: core::ffi::c_int) -> Result<&Stored, Errno> {
        match &self.node {
            _ if !self.access.writes => Err(Errno(otherwise)),
            Node::Stored(file) => Ok(file),
            Node::File(_) | Node::Directory(_) => Err(Errno(EROFS)),
        }
    }

    /// Moves the position. Returns where it is then.
    pub(in crate::libc) fn seek(&self, offset: i64, from: From) -> Result<i64, Errno> {
        let mut position = self.position.lock();
        let base = match from {
            From::Start => 0,
            From::Here => *position,
            From::End => self.len()?,
        };
        let sought = base.checked_add_signed(offset).ok_or(Errno(EINVAL))?;
        let told = i64::try_from(sought).map_err(|_| Errno(EINVAL))?;
        *position = sought;
        Ok(told)
    }

    fn len(&self) -> Result<u64, Errno> {
        match &self.node {
            Node::File(file) => Ok(usize_to_u64(files::contents(*file).len())),
            Node::Directory(_) => Ok(0),
            Node::Stored(stored) => with_volume(stored.volume, |volume| {
                Ok(volume.system()?.status(stored.inode)?.len)
            }),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.unlock();
        if let Node::Stored(stored) = &self.node {
            // A failed disk says so at the next call.
            with_volume(stored.volume, |volume| volume.let_go(stored.inode)).unwrap_or_default();
        }
    }
}

impl Object for File {
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut position = self.position.lock();
        let count = self.read_at(*position, buffer)?;
        *position += usize_to_u64(count);
        Ok(count)
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut position = self.position.lock();
        *position = self.write_at(*position, bytes)?;
        Ok(bytes.len())
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            readable: true,
            writable: true,
            ..Readiness::default()
        }
    }

    fn watch(&self, _waker: &Waker) -> Option<Watch> {
        None
    }

    fn as_file(&self) -> Option<&File> {
        Some(self)
    }

    fn kind(&self) -> Kind {
        match self.node.is_directory() {
            true => Kind::Directory,
            false => Kind::Regular,
        }
    }
}
