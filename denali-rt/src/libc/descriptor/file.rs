//! Open files and directories of the image.

use super::watch::Watch;
use super::{Kind, Object};
use crate::libc::errno::{EBADF, EINVAL, EISDIR, Errno};
use crate::libc::files::{self, Node};
use crate::net::Readiness;
use crate::sync::GuestCell;
use core::task::Waker;
use denali_abi::convert::u64_to_usize;

/// From where a position is counted (`SEEK_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::libc) enum From {
    Start,
    Here,
    End,
}

/// An open file or directory.
pub(in crate::libc) struct File {
    node: Node,
    position: GuestCell<u64>,
}

impl File {
    pub(in crate::libc) fn new(node: Node) -> Self {
        Self {
            node,
            position: GuestCell::new(0),
        }
    }

    pub(in crate::libc) fn node(&self) -> &Node {
        &self.node
    }

    /// Copies what is there from `position` on. Returns how much that was.
    pub(in crate::libc) fn read_at(&self, position: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let Node::File(file) = self.node else {
            return Err(Errno(EISDIR));
        };
        let rest = files::contents(file).get(u64_to_usize(position)..);
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    /// Moves the position. Returns where it is then.
    pub(in crate::libc) fn seek(&self, offset: i64, from: From) -> Result<i64, Errno> {
        let len = match self.node {
            Node::File(file) => files::contents(file).len(),
            Node::Directory(_) => 0,
        };
        self.position.with(|position| {
            let base = match from {
                From::Start => 0,
                From::Here => *position,
                From::End => denali_abi::convert::usize_to_u64(len),
            };
            let sought = base.checked_add_signed(offset).ok_or(Errno(EINVAL))?;
            let told = i64::try_from(sought).map_err(|_| Errno(EINVAL))?;
            *position = sought;
            Ok(told)
        })
    }
}

impl Object for File {
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.position.with(|position| {
            let count = self.read_at(*position, buffer)?;
            *position += denali_abi::convert::usize_to_u64(count);
            Ok(count)
        })
    }

    fn try_write(&self, _bytes: &[u8]) -> Result<usize, Errno> {
        Err(Errno(EBADF))
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
        match self.node {
            Node::File(_) => Kind::Regular,
            Node::Directory(_) => Kind::Directory,
        }
    }
}
