//! A volume as `rsext4` sees it.

use denali_rt::block::{BLOCK_LEN, Block, Volume};
use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};
use std::boxed::Box;

/// A volume whose sectors are its blocks.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    volume: Volume,
    /// The first block while a file system is made, to be written last.
    first: Option<Box<Block>>,
}

impl Disk {
    pub(super) fn new(volume: Volume) -> Self {
        Self {
            volume,
            first: None,
        }
    }

    /// Holds back what is written to the first block until [`finish`](Self::finish).
    pub(super) fn to_format(volume: Volume) -> Self {
        Self {
            first: Some(Box::new([0; BLOCK_LEN])),
            ..Self::new(volume)
        }
    }

    /// Writes the first block, after all others.
    pub(super) fn finish(mut self) -> Ext4Result<()> {
        self.flush()?;
        if let Some(first) = self.first.take() {
            self.volume.write(0, &first).map_err(|_| Ext4Error::io())?;
        }
        self.flush()
    }
}

/// Returns the blocks of a transfer with their numbers.
fn numbered(sector: SectorId) -> core::ops::RangeFrom<u64> {
    sector.raw()..
}

impl BlockIo for Disk {
    fn write(&mut self, buffer: &[u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let (blocks, _) = buffer.as_chunks::<BLOCK_LEN>();
        for (number, block) in numbered(sector).zip(blocks) {
            match &mut self.first {
                Some(first) if number == 0 => **first = *block,
                _ => self
                    .volume
                    .write(number, block)
                    .map_err(|_| Ext4Error::io())?,
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let (blocks, _) = buffer.as_chunks_mut::<BLOCK_LEN>();
        for (number, block) in numbered(sector).zip(blocks) {
            match &self.first {
                Some(first) if number == 0 => *block = **first,
                _ => self
                    .volume
                    .read(number, block)
                    .map_err(|_| Ext4Error::io())?,
            }
        }
        Ok(())
    }

    fn geometry(&self) -> DeviceGeometry {
        let length = u32::try_from(BLOCK_LEN).expect("a block is small");
        DeviceGeometry::new(length, self.volume.blocks())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities {
            flush: true,
            ..DeviceCapabilities::default()
        }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        self.volume.flush().map_err(|_| Ext4Error::io())
    }
}
