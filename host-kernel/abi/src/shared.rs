//! The shared page: written by guest and kernel without crossing.
//!
//! The kernel runs only while the guest does not (a VM has one virtual CPU), so no field needs an
//! atomic read-modify-write for the kernel's sake; the guest uses atomics for its own upcalls.
//! Everything the guest writes is an allegation to the kernel: read once, checked, used.

use crate::block::BlockRings;
use crate::net::{Descriptor, RING_LEN};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest name of a thread that the kernel remembers, in bytes.
pub const THREAD_NAME_MAX: usize = 16;

/// Bits of the pending mask: each means that one or more of these things happened.
pub mod interrupt {
    /// Frames are in the receive ring.
    pub const RECEIVE: u32 = 1 << 0;
    /// Transmit descriptors were consumed after the ring had been full.
    pub const TRANSMIT: u32 = 1 << 1;
    /// A deadline passed: that given to idle-with-timeout, or [`timer_ns`](super::SharedPage::timer_ns).
    pub const TIMER: u32 = 1 << 2;
    /// Supervisor only: a VM changed its state.
    pub const CONTROL: u32 = 1 << 3;
    /// The supervisor asks the VM to end by itself: the registers say until when.
    pub const STOP: u32 = 1 << 4;
    /// Completions are in the ring of block devices.
    pub const BLOCK: u32 = 1 << 5;
    /// The VM was restored or cloned: clock, network and
    /// [`resume_generation`](crate::registers::VirtualRegisters::resume_generation) changed.
    pub const RESUME: u32 = 1 << 6;
}

/// The page at [`SHARED_ADDRESS`](crate::layout::SHARED_ADDRESS). All zero when the VM starts.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SharedPage {
    /// Guest: not 0 when upcalls may be delivered. The kernel clears it with each it delivers.
    pub interrupts_enabled: u32,
    /// Kernel sets bits of [`interrupt`], idle-with-timeout and upcalls clear them. A guest may
    /// clear them, too, by an atomic exchange.
    pub pending: u32,
    /// Guest: transmit descriptors produced.
    pub tx_produced: u32,
    /// Kernel: transmit descriptors consumed.
    pub tx_consumed: u32,
    /// Guest: receive buffers posted.
    pub rx_posted: u32,
    /// Kernel: receive buffers filled.
    pub rx_filled: u32,
    /// Guest: the monotonic time in nanoseconds at which [`interrupt::TIMER`] is to be pending
    /// though the VM does not idle; 0 for never. Kernel: 0 once it is. What is written while the VM
    /// runs counts from the end of its slice, 10 ms later at most.
    pub timer_ns: u64,
    /// Guest: the name of the running thread, padded with zeros, for who reads how the VM ended.
    pub thread: [u8; THREAD_NAME_MAX],
    /// Guest: bits of [`flags`](crate::net::flags) it takes on receive, besides ordinary frames.
    pub rx_accepts: u32,
    /// Zero.
    pub reserved: [u32; 3],
    /// The transmit ring.
    pub tx: [Descriptor; RING_LEN as usize],
    /// The receive ring.
    pub rx: [Descriptor; RING_LEN as usize],
    /// The rings of block devices.
    pub block: BlockRings,
}

const _: () =
    assert!(size_of::<SharedPage>() == 64 + 2 * 16 * RING_LEN as usize + size_of::<BlockRings>());
const _: () = assert!(size_of::<SharedPage>() <= 4096);
