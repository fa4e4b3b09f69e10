//! Making, removing and renaming what paths name. What is wrong with a path is told first; what lies
//! in the image cannot be changed.

use super::volume::{self, Change};
use super::{Errno, Node, Stored, resolve_from};
use crate::libc::errno::{EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, EPERM, EROFS, EXDEV};

/// A path, and the directory from which a relative one is taken.
#[derive(Clone, Copy, Debug)]
pub(in crate::libc) struct At<'a> {
    pub(in crate::libc) base: &'a str,
    pub(in crate::libc) path: &'a [u8],
}

/// A name in a directory of a volume, whether or not there is something of that name.
struct Place<'a> {
    directory: Stored,
    name: &'a str,
}

impl<'a> At<'a> {
    /// Returns what it names.
    pub(in crate::libc) fn resolve(self) -> Result<Node, Errno> {
        resolve_from(self.base, self.path)
    }

    /// Returns the directory that its last part is in, and that part.
    fn place(self) -> Result<Place<'a>, Errno> {
        let text = core::str::from_utf8(self.path).map_err(|_| Errno(EINVAL))?;
        let text = text.trim_end_matches('/');
        let (directory, name) = match text.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some((directory, name)) => (directory, name),
            None => (".", text),
        };
        match (resolve_from(self.base, directory.as_bytes())?, name) {
            // The root is the image's.
            (_, "") if !self.path.is_empty() => Err(Errno(EROFS)),
            (_, "") => Err(Errno(ENOENT)),
            (_, "." | "..") => Err(Errno(EINVAL)),
            (Node::Stored(directory), name) if directory.is_directory => {
                Ok(Place { directory, name })
            }
            (Node::Directory(_), _) => Err(Errno(EROFS)),
            (Node::Stored(_) | Node::File(_), _) => Err(Errno(ENOTDIR)),
        }
    }

    /// Fails if it names something.
    fn must_be_new(self) -> Result<(), Errno> {
        match self.resolve() {
            Ok(_) => Err(Errno(EEXIST)),
            Err(Errno(ENOENT)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Makes an empty file, which must not be there.
pub(in crate::libc) fn create(at: At<'_>, permissions: u16) -> Result<Node, Errno> {
    if at.path.ends_with(b"/") {
        return Err(Errno(EISDIR));
    }
    let Place { directory, name } = at.place()?;
    let status = volume::with(directory.volume, |volume| {
        let system = volume.system()?;
        system.create(directory.inode, name, permissions)
    })?;
    Ok(directory.child(name, &status))
}

/// Makes a directory.
pub(in crate::libc) fn make_directory(at: At<'_>, permissions: u16) -> Result<(), Errno> {
    at.must_be_new()?;
    let Place { directory, name } = at.place()?;
    volume::with(directory.volume, |volume| {
        let system = volume.system()?;
        system.make_directory(directory.inode, name, permissions)
    })
}

/// Removes a name of a file.
pub(in crate::libc) fn remove(at: At<'_>) -> Result<(), Errno> {
    if at.resolve()?.is_directory() {
        // `EISDIR` on Linux, whatever POSIX says.
        return at.place().and(Err(Errno(EISDIR)));
    }
    let Place { directory, name } = at.place()?;
    volume::with(directory.volume, |volume| {
        let nameless = volume.system()?.remove(directory.inode, name)?;
        volume.unname(nameless)
    })
}

/// Removes an empty directory.
pub(in crate::libc) fn remove_directory(at: At<'_>) -> Result<(), Errno> {
    let node = at.resolve()?;
    if !node.is_directory() {
        return at.place().and(Err(Errno(ENOTDIR)));
    }
    if is_root_of_volume(&node) {
        return Err(Errno(EBUSY));
    }
    let Place { directory, name } = at.place()?;
    volume::with(directory.volume, |volume| {
        let nameless = volume.system()?.remove_directory(directory.inode, name)?;
        volume.unname(nameless)
    })
}

/// Renames a file or directory, and replaces what has the name.
pub(in crate::libc) fn rename(from: At<'_>, to: At<'_>) -> Result<(), Errno> {
    let node = from.resolve()?;
    if is_root_of_volume(&node) {
        return Err(Errno(EBUSY));
    }
    let (old, new) = (from.place()?, to.place()?);
    if old.directory.volume != new.directory.volume {
        return Err(Errno(EXDEV));
    }
    if to.path.ends_with(b"/") && !node.is_directory() {
        return Err(Errno(ENOTDIR));
    }
    volume::with(old.directory.volume, |volume| {
        let system = volume.system()?;
        let nameless = system.rename(
            (old.directory.inode, old.name),
            (new.directory.inode, new.name),
        )?;
        volume.unname(nameless)
    })
}

/// Gives a file another name.
pub(in crate::libc) fn link(from: At<'_>, to: At<'_>) -> Result<(), Errno> {
    let target = from.resolve()?;
    to.must_be_new()?;
    let Place { directory, name } = to.place()?;
    match target {
        Node::Stored(file) if file.is_directory => Err(Errno(EPERM)),
        Node::Stored(file) if file.volume == directory.volume => {
            volume::with(file.volume, |volume| {
                volume.system()?.link(file.inode, directory.inode, name)
            })
        }
        Node::Stored(_) | Node::File(_) | Node::Directory(_) => Err(Errno(EXDEV)),
    }
}

/// Refuses to make a file of a kind that there is not.
pub(in crate::libc) fn refuse(at: At<'_>) -> Result<(), Errno> {
    at.must_be_new()?;
    at.place().and(Err(Errno(EPERM)))
}

/// Changes what is known of a file or directory.
pub(in crate::libc) fn change(node: &Node, change: Change) -> Result<(), Errno> {
    match node {
        Node::Stored(stored) => volume::with(stored.volume, |volume| {
            volume.system()?.change(stored.inode, change)
        }),
        Node::File(_) | Node::Directory(_) => Err(Errno(EROFS)),
    }
}

fn is_root_of_volume(node: &Node) -> bool {
    matches!(node, Node::Stored(stored) if !stored.path.contains('/'))
}
