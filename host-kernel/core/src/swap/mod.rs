//! Swap space: where VMs lie that do not fit into memory, and how they are kept safe there.
//!
//! Disks are one row of blocks, striped in chunks ([`stripe`]). Each VM has one extent of that row
//! ([`extent`]), so what belongs together lies together. Every block is encrypted and authenticated
//! ([`seal`]); the seals of a VM's blocks are in its swap map ([`map`]), whose own seal is in the
//! VM's descriptor. A disk can lose, delay, tear, exchange or change blocks: what comes back is
//! what was written last for this VM and this page, or it is an error.
//!
//! Nothing here survives the kernel: the key is drawn at boot and never leaves memory.

pub mod directory;
pub mod extent;
pub mod map;
pub mod seal;
pub mod stripe;

/// Bytes in a block, as in a frame.
pub const BLOCK_LEN: usize = 4096;
