//! What hardware must offer: the one seam between decisions and the machine half.
//!
//! The core drives a [`Machine`]; it never meets an address of physical memory, a page-table entry
//! or a device register. Frames are numbers, address spaces are pairs of frames. The real machine
//! ([`Machine`] for the PC) lives in `host-kernel`; `FakeMachine` (`fake.rs`) runs the same
//! kernel under test.
//!
//! Contract for implementors: no method may panic on values the core passes on from a guest
//! (page numbers are below [`GUEST_END`](denali_abi::layout::GUEST_END), frames come from the frame
//! table, lengths stay inside a frame). A machine runs one VM at a time and takes interrupts only
//! inside [`Machine::run`] and [`Machine::idle_until`].

pub mod fake;

pub mod disk;

pub use disk::{
    DISK_FRAMES_MAX, DiskCompletion, DiskError, DiskFull, DiskInfo, DiskOperation, DiskRequest,
    Writable,
};

use crate::time::Time;
use denali_abi::registers::ClockParameters;
use denali_abi::upcall::UpcallFrame;

/// A physical frame of 4 KiB, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u32);

/// A page of a guest's address space, by number (address divided by 4 KiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Page(pub u32);

/// A guest's address space and its register context: two frames that the machine lays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// The root page table.
    pub root: FrameId,
    /// General registers and vector state while the VM does not run.
    pub context: FrameId,
}

/// What a mapping allows the guest. Write and execute exclude each other by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `r--`
    Read,
    /// `rw-`
    ReadWrite,
    /// `r-x`
    ReadExecute,
}

/// What was done to a page since it was mapped, by the guest or for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It was used since the marks were last taken.
    pub referenced: bool,
    /// It was written since it was mapped.
    pub modified: bool,
}

/// A level of the page table is missing: give the machine a frame for it
/// ([`Machine::add_table`]) and map again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMissing;

/// The kind of access that faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAccess {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Why a VM stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It executed `syscall`. The result goes back by [`Machine::set_result`].
    Hypercall {
        /// The number in `rax`.
        number: u64,
        /// `rdi`, `rsi`, `rdx`, `r10`, `r8`, `r9`.
        arguments: [u64; 6],
    },
    /// It touched `address` and the mapping was absent or did not allow it.
    PageFault {
        /// The address, anywhere in 64 bits.
        address: u64,
        /// What it tried.
        access: FaultAccess,
        /// Whether a mapping was there.
        present: bool,
    },
    /// Any other processor exception.
    Exception {
        /// The vector, 0 to 31.
        vector: u8,
        /// The error code, or 0.
        code: u64,
    },
    /// The slice is over or an interrupt arrived: poll events and decide anew.
    Interrupted,
}

/// Something that happened outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The NIC holds received frames: call [`Machine::nic_receive`]. The core takes a bounded number,
    /// and the machine reports the event again if frames are left after that, or more arrive after
    /// the last one was taken: until then it may be silent.
    NicReceive,
    /// The NIC has room to transmit again after a [`NicFull`].
    NicTransmit,
    /// Disks are done with requests: call [`Machine::disk_completion`] until it returns `None`. The
    /// machine reports the event again as long as completions are left.
    DiskDone,
}

/// What a frame leaves to do, to the NIC or for us; the default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Bits of [`flags`](denali_abi::net::flags): the checksum, and cutting. Of a received frame also
    /// that its checksum has been verified.
    pub flags: u16,
    /// Payload bytes a segment, if it is to be cut.
    pub segment_size: u16,
    /// Bytes of headers before the payload.
    pub header_len: u16,
    /// Where what is to be summed starts. The sum of the pseudo-header is in place.
    pub checksum_start: u16,
    /// Where the checksum goes, from there.
    pub checksum_offset: u16,
}

/// A frame that the NIC has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length.
    pub length: usize,
    /// What the NIC says is left to do: an allegation, as all that comes from outside.
    pub offload: Offload,
}

/// The NIC's transmit queue is full; an [`Event::NicTransmit`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NicFull;

/// A register state that no guest can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsoundRegisters;

/// Where a VM is: for the record of its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Instruction pointer.
    pub rip: u64,
    /// Stack pointer.
    pub rsp: u64,
}

/// The hardware as the core sees it.
pub trait Machine {
    /// Returns the monotonic time.
    fn now(&mut self) -> Time;

    /// Returns the parameters guests use to read the same clock.
    fn clock(&self) -> ClockParameters;

    /// Returns ticks of the time-stamp counter per second.
    fn cpu_hz(&self) -> u64;

    /// Returns 64 bits of entropy, best effort, to seed the kernel's generator.
    fn entropy(&mut self) -> u64;

    /// Returns the next thing that happened outside, if any.
    fn poll_event(&mut self) -> Option<Event>;

    /// Runs the guest of `space` until it exits or `until` passes.
    fn run(&mut self, space: Space, until: Time) -> Exit;

    /// Lets the guest that [`run`](Self::run) ran last, until `until`, go on after a hypercall that
    /// changed nothing for anybody else.
    fn resume(&mut self, space: Space, until: Time) -> Exit {
        self.run(space, until)
    }

    /// Halts the CPU until an interrupt arrives or `until` passes; `None` waits for interrupts
    /// alone. Returns at once if an event is pending.
    fn idle_until(&mut self, until: Option<Time>);

