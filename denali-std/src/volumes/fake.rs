//! A disk in memory, whose power can be cut.

use denali_rt::block::{BLOCK_LEN, Block};
use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;

/// What the disk holds.
#[derive(Debug)]
struct Contents {
    /// As reads find it.
    blocks: Vec<Block>,
    /// As a power cut leaves it at least.
    durable: Vec<Block>,
    /// The blocks written since the last flush, in order.
    pending: Vec<(usize, Block)>,
}

/// A disk; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct FakeDisk(Arc<Mutex<Contents>>);

impl FakeDisk {
    pub(super) fn new(blocks: usize) -> Self {
        Self::of(vec![[0; BLOCK_LEN]; blocks])
    }

    fn of(blocks: Vec<Block>) -> Self {
        Self(Arc::new(Mutex::new(Contents {
            durable: blocks.clone(),
            blocks,
            pending: Vec::new(),
        })))
    }

    /// Returns the disk after a power cut: of what was not flushed, each write is there or not, as
    /// `is_kept` says.
    pub(super) fn cut(&self, mut is_kept: impl FnMut() -> bool) -> Self {
        let contents = self.contents();
        let mut blocks = contents.durable.clone();
        for (number, block) in &contents.pending {
            if is_kept() {
                blocks[*number] = *block;
            }
        }
        Self::of(blocks)
    }

    /// Returns all bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.contents().blocks.as_flattened().to_vec()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().expect("no test panics meanwhile")
    }
}

fn place(sector: SectorId) -> Ext4Result<usize> {
    sector.as_usize()
}

impl BlockIo for FakeDisk {
    fn write(&mut self, buffer: &[u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let mut contents = self.contents();
        for (number, block) in (place(sector)?..).zip(buffer.as_chunks().0) {
            *contents.blocks.get_mut(number).ok_or(Ext4Error::io())? = *block;
            contents.pending.push((number, *block));
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let contents = self.contents();
        for (number, block) in (place(sector)?..).zip(buffer.as_chunks_mut().0) {
            *block = *contents.blocks.get(number).ok_or(Ext4Error::io())?;
        }
        Ok(())
    }

    fn geometry(&self) -> DeviceGeometry {
        let count = u64::try_from(self.contents().blocks.len()).expect("it is in memory");
        DeviceGeometry::new(4096, count)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities {
            flush: true,
            ..DeviceCapabilities::default()
        }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        let mut contents = self.contents();
        let pending = std::mem::take(&mut contents.pending);
        for (number, block) in pending {
            contents.durable[number] = block;
        }
        Ok(())
    }
}
