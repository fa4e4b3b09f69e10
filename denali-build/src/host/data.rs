//! The disk on which a host keeps what outlives it: the supervisor's store, and volumes.
//!
//! It is a file beside the hosts' folders, so it stays when the host goes, and comes back with the
//! next host of that name.

use super::state;
use crate::directories;
use crate::failure::{Failure, Status};
use anyhow::{Context, Result};
use denali_abi::block::BLOCK_LEN;
use denali_abi::partition::{Partition, PartitionTable, kind};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use zerocopy::IntoBytes as _;

/// The smallest disk in bytes.
pub const SIZE_MIN: u64 = 64 << 20;

/// The smallest and the largest store in bytes.
const STORE_MIN: u64 = 32 << 20;
const STORE_MAX: u64 = 4 << 30;

/// Returns the file of the host `name`, if it has one.
///
/// # Errors
///
/// The name is none.
pub fn find(name: &str) -> Result<Option<PathBuf>> {
    let path = path_of(name)?;
    Ok(path.exists().then_some(path))
}

/// Returns the file of the host `name`, and makes it with `size` bytes if it has none.
///
/// # Errors
///
/// The file cannot be made, or has another size.
pub fn find_or_make(name: &str, size: u64) -> Result<PathBuf> {
    let path = path_of(name)?;
    if let Ok(metadata) = fs::metadata(&path) {
        if metadata.len() == size {
            return Ok(path);
        }
        let what = format!(
            "the host `{name}` has a data disk of {} bytes already, `{}`",
            metadata.len(),
            path.display()
        );
        return Err(Failure::new(Status::Refused, what)
            .help(format!(
                "use it without --data, or erase it: cargo denali host erase --name {name}"
            ))
            .into());
    }
    directories::create_private(path.parent().unwrap_or(Path::new("/")))?;
    // Under its name only when it is whole.
    let unfinished = path.with_extension("new");
    make(&unfinished, size)
        .and_then(|()| fs::rename(&unfinished, &path))
        .with_context(|| format!("making the disk `{}`", path.display()))?;
    Ok(path)
}

/// Removes the file of the host `name`. Returns whether there was one.
///
/// # Errors
///
/// The file cannot be removed.
pub fn erase(name: &str) -> Result<bool> {
    let Some(path) = find(name)? else {
        return Ok(false);
    };
    fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))?;
    Ok(true)
}

fn path_of(name: &str) -> Result<PathBuf> {
    let folder = state::folder(name)?;
    let states = folder.parent().and_then(Path::parent);
    let data = states.unwrap_or(Path::new("/")).join("data");
    Ok(data.join(name).with_extension("raw"))
}

/// Makes an empty disk of `size` bytes in the file `path`.
///
/// # Errors
///
/// The file cannot be written.
pub fn make(path: &Path, size: u64) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.set_len(size)?;
    let mut block = [0; BLOCK_LEN];
    for (place, byte) in block.iter_mut().zip(table(size).as_bytes()) {
        *place = *byte;
    }
    file.write_all(&block)?;
    file.sync_all()
}

/// Divides a disk of `size` bytes.
fn table(size: u64) -> PartitionTable {
    let block = BLOCK_LEN as u64;
    let blocks = size / block;
    let store = (size / 4).clamp(STORE_MIN, STORE_MAX) / block;
    let part = |kind, start, blocks| Partition {
        kind,
        start,
        blocks,
        ..Partition::default()
    };
    PartitionTable::new(&[
        part(kind::STORE, 1, store),
        part(kind::VOLUMES, 1 + store, blocks - 1 - store),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_divided_soundly() {
        for size in [SIZE_MIN, 100 << 20, 1 << 30, (64 << 30) + 4096] {
            let mut block = [0; BLOCK_LEN];
            let table = table(size);
            block[..size_of::<PartitionTable>()].copy_from_slice(table.as_bytes());
            let blocks = size / BLOCK_LEN as u64;
            assert_eq!(PartitionTable::read(&block, blocks), Ok(Some(table)));
            let used: u64 = table.iter().map(|part| part.blocks).sum();
            assert_eq!(used, blocks - 1);
        }
    }
}