    /// Lays out a new address space in two zeroed frames: no guest mapping, all registers zero but
    /// the instruction and stack pointer, clean vector state.
    fn create_space(&mut self, space: Space, entry: u64, stack_top: u64);

    /// Forgets everything cached about a space whose frames are about to be freed.
    fn drop_space(&mut self, space: Space);

    /// Writes everything the machine knows of the guest to its context frame and forgets the space,
    /// as [`Machine::drop_space`]. Afterwards the contents of the context frame are the guest's whole
    /// register state, wherever they are kept meanwhile.
    fn suspend_space(&mut self, space: Space);

    /// Lays out an address space without guest mappings in a zeroed root, around a context frame
    /// that holds what [`Machine::suspend_space`] wrote.
    fn resume_space(&mut self, space: Space);

    /// Writes everything the machine knows of the guest to its context frame, as
    /// [`Machine::suspend_space`], but keeps the space.
    fn settle_registers(&mut self, space: Space);

    /// Takes over a register state that was written into the context frame and may be anything: with
    /// it the guest must be able to do no more than any guest.
    ///
    /// # Errors
    ///
    /// [`UnsoundRegisters`] if it is none that a guest can have; the guest must not run then.
    fn adopt_registers(&mut self, space: Space) -> Result<(), UnsoundRegisters>;

    /// Lets the guest make the hypercall `number` it exited with again when it runs next, with the
    /// same arguments.
    fn repeat_call(&mut self, space: Space, number: u64);

    /// Sets the result of the hypercall the guest exited with.
    fn set_result(&mut self, space: Space, result: i64);

    /// Returns where the guest is.
    fn position(&self, space: Space) -> Position;

    /// Returns what an upcall interrupts, with nothing pending.
    fn interrupted(&self, space: Space) -> UpcallFrame;

    /// Lets the guest go on elsewhere: in its text below
    /// [`GUEST_END`](denali_abi::layout::GUEST_END), with clean flags and all other state as it is.
    fn divert(&mut self, space: Space, position: Position);

    /// Maps `page` to `frame`, replacing an earlier mapping of the page.
    ///
    /// # Errors
    ///
    /// [`TableMissing`] if the machine needs a frame for a page table first.
    fn map(
        &mut self,
        space: Space,
        page: Page,
        frame: FrameId,
        access: Access,
    ) -> Result<(), TableMissing>;

    /// Installs a zeroed frame as the first page table missing on the way to `page`.
    fn add_table(&mut self, space: Space, page: Page, frame: FrameId);

    /// Removes the mapping of `page` and returns what it was.
    fn unmap(&mut self, space: Space, page: Page) -> Option<FrameId>;

    /// Returns the frame that `page` shows if the mapping allows an access, and marks the page as
    /// the guest's own access would: the kernel is about to make it for the guest.
    fn touch(&mut self, space: Space, page: Page, wanted: FaultAccess) -> Option<FrameId>;

    /// Returns the marks of a mapped page, and has it not referenced from now on.
    fn take_marks(&mut self, space: Space, page: Page) -> Option<Marks>;

    /// Returns the mapping of `page`.
    fn lookup(&self, space: Space, page: Page) -> Option<(FrameId, Access)>;

    /// Copies bytes out of a frame. `offset + buffer.len()` is at most 4,096.
    fn read_frame(&self, frame: FrameId, offset: usize, buffer: &mut [u8]);

    /// Copies bytes into a frame. `offset + bytes.len()` is at most 4,096.
    fn write_frame(&mut self, frame: FrameId, offset: usize, bytes: &[u8]);

    /// Fills a frame with zeros.
    fn zero_frame(&mut self, frame: FrameId);

    /// Copies a whole frame.
    fn copy_frame(&mut self, from: FrameId, to: FrameId);

    /// Writes the supervisor's console output to the machine's own log.
    fn log(&mut self, bytes: &[u8]);

    /// Copies what the machine said of itself while booting, from a byte of it on, and returns how
    /// many bytes that is.
    fn boot_report(&self, position: usize, buffer: &mut [u8]) -> usize;

    /// Returns the hardware address of the NIC; all zero if there is none.
    fn nic_mac(&self) -> [u8; 6];

    /// Takes one received frame out of the NIC, into `buffer`, which holds the longest
    /// super-segment; one that is longer is dropped.
    fn nic_receive(&mut self, buffer: &mut [u8]) -> Option<Received>;

    /// Returns which bits of [`Offload::flags`] the NIC takes.
    fn nic_offloads(&self) -> u16;

    /// Queues one frame for transmission, with what [`nic_offloads`](Self::nic_offloads) offers left
    /// to the NIC. The device is told at the latest when the machine next
    /// runs a VM or idles.
    ///
    /// # Errors
    ///
    /// [`NicFull`] if there is no room; the frame was not taken.
    fn nic_transmit(&mut self, frame: &[u8], offload: Offload) -> Result<(), NicFull>;

    /// Returns the disks, in the order of their addresses; the same for ever.
    fn disks(&self) -> &[DiskInfo];

    /// Queues a request to a disk. The device is told at the latest when the machine next runs a VM
    /// or idles. What is wrong with a request comes back as its completion.
    ///
    /// # Errors
    ///
    /// [`DiskFull`] if there is no room; nothing was taken.
    fn disk_submit(&mut self, request: &DiskRequest<'_>) -> Result<(), DiskFull>;

    /// Returns the next completion, in the order in which the devices were done.
    fn disk_completion(&mut self) -> Option<DiskCompletion>;
}
