//! VMs: descriptor, identity and states.
//!
//! ```text
//!             admit             idle-with-timeout
//!  Dormant ──────────► Ready ◄─────────────────────► Idle
//!     │                  │    interrupt or deadline    │
//!     └──────────────────┴───────► Ended ◄─────────────┘
//! ```
//!
//! With swap a VM also goes from `Ready` or `Idle` to `Dormant` and back ([`crate::paging`]), and one
//! that waits for memory is `Paging` until it is `Ready` again.
//!
//! A VM that ended keeps its descriptor and its console; everything else is freed at once. The
//! supervisor destroys it when it has read both. Transitions happen in `lifecycle.rs` alone.

pub mod alarm;
pub mod allowance;
mod clock;
pub(crate) mod creation;
pub mod image;
pub mod interrupt;
pub(crate) mod lifecycle;
pub mod network;
pub mod table;
pub mod upcall;

use crate::machine::{FrameId, Page, Space};
use crate::memory::frame::FrameList;
use crate::net::ring::RingState;
use crate::net::switch::ENTRY_BYTES;
use crate::paging::Swap;
use crate::paging::birth::Birth;
use crate::time::Time;
use alloc::boxed::Box;
use allowance::Allowance;
use denali_abi::control::VmState;
use denali_abi::end::EndRecord;
use denali_abi::layout::PAGE_SIZE;
use denali_abi::registers::NAME_MAX;
use denali_abi::shared::THREAD_NAME_MAX;
use denali_abi::shared::interrupt::{TIMER, TRANSMIT};
use image::ImageId;
use network::Network;
use table::{SLOT_BYTES, id_type};
use upcall::Upcall;

id_type! {
    /// Names a VM, never another one later.
    VmId
}

/// Frames every VM has from its creation: root table, context, registers, shared page, console.
pub const FIXED_FRAMES: u32 = 5;

/// When a VM may run again that the supervisor has frozen: at the end of time, or when it is thawed.
pub(crate) const FROZEN: Time = Time::from_ns(u64::MAX);

/// The smallest memory limit: the fixed frames, page tables and a page each of text, data, stack.
pub const MEMORY_PAGES_MIN: u32 = FIXED_FRAMES + 7;

/// What ends a wait in the state [`VmState::Idle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeOn {
    /// A virtual interrupt or the deadline: it waits in idle-with-timeout.
    Interrupt,
    /// As [`WakeOn::Interrupt`], but its deadline is when its rate lets it send again.
    Rate,
    /// The deadline alone: a restarted supervisor that has not begun.
    Deadline,
}

/// What a VM did, for its status.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Time of its creation.
    pub created: Time,
    /// CPU time used in nanoseconds.
    pub cpu_ns: u64,
    /// World switches into it.
    pub switches: u64,
    /// Pages given to it on demand.
    pub page_faults: u64,
    /// Frames delivered to it.
    pub rx_frames: u64,
    /// Frames dropped for want of a buffer, or beyond its rate.
    pub rx_dropped: u64,
    /// Frames it sent.
    pub tx_frames: u64,
    /// Frames refused on transmit, or lost beyond the rate of broadcasts.
    pub tx_refused: u64,
    /// Bytes ever written to its console.
    pub console_written: u64,
    /// Upcalls delivered to it; this one and the next stop at their largest number.
    pub upcalls: u32,
    /// Pages of it read back from swap.
    pub page_ins: u32,
    /// Times it was called back from swap.
    pub wakes: u32,
    /// Pages of its image it shows now.
    pub shared_pages: u32,
}

/// How a VM ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// Why, and where.
    pub record: EndRecord,
    /// The thread that ended it by a fault, as the guest said.
    pub thread: [u8; THREAD_NAME_MAX],
}

/// Where the segments of its image end, as page numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// First page behind text.
    pub text_end: u32,
    /// First page behind rodata.
    pub rodata_end: u32,
    /// First page behind data.
    pub data_end: u32,
}

