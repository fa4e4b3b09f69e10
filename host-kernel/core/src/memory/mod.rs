//! Memory: frames, promises and address spaces.
//!
//! [`frame`] knows who owns each frame, [`commit`] how much of memory is promised to whom, and
//! [`address_space`] which page of a guest shows which frame. Images hold the shared contents; a VM
//! is charged for everything else it makes the kernel allocate. Promises never exceed memory, so a
//! VM below its limit always gets its frame.

pub mod address_space;
pub mod commit;
pub mod frame;

use crate::machine::FrameId;

/// Consecutive frames of usable memory; numbers are physical addresses divided by 4,096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// The first frame.
    pub start: FrameId,
    /// How many.
    pub count: u32,
}
