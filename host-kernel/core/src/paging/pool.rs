//! Frames for VMs that are not in memory, until they are.
//!
//! A service that sleeps is woken by what is sent to it, and has to get it. What is held is bounded
//! for each VM and for all: beyond that frames are lost, as on any network, and counted.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use denali_abi::convert::u32_to_usize;

/// Most bytes held for one VM: a full receive ring is more than a client sends unanswered.
const VM_BYTES_MAX: usize = 64 * 1024;

/// Most frames held for one VM.
const VM_FRAMES_MAX: usize = 16;

/// Bytes that a frame costs besides its contents.
const OVERHEAD: usize = 64;

/// The pool has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolFull;

/// The frames held, by the index of the VM they are for.
#[derive(Debug)]
pub(super) struct Pool {
    held: BTreeMap<u32, VecDeque<Box<[u8]>>>,
    bytes: usize,
    bytes_max: usize,
}

impl Pool {
    /// Makes a pool of 1/512 of the memory of a host with `frames` frames.
    pub(super) fn for_host(frames: u32) -> Self {
        Self {
            held: BTreeMap::new(),
            bytes: 0,
            bytes_max: u32_to_usize(frames) * 8,
        }
    }

    /// Holds a frame for the VM with index `vm`.
    pub(super) fn hold(&mut self, vm: u32, frame: &[u8]) -> Result<(), PoolFull> {
        let cost = frame.len() + OVERHEAD;
        if self.bytes + cost > self.bytes_max {
            return Err(PoolFull);
        }
        let frames = self.held.entry(vm).or_default();
        let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
        if frames.len() == VM_FRAMES_MAX || bytes + frame.len() > VM_BYTES_MAX {
            return Err(PoolFull);
        }
        frames.push_back(frame.into());
        self.bytes += cost;
        Ok(())
    }

    /// Returns whether frames are held for the VM with index `vm`.
    pub(super) fn holds_for(&self, vm: u32) -> bool {
        self.held.contains_key(&vm)
    }

    /// Takes out everything held for the VM with index `vm`, oldest first.
    pub(super) fn take(&mut self, vm: u32) -> VecDeque<Box<[u8]>> {
        let frames = self.held.remove(&vm).unwrap_or_default();
        let bytes: usize = frames.iter().map(|frame| frame.len() + OVERHEAD).sum();
        self.bytes -= bytes;
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_out_in_order_and_makes_room() {
        let mut pool = Pool::for_host(1024);
        assert_eq!(pool.hold(3, &[1; 60]), Ok(()));
        assert_eq!(pool.hold(3, &[2; 60]), Ok(()));
        assert_eq!(pool.hold(4, &[3; 60]), Ok(()));
        assert_eq!(pool.hold(5, &[4; 9000]), Err(PoolFull));
        let taken = pool.take(3);
        assert_eq!((taken[0][0], taken[1][0], taken.len()), (1, 2, 2));
        assert_eq!(pool.bytes, 60 + OVERHEAD);
        assert!(pool.take(3).is_empty());
        pool.take(4);
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn one_vm_cannot_have_it_all() {
        let mut pool = Pool::for_host(1 << 20);
        let fits = (0..100)
            .filter(|_| pool.hold(1, &[0; 1514]).is_ok())
            .count();
        assert_eq!(fits, VM_FRAMES_MAX);
        assert_eq!(pool.hold(2, &[0; 1514]), Ok(()));
    }
}
