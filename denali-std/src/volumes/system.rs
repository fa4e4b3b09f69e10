//! A file system of `rsext4`'s as the C library sees it.

use denali_rt::libc::errno::{
    EBUSY, EDQUOT, EEXIST, EFBIG, EINVAL, EIO, EISDIR, EMLINK, ENOENT, ENOMEM, ENOSPC, ENOTDIR,
    ENOTEMPTY, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS,
};
use denali_rt::libc::files::{Change, Child, Errno, FileSystem, Status};
use denali_rt::{random, time};
use rsext4::{
    BlockIo, DirectoryCursor, DirectoryEntryType, EntropySource, Ext4, Ext4Error, Ext4ErrorKind,
    Ext4Result, Ext4Timestamp, FileName, FilePermissions, InodeFlags, InodeInfo,
    InodeMetadataUpdate, InodeNumber, MountOptions, MountServices, MountedServices,
    MutationContext, NoopObserver, RenameOptions, UnlinkOutcome,
};
use std::string::String;
use std::vec::Vec;

/// Syncs after which what the journal holds is written to its places. Until then it is in memory, too:
/// some ten blocks for each.
const SYNCS_MAX: usize = 32;

/// Changes after which all is made durable, asked for or not: what is not lies in memory.
const CHANGES_MAX: usize = 64;

/// Entries of a directory read at a time.
const ENTRIES: usize = 64;

/// Who makes files: the VM's one user.
const OWNER: MutationContext = MutationContext::new(0, 0, 0, 0);

/// The clock of files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock;

impl rsext4::Clock for Clock {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let now = time::wall();
        let seconds = i64::try_from(now.as_secs()).map_err(|_| Ext4Error::overflow())?;
        Ok(Ext4Timestamp::new(seconds, now.subsec_nanos()))
    }
}

/// Random numbers for `rsext4`.
#[derive(Debug)]
struct Entropy;

impl EntropySource for Entropy {
    fn fill_bytes(&mut self, output: &mut [u8]) -> Ext4Result<()> {
        random::fill(output);
        Ok(())
    }
}

type Mounted<D> = Ext4<D, MountedServices<Entropy, NoopObserver>>;

/// A file system on a disk.
pub(super) struct System<D: BlockIo> {
    ext4: Mounted<D>,
    disk: D,
    /// Since all was durable.
    changes: usize,
    /// Since the journal was emptied.
    syncs: usize,
}

impl<D: BlockIo + Clone> System<D> {
    /// Opens a file system. What its journal holds since a power cut is done.
    pub(super) fn mount(disk: D) -> Ext4Result<Self> {
        Ok(Self {
            ext4: mount(disk.clone())?,
            disk,
            changes: 0,
            syncs: 0,
        })
    }

    /// Takes note of a change.
    fn changed(&mut self) -> Result<(), Errno> {
        self.changes += 1;
        if self.changes < CHANGES_MAX {
            return Ok(());
        }
        self.make_durable().map_err(errno)
    }

    fn make_durable(&mut self) -> Ext4Result<()> {
        self.ext4.sync()?;
        self.changes = 0;
        self.syncs += 1;
        if self.syncs < SYNCS_MAX {
            return Ok(());
        }
        self.checkpoint()
    }

    /// Leaves the disk as one that nobody uses.
    #[cfg(test)]
    pub(super) fn leave(&mut self) {
        self.ext4.unmount().expect("nothing is open");
    }

    /// Writes what the journal holds to its places.
    fn checkpoint(&mut self) -> Ext4Result<()> {
        match self.ext4.unmount() {
            // Something without a name is open: later, then.
            Err(error) if error.kind() == Ext4ErrorKind::Busy => return Ok(()),
            outcome => outcome?,
        }
        self.ext4 = mount(self.disk.clone())?;
        self.syncs = 0;
        Ok(())
    }
}

fn mount<D: BlockIo>(disk: D) -> Ext4Result<Mounted<D>> {
    let services = MountServices::new(Clock, Entropy, NoopObserver);
    Ext4::mount(disk, services, MountOptions::read_write())
}

