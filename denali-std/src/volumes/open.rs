//! Which volumes have files, and how one is opened.

#![expect(
    clippy::print_stderr,
    reason = "an error number is all that the program is told; the log says what is the matter"
)]

use super::disk::Disk;
use super::system::{self, Clock, System};
use denali_rt::block::{BLOCK_LEN, Volume};
use denali_rt::libc::errno::{EINVAL, EIO, ENODEV};
use denali_rt::libc::files::{self, Errno, FileSystem};
use rsext4::MkfsOptions;
use std::boxed::Box;
use std::eprintln;

include!(concat!(env!("OUT_DIR"), "/volumes.rs"));

/// Fewest blocks of a volume with files: 16 MiB are the journal.
const BLOCKS_MIN: u64 = 32 * 1024 * 1024 / BLOCK_LEN as u64;

/// Where a file system says that it is one, in the first block (`s_magic`).
const MAGIC: (usize, [u8; 2]) = (1024 + 56, [0x53, 0xef]);

/// Makes them known to the C library, and so to `std::fs`; each is opened at its first use.
pub(crate) fn provide() {
    files::provide_volumes(VOLUMES, open);
}

/// Opens the file system on a volume; a volume that is new gets one.
fn open(name: &str) -> Result<Box<dyn FileSystem>, Errno> {
    let volume = Volume::open(name).ok_or(Errno(ENODEV))?;
    let mut first = [0; BLOCK_LEN];
    volume.read(0, &mut first).map_err(|_| Errno(EIO))?;
    let is_new = first.iter().all(|byte| *byte == 0);
    if is_new && volume.blocks() < BLOCKS_MIN {
        eprintln!("volume `{name}`: files need 32 MiB");
        return Err(Errno(EINVAL));
    }
    let (place, magic) = MAGIC;
    if !is_new && first.get(place..place + magic.len()) != Some(&magic) {
        eprintln!("volume `{name}`: holds something else than files");
        return Err(Errno(EINVAL));
    }
    let opened = match is_new {
        true => format(volume).and_then(|()| System::mount(Disk::new(volume))),
        false => System::mount(Disk::new(volume)),
    };
    match opened {
        Ok(system) => Ok(Box::new(system)),
        Err(error) => {
            eprintln!("volume `{name}`: {error}");
            Err(system::errno(error))
        }
    }
}

/// Makes a file system. The first block, by which it is known, is written when all else is on the disk.
fn format(volume: Volume) -> rsext4::Ext4Result<()> {
    let disk = Disk::to_format(volume);
    rsext4::format(disk, Clock, MkfsOptions::default())?.finish()
}