/// A VM's descriptor: all the kernel keeps of it outside frames charged to it.
#[derive(Debug)]
pub struct Vm {
    /// Its id.
    pub id: VmId,
    /// What it is doing.
    pub state: VmState,
    /// What ends its wait, if it is idle.
    pub wake_on: WakeOn,
    /// Its alarm, if it is idle with a deadline.
    pub deadline: Option<Time>,
    /// When it may run again, if it has used up its cap.
    pub capped_until: Option<Time>,
    /// What it may take, and what it took.
    pub allowance: Allowance,
    /// Address space and register context.
    pub space: Space,
    /// The frame of the virtual registers.
    pub registers: FrameId,
    /// The frame of the shared page.
    pub shared: FrameId,
    /// The frame of the console ring; the only one left when it has ended.
    pub console: FrameId,
    /// Every frame it owns.
    pub frames: FrameList,
    /// The image it runs.
    pub image: ImageId,
    /// Memory limit in pages.
    pub memory_pages: u32,
    /// Frames it may have now.
    pub promised: u32,
    /// Whether they are promised out of memory; what a paged VM may have is backed by swap.
    pub is_promised: bool,
    /// Its part of swap space, if it is paged.
    pub swap: Option<Swap>,
    /// Where it is in the beginning of its life.
    pub birth: Birth,
    /// Where it wants its interrupts, if not by asking.
    pub upcall: Option<Upcall>,
    /// The kernel's own ring indices.
    pub ring: RingState,
    /// Whether it waits for room in the NIC's transmit queue.
    pub awaits_nic: bool,
    /// Why it ended, if it did.
    pub end: Option<Box<End>>,
    /// What it did.
    pub counters: Counters,
    /// Its virtual Ethernet.
    pub network: Network,
    /// Its name, padded with zeros.
    pub name: [u8; NAME_MAX],
}

const _: () = assert!(
    size_of::<Vm>() + SLOT_BYTES + ENTRY_BYTES <= 512,
    "descriptor, swap description and switch entry are what a VM costs that sleeps"
);

impl WakeOn {
    /// Returns the interrupt that the deadline means, if interrupts end the wait too.
    #[must_use]
    pub const fn at_deadline(self) -> Option<u32> {
        match self {
            Self::Interrupt => Some(TIMER),
            Self::Rate => Some(TRANSMIT),
            Self::Deadline => None,
        }
    }
}

impl Vm {
    /// Returns whether it may run or wait to run: admitted and not ended.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.state, VmState::Ready | VmState::Idle | VmState::Paging)
    }

    /// Returns whether the supervisor keeps it from running.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.capped_until == Some(FROZEN)
    }
}

impl Segments {
    /// Returns where the segments of an image with this header end.
    #[must_use]
    pub fn of(header: &denali_abi::image::ImageHeader) -> Self {
        let base = page_number(denali_abi::layout::IMAGE_BASE);
        let text_end = base + header.text_pages;
        let rodata_end = text_end + header.rodata_pages;
        Self {
            text_end,
            rodata_end,
            data_end: rodata_end + header.data_pages,
        }
    }

    /// Returns which page of the image's contents `page` begins as a copy of, if it does.
    #[must_use]
    pub fn copied_content(&self, page: Page) -> Option<u32> {
        let copied = self.rodata_end..self.data_end;
        copied
            .contains(&page.0)
            .then(|| page.0 - page_number(denali_abi::layout::IMAGE_BASE))
    }
}

/// Returns how many VMs fit into a host with `frames` frames.
pub(crate) const fn vms_max(frames: u32) -> u32 {
    let fit = frames / MEMORY_PAGES_MIN;
    if fit < crate::kernel::VMS_MAX {
        fit
    } else {
        crate::kernel::VMS_MAX
    }
}

/// Returns the number of the page at `address`, which lies below 16 TiB.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "callers pass addresses of the guest's space"
)]
pub const fn page_number(address: u64) -> u32 {
    (address / PAGE_SIZE) as u32
}