/// Returns the number that the C library has for an error.
pub(super) fn errno(error: Ext4Error) -> Errno {
    Errno(match error.kind() {
        Ext4ErrorKind::NotFound => ENOENT,
        Ext4ErrorKind::AlreadyExists => EEXIST,
        Ext4ErrorKind::NotDirectory => ENOTDIR,
        Ext4ErrorKind::IsDirectory => EISDIR,
        Ext4ErrorKind::NotEmpty => ENOTEMPTY,
        Ext4ErrorKind::NoSpace => ENOSPC,
        Ext4ErrorKind::NoMemory => ENOMEM,
        Ext4ErrorKind::QuotaExceeded => EDQUOT,
        Ext4ErrorKind::TooManyLinks => EMLINK,
        Ext4ErrorKind::PermissionDenied => EPERM,
        Ext4ErrorKind::ReadOnly => EROFS,
        Ext4ErrorKind::Busy => EBUSY,
        Ext4ErrorKind::InvalidInput => EINVAL,
        Ext4ErrorKind::Overflow => EOVERFLOW,
        Ext4ErrorKind::FileTooLarge => EFBIG,
        Ext4ErrorKind::Unsupported => EOPNOTSUPP,
        _ => EIO,
    })
}

fn number(inode: u64) -> Result<InodeNumber, Errno> {
    InodeNumber::from_u64(inode).map_err(errno)
}

fn name(name: &str) -> Result<FileName<'_>, Errno> {
    FileName::new(name.as_bytes()).map_err(|_| Errno(denali_rt::libc::errno::ENAMETOOLONG))
}

fn permissions(bits: u16) -> Result<FilePermissions, Errno> {
    FilePermissions::new(bits).map_err(errno)
}

fn status(info: &InodeInfo) -> Status {
    Status {
        inode: info.number.as_u64(),
        is_directory: info.is_directory(),
        permissions: info.mode & 0o7777,
        links: info.links.into(),
        len: info.size,
        sectors: info.blocks,
        times: [info.atime, info.mtime, info.ctime].map(i64::from),
    }
}

/// Returns what has lost its last name, if it has.
fn nameless(outcome: UnlinkOutcome) -> Option<u64> {
    outcome.requires_reap().then(|| outcome.inode.as_u64())
}

impl<D: BlockIo + Clone + Send> FileSystem for System<D> {
    fn root(&self) -> u64 {
        self.ext4.root_inode().as_u64()
    }

    fn status(&mut self, inode: u64) -> Result<Status, Errno> {
        let found = self.ext4.inode(number(inode)?).map_err(errno)?;
        Ok(status(&found))
    }

    fn lookup(&mut self, directory: u64, called: &str) -> Result<Option<Status>, Errno> {
        let (directory, called) = (number(directory)?, name(called)?);
        let found = self.ext4.lookup_child(directory, called).map_err(errno)?;
        Ok(found.as_ref().map(status))
    }

    fn list(&mut self, directory: u64) -> Result<Vec<Child>, Errno> {
        let directory = number(directory)?;
        let mut reader = self.ext4.open_directory_reader(directory).map_err(errno)?;
        let mut cursor = DirectoryCursor::Start;
        let mut children = Vec::new();
        loop {
            let read = self
                .ext4
                .read_directory_with_reader(&mut reader, cursor, ENTRIES);
            let entries = read.map_err(errno)?;
            let Some(last) = entries.last() else {
                return Ok(children);
            };
            cursor = last.next_cursor;
            let named = entries
                .into_iter()
                .filter(|entry| entry.name != b"." && entry.name != b"..");
            children.extend(named.map(|entry| Child {
                name: String::from_utf8_lossy(&entry.name).into_owned(),
                inode: entry.inode.as_u64(),
                is_directory: entry.file_type == DirectoryEntryType::Directory,
            }));
        }
    }

