//! The frames of the fake machine: what they hold, and what may be done with them.

use super::super::{DiskOperation, FrameId};
use super::{FRAME_LEN, FakeMachine, GARBAGE};
use alloc::boxed::Box;
use denali_abi::convert::u32_to_usize;

/// One frame of memory.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) bytes: Option<Box<[u8; FRAME_LEN]>>,
    /// Whether it may hold what its last owner left.
    pub(super) stale: bool,
    /// What a disk does to it.
    pub(super) busy: Option<DiskOperation>,
}

impl FakeMachine {
    pub(super) fn bytes_mut(&mut self, frame: usize) -> &mut [u8; FRAME_LEN] {
        self.frames[frame]
            .bytes
            .get_or_insert_with(|| Box::new([GARBAGE; FRAME_LEN]))
    }

    pub(super) fn assert_fresh(&self, frame: FrameId) {
        self.assert_idle(frame);
        assert!(
            !self.frames[u32_to_usize(frame.0)].stale,
            "{frame:?} holds its last owner's data"
        );
    }

    pub(super) fn assert_idle(&self, frame: FrameId) {
        let busy = self.frames[u32_to_usize(frame.0)].busy;
        assert!(busy.is_none(), "{frame:?} belongs to a disk: {busy:?}");
    }

    pub(super) fn soil(&mut self, frame: FrameId) {
        self.frames[u32_to_usize(frame.0)].stale = true;
    }
}
