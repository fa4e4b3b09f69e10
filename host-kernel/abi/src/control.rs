//! What the supervisor asks of the kernel, and what it is told.

use crate::block::BlockStatus;
use crate::end::EndRecord;
use crate::latency::Latencies;
use crate::net::NetworkConfig;
use crate::registers::NAME_MAX;
use crate::shared::THREAD_NAME_MAX;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a VM may take of CPU and network. All zero: the default weight, and no bound.
///
/// The packet and byte rates bound each direction by itself: so much it may send, and so much it is
/// given.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Limits {
    /// Its part of a busy CPU in proportion to the weights of others, at most [`WEIGHT_MAX`];
    /// 0 takes [`WEIGHT_DEFAULT`].
    pub cpu_weight: u32,
    /// The most CPU time it gets, also of an idle CPU, in thousandths of one CPU, at most
    /// [`CAP_WHOLE`]; 0 means no bound.
    pub cpu_cap: u32,
    /// The most frames a second; 0 means no bound.
    pub packet_rate: u64,
    /// The most bytes of frames a second; 0 means no bound.
    pub byte_rate: u64,
}

const _: () = assert!(size_of::<Limits>() == 24);

/// The number that stands for the kernel where a VM is named whose console is read: what it said
/// while booting.
pub const KERNEL_VM: u64 = 0;

/// The weight of a VM that asks for none.
pub const WEIGHT_DEFAULT: u32 = 100;

/// The largest weight.
pub const WEIGHT_MAX: u32 = 10_000;

/// A whole CPU as a cap, in thousandths.
pub const CAP_WHOLE: u32 = 1000;

impl Limits {
    /// Returns whether each value is in its range.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.cpu_weight <= WEIGHT_MAX && self.cpu_cap <= CAP_WHOLE
    }

    /// Returns the weight that counts, from 1 to [`WEIGHT_MAX`].
    #[must_use]
    pub const fn weight(&self) -> u32 {
        match self.cpu_weight {
            0 => WEIGHT_DEFAULT,
            weight if weight > WEIGHT_MAX => WEIGHT_MAX,
            weight => weight,
        }
    }
}

/// The argument of `vm_create`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmConfig {
    /// The image to run.
    pub image: u64,
    /// Memory limit in pages; 0 takes the image's request.
    pub memory_pages: u32,
    /// Length of the arguments in bytes.
    pub arguments_len: u32,
    /// Address of the arguments in the supervisor's memory.
    pub arguments: u64,
    /// The virtual Ethernet; the MAC must be unicast and not in use.
    pub network: NetworkConfig,
    /// What it may take.
    pub limits: Limits,
    /// A name for logs, padded with zeros.
    pub name: [u8; NAME_MAX],
    /// Address of its volumes ([`VolumeConfig`](crate::block::VolumeConfig)) in the supervisor's
    /// memory.
    pub volumes: u64,
    /// How many they are, at most [`VOLUMES_MAX`](crate::block::VOLUMES_MAX).
    pub volumes_len: u32,
    /// Bits of [`vm_flags`]; others must be zero.
    pub flags: u32,
}

const _: () = assert!(size_of::<VmConfig>() == 128);

/// Flags of a new VM.
pub mod vm_flags {
    /// It is registered and begins when the first packet for it comes, not before. That takes a
    /// host with disks, and a VM without volumes.
    pub const DORMANT: u32 = 1;
    /// It does not run before it was given a state ([`FrozenVm`](super::FrozenVm)).
    pub const FROZEN: u32 = 2;
    /// Another VM may have its addresses, whose place it takes when told to (`vm_succeed`), or when the
    /// other goes. Until then only the supervisor's connections to these addresses are for it.
    pub const SUCCESSOR: u32 = 4;
}

/// What of a frozen VM is neither in its own pages nor in what it was created with.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrozenVm {
    /// The rest.
    pub state: FrozenState,
    /// General registers and vector state, as the processor's kind has it.
    pub registers: [u8; 4096],
    /// The shared page.
    pub shared: [u8; 4096],
    /// The console ring.
    pub console: [u8; 4096],
}

/// What the kernel itself keeps of a frozen VM.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FrozenState {
    /// What its monotonic clock shows, in nanoseconds: there it goes on.
    pub monotonic_ns: u64,
    /// Bytes ever written to its console.
    pub console_written: u64,
    /// Where it wants its interrupts; 0 if nowhere.
    pub upcall_entry: u64,
    /// The stack for that; 0 for the one that is interrupted.
    pub upcall_stack: u64,
    /// How often it was restored or cloned until then.
    pub resume_generation: u32,
    /// 1 if it waits in idle-with-timeout.
    pub idles: u32,
    /// Transmit descriptors consumed.
    pub tx_consumed: u32,
    /// Receive buffers filled.
    pub rx_filled: u32,
    /// Block requests taken.
    pub block_taken: u32,
    /// Block requests completed.
    pub block_completed: u32,
}

const _: () = assert!(size_of::<FrozenVm>() == 56 + 3 * 4096);

/// What a VM is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum VmState {
    /// Runnable.
    Ready = 1,
    /// In idle-with-timeout.
    Idle = 2,
    /// Ended; [`VmStatus::end`] says why.
    Ended = 3,
    /// Not admitted by the gatekeeper at present, or asleep on swap.
    Dormant = 4,
    /// Waits for memory, which is on its way from others.
    Paging = 5,
}