    fn read(&mut self, inode: u64, at: u64, to: &mut [u8]) -> Result<usize, Errno> {
        let inode = number(inode)?;
        self.ext4.read_inode(inode, at, to).map_err(errno)
    }

    fn write(&mut self, inode: u64, at: u64, from: &[u8]) -> Result<(), Errno> {
        let inode = number(inode)?;
        self.ext4.write_inode(inode, at, from).map_err(errno)?;
        self.changed()
    }

    fn truncate(&mut self, inode: u64, len: u64) -> Result<(), Errno> {
        let inode = number(inode)?;
        self.ext4.truncate_inode(inode, len).map_err(errno)?;
        self.changed()
    }

    fn create(&mut self, directory: u64, called: &str, bits: u16) -> Result<Status, Errno> {
        let (directory, called) = (number(directory)?, name(called)?);
        let made = self
            .ext4
            .create_regular_file(OWNER, directory, called, permissions(bits)?)
            .map_err(errno)?;
        // A read would otherwise write when it was.
        let update = InodeMetadataUpdate {
            flags: Some(made.flags | InodeFlags::NO_ATIME),
            ..InodeMetadataUpdate::default()
        };
        let made = self.ext4.update_inode_metadata(made.number, update);
        let made = made.map_err(errno)?;
        self.changed()?;
        Ok(status(&made))
    }

    fn make_directory(&mut self, directory: u64, called: &str, bits: u16) -> Result<(), Errno> {
        let (directory, called) = (number(directory)?, name(called)?);
        let made = self
            .ext4
            .create_directory(OWNER, directory, called, permissions(bits)?);
        made.map_err(errno)?;
        self.changed()
    }

    fn link(&mut self, inode: u64, directory: u64, called: &str) -> Result<(), Errno> {
        let (inode, directory, called) = (number(inode)?, number(directory)?, name(called)?);
        let linked = self.ext4.hard_link(inode, directory, called);
        linked.map_err(errno)?;
        self.changed()
    }

    fn remove(&mut self, directory: u64, called: &str) -> Result<Option<u64>, Errno> {
        let (directory, called) = (number(directory)?, name(called)?);
        let removed = self.ext4.unlink(directory, called).map_err(errno)?;
        self.changed()?;
        Ok(nameless(removed))
    }

    fn remove_directory(&mut self, directory: u64, called: &str) -> Result<Option<u64>, Errno> {
        let (directory, called) = (number(directory)?, name(called)?);
        let removed = self.ext4.remove_empty_directory(directory, called);
        let removed = removed.map_err(errno)?;
        self.changed()?;
        Ok(nameless(removed))
    }

    fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Result<Option<u64>, Errno> {
        let renamed = self.ext4.rename(
            number(from.0)?,
            name(from.1)?,
            number(to.0)?,
            name(to.1)?,
            RenameOptions::REPLACE,
        );
        let outcome = renamed.map_err(errno)?;
        self.changed()?;
        Ok(outcome.replaced.and_then(nameless))
    }

    fn release(&mut self, inode: u64) -> Result<(), Errno> {
        let inode = number(inode)?;
        self.ext4.reap_unlinked_inode(inode).map_err(errno)?;
        self.changed()
    }

    fn change(&mut self, inode: u64, change: Change) -> Result<(), Errno> {
        let time = |seconds: i64| Ext4Timestamp::new(seconds, 0);
        let update = match change {
            Change::Permissions(bits) => InodeMetadataUpdate {
                permissions: Some(permissions(bits)?),
                ..InodeMetadataUpdate::default()
            },
            Change::Times { read, written } => InodeMetadataUpdate {
                atime: read.map(time),
                mtime: written.map(time),
                ..InodeMetadataUpdate::default()
            },
        };
        let changed = self.ext4.update_inode_metadata(number(inode)?, update);
        changed.map_err(errno)?;
        self.changed()
    }

    fn sync(&mut self) -> Result<(), Errno> {
        self.make_durable().map_err(errno)
    }
}
