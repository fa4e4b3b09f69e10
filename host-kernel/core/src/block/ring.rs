//! The kernel's side of a guest's block rings: indices and requests are allegations.
//!
//! Each index and request is read once, checked and then used. The kernel's own indices live here,
//! out of the guest's reach; what it publishes it never reads back.

use crate::net::ring::{BadAddress, GuestMemory, RingViolation};
use core::mem::offset_of;
use denali_abi::block::{BLOCK_RING_LEN, BlockCompletion, BlockRequest, BlockRings};
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::shared::SharedPage;
use zerocopy::{FromZeros, IntoBytes};

/// The kernel's indices into one guest's block rings; the default fits the zeroed shared page.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockRing {
    taken: u32,
    completed: u32,
}

impl BlockRing {
    /// Takes over indices that somebody says a VM had, while nothing is under way.
    pub(crate) const fn set_indices(&mut self, taken: u32, completed: u32) {
        (self.taken, self.completed) = (taken, completed);
    }

    /// Returns how many requests were taken and completed.
    pub(crate) const fn indices(&self) -> (u32, u32) {
        (self.taken, self.completed)
    }

    /// Returns the next request. It stays the next one until [`take`](Self::take). `None` if there
    /// is none, or as many are taken and not reaped as the rings have room for.
    ///
    /// # Errors
    ///
    /// [`RingViolation`]: end the VM.
    pub fn next(
        &self,
        memory: &mut dyn GuestMemory,
    ) -> Result<Option<BlockRequest>, RingViolation> {
        let submitted = read_index(memory, offset_of!(BlockRings, submitted))?;
        let reaped = read_index(memory, offset_of!(BlockRings, reaped))?;
        let waiting = submitted.wrapping_sub(self.taken);
        let unread = self.completed.wrapping_sub(reaped);
        let sound = waiting <= BLOCK_RING_LEN && unread <= BLOCK_RING_LEN;
        if !sound && !cfg!(sabotage = "trust-block-index") {
            return Err(RingViolation::Index);
        }
        let under_way = self.taken.wrapping_sub(self.completed);
        if waiting == 0 || under_way.saturating_add(unread) >= BLOCK_RING_LEN {
            return Ok(None);
        }
        let slot = u64::from(self.taken % BLOCK_RING_LEN);
        let at = offset_of!(BlockRings, requests) as u64 + slot * size_of::<BlockRequest>() as u64;
        let mut request = BlockRequest::new_zeroed();
        memory.read(address(at), request.as_mut_bytes())?;
        Ok(Some(request))
    }

    /// Takes the next request out of the ring.
    ///
    /// # Errors
    ///
    /// [`RingViolation`]: end the VM.
    pub fn take(&mut self, memory: &mut dyn GuestMemory) -> Result<(), RingViolation> {
        self.taken = self.taken.wrapping_add(1);
        write_index(memory, offset_of!(BlockRings, taken), self.taken)?;
        Ok(())
    }

    /// Writes a completion; [`next`](Self::next) saw to it that there is room.
    ///
    /// # Errors
    ///
    /// [`RingViolation`]: end the VM.
    pub fn complete(
        &mut self,
        memory: &mut dyn GuestMemory,
        tag: u64,
        result: i32,
    ) -> Result<(), RingViolation> {
        let completion = BlockCompletion {
            tag,
            result,
            reserved: 0,
        };
        let slot = u64::from(self.completed % BLOCK_RING_LEN);
        let size = size_of::<BlockCompletion>() as u64;
        let at = offset_of!(BlockRings, completions) as u64 + slot * size;
        memory.write(address(at), completion.as_bytes())?;
        self.completed = self.completed.wrapping_add(1);
        write_index(memory, offset_of!(BlockRings, completed), self.completed)?;
        Ok(())
    }
}

/// Returns the guest address of an offset into the rings.
const fn address(offset: u64) -> u64 {
    SHARED_ADDRESS + offset_of!(SharedPage, block) as u64 + offset
}

fn read_index(memory: &mut dyn GuestMemory, offset: usize) -> Result<u32, BadAddress> {
    let mut bytes = [0; 4];
    memory.read(address(offset as u64), &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn write_index(memory: &mut dyn GuestMemory, offset: usize, index: u32) -> Result<(), BadAddress> {
    memory.write(address(offset as u64), &index.to_le_bytes())
}