impl VmState {
    /// Returns the state with number `code`, if there is one.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Ready,
            2 => Self::Idle,
            3 => Self::Ended,
            4 => Self::Dormant,
            5 => Self::Paging,
            _ => return None,
        })
    }

    /// Returns the number of this state.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

/// The state and counters of one VM.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmStatus {
    /// The VM's id.
    pub vm: u64,
    /// The image it runs.
    pub image: u64,
    /// A [`VmState`] code.
    pub state: u32,
    /// Memory limit in pages.
    pub memory_pages: u32,
    /// Frames that belong to this VM alone.
    pub resident_pages: u32,
    /// Pages of it on swap and not in memory.
    pub swapped_pages: u32,
    /// Pages of the image it shows now, which exist once for all VMs that run it.
    pub shared_pages: u32,
    /// The time from the first packet it was last called back for to the first frame it sent, in
    /// microseconds.
    pub wake_us: u32,
    /// Why it ended.
    pub end: EndRecord,
    /// Monotonic time of its creation in nanoseconds since boot.
    pub created_ns: u64,
    /// CPU time used in nanoseconds.
    pub cpu_ns: u64,
    /// World switches into this VM.
    pub switches: u64,
    /// Pages given to it on demand.
    pub page_faults: u64,
    /// Pages of it read back from swap.
    pub page_ins: u64,
    /// Times it was called back into memory by a packet or an alarm.
    pub wakes: u64,
    /// Frames delivered to it.
    pub rx_frames: u64,
    /// Frames dropped for want of a posted buffer, or beyond its rate.
    pub rx_dropped: u64,
    /// Frames it sent.
    pub tx_frames: u64,
    /// Frames refused on transmit: forged source, malformed, or nowhere to go.
    pub tx_refused: u64,
    /// Bytes ever written to its console.
    pub console_written: u64,
    /// Its network configuration; with DHCP the address is the one it was given last.
    pub network: NetworkConfig,
    /// What it may take.
    pub limits: Limits,
    /// Its name, padded with zeros.
    pub name: [u8; NAME_MAX],
    /// The name of the thread that ended it by a fault, as the guest said, padded with zeros.
    pub thread: [u8; THREAD_NAME_MAX],
}

const _: () = assert!(size_of::<VmStatus>() == 264);

/// The line of its console by which a guest says that it does what it is for.
pub const READY_LINE: &str = "denali: ready";

/// What paging has, and did since boot; all zero on a host without disks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PagingStatus {
    /// Blocks of swap space; 0 on a host without disks.
    pub swap_blocks: u64,
    /// Blocks of it that belong to no VM.
    pub swap_free: u64,
    /// VMs that left memory, ever.
    pub departures: u64,
    /// VMs that came back.
    pub arrivals: u64,
    /// Calls for VMs on swap: by a packet, an alarm, or because they had to make room while they ran.
    pub wakes: u64,
    /// Sum of the times from a call until the VM was in memory, in nanoseconds.
    pub wake_ns: u64,
    /// Times a VM waited for memory.
    pub stalls: u64,
    /// Requests to disks that failed.
    pub disk_errors: u64,
    /// VMs that ended because a disk gave back something else than what was written.
    pub corrupt: u64,
    /// Frames for VMs on swap that were dropped because too much was held already.
    pub frames_dropped: u64,
    /// VMs refused because swap space was full.
    pub refused: u64,
    /// Faults that waited for a disk.
    pub faults: u64,
    /// Pages read for them, those read ahead included.
    pub page_ins: u64,
    /// Pages of busy VMs sent out one by one.
    pub page_outs: u64,
    /// Blocks read from disks, maps included.
    pub blocks_read: u64,
    /// Blocks written to disks, maps included.
    pub blocks_written: u64,
    /// Pages not written because they said nothing new: zeros, the image's, or as on swap already.
    pub pages_dropped: u64,
    /// VMs kept before the gate because those in memory fault too often.
    pub gate_closed: u64,
    /// From the first packet for a sleeping VM to the first frame it sends.
    pub wake_latency: Latencies,
}

const _: () = assert!(size_of::<PagingStatus>() == 464);

/// The state and counters of the host.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HostStatus {
    /// The kernel's [`ABI_VERSION`](crate::ABI_VERSION).
    pub abi_version: u32,
    /// Zero.
    pub reserved: u32,
    /// Frames the kernel can give to VMs and images.
    pub frames_total: u64,
    /// Frames free now.
    pub frames_free: u64,
    /// Frames promised to admitted VMs, whether used or not, and held by images.
    pub frames_committed: u64,
    /// VMs in the table.
    pub vms: u64,
    /// Size of the table.
    pub vms_max: u64,
    /// Images in the table.
    pub images: u64,
    /// Size of the table.
    pub images_max: u64,
    /// Monotonic time in nanoseconds since boot.
    pub now_ns: u64,
    /// Time the CPU was idle, in nanoseconds.
    pub idle_ns: u64,
    /// Frames received from the wire.
    pub nic_rx_frames: u64,
    /// Frames sent to the wire.
    pub nic_tx_frames: u64,
    /// Frames from the wire for nobody here, or dropped for want of room.
    pub nic_dropped: u64,
    /// Paging.
    pub paging: PagingStatus,
    /// Block devices.
    pub block: BlockStatus,
    /// The physical NIC's hardware address.
    pub nic_mac: [u8; 6],
    /// Zero.
    pub reserved_tail: [u8; 2],
}

const _: () = assert!(size_of::<HostStatus>() == 624);
