//! A machine without hardware: the one the core's tests run on.
//!
//! Frames are bytes in a table, page tables are modelled with their real levels, time goes on by
//! hand, the NIC is two queues, disks have contents ([`FakeDisks`]). It panics where the kernel
//! would break isolation: a frame that has been in a guest's hands and is handed to another without
//! having been overwritten whole, a frame used while a disk works on it, an address space in use
//! twice, a mapping into a table that is not there.

mod costs;
mod disk;
mod frames;
mod guest;
mod lies;
mod report;

use super::{
    Access, DiskCompletion, DiskFull, DiskInfo, DiskOperation, DiskRequest, Event, Exit,
    FaultAccess, FrameId, Machine, Marks, NicFull, Offload, Page, Position, Received, Space,
    TableMissing, UnsoundRegisters,
};
use crate::memory::address_space::allows;
use crate::time::Time;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
pub use costs::Costs;
use denali_abi::convert::{u32_to_usize, usize_to_u64};
use denali_abi::registers::ClockParameters;
use denali_abi::upcall::UpcallFrame;
pub use disk::{DiskFault, FakeDisks};
use frames::Frame;
use guest::assert_guests;
use lies::Lies;
pub use report::BOOT_REPORT;

/// Bytes in a frame.
const FRAME_LEN: usize = 4096;

/// What memory holds that nobody has written: never zero.
const GARBAGE: u8 = 0xa5;

/// Bits of the page number below each level of page tables under the root (Intel SDM vol. 3A
/// §4.5): the next one below the root maps 512 GiB, then 1 GiB, then 2 MiB.
const LEVEL_BITS: [u32; 3] = [27, 18, 9];

/// One address space and the state of its guest.
#[derive(Clone, Debug)]
struct Guest {
    context: FrameId,
    tables: BTreeMap<(usize, u32), FrameId>,
    pages: BTreeMap<u32, (FrameId, Access)>,
    marks: BTreeMap<u32, Marks>,
    result: Option<i64>,
    /// The hypercall it makes again when it runs next.
    repeats: Option<u64>,
    position: Position,
}

/// The fake machine.
#[derive(Debug)]
pub struct FakeMachine {
    frames: Vec<Frame>,
    guests: BTreeMap<u32, Guest>,
    now: Time,
    entropy: u64,
    exits: VecDeque<Exit>,
    marks_taken: u64,
    arriving: VecDeque<(Vec<u8>, Offload)>,
    /// Whether the core was told of them, and has not looked since.
    is_told: bool,
    sent: VecDeque<(Vec<u8>, Offload)>,
    nic_offloads: u16,
    transmit_room: usize,
    was_full: bool,
    mac: [u8; 6],
    log: Vec<u8>,
    costs: Costs,
    disks: FakeDisks,
    lies: Lies,
}

impl FakeMachine {
    /// Makes a machine with `frames` frames, numbered from 0, all full of garbage.
    #[must_use]
    pub fn new(frames: u32) -> Self {
        let frame = Frame {
            bytes: None,
            stale: true,
            busy: None,
        };
        Self {
            frames: alloc::vec![frame; u32_to_usize(frames)],
            guests: BTreeMap::new(),
            now: Time::from_ns(1),
            entropy: 0,
            exits: VecDeque::new(),
            marks_taken: 0,
            arriving: VecDeque::new(),
            is_told: false,
            sent: VecDeque::new(),
            nic_offloads: 0,
            transmit_room: usize::MAX,
            was_full: false,
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            log: Vec::new(),
            costs: Costs::default(),
            disks: FakeDisks::new(),
            lies: Lies::default(),
        }
    }

    /// Returns the disks, to add some and to break them.
    pub const fn fake_disks(&mut self) -> &mut FakeDisks {
        &mut self.disks
    }

    /// From now on tells the kernel something else on `of_256` of 256 reads, by a seed other than 0,
    /// as memory would that another processor or a device writes to; but not of the frame `except`.
    pub const fn lie(&mut self, of_256: u8, seed: u64, except: FrameId) {
        self.lies = Lies::new(of_256, seed, except);
    }

    /// Lets `ns` nanoseconds pass.
    pub fn advance(&mut self, ns: u64) {
        self.now = self.now.plus_ns(ns);
    }

    /// Sets what the kernel's work costs.
    pub const fn set_costs(&mut self, costs: Costs) {
        self.costs = costs;
    }

    /// Lets the time pass that it takes to write `length` bytes.
    fn work(&mut self, length: usize) {
        let Costs { call_ns, kib_ns } = self.costs;
        self.advance(call_ns + kib_ns * usize_to_u64(length) / 1024);
    }

    /// Makes the guest that runs next exit this way, after those scripted before.
    pub fn script(&mut self, exit: Exit) {
        self.exits.push_back(exit);
    }

    /// Lets a frame arrive from the wire.
    pub fn arrive(&mut self, frame: &[u8]) {
        self.arrive_with(frame, Offload::default());
    }

    /// Lets a frame arrive of which the NIC says that this is left to do.
    pub fn arrive_with(&mut self, frame: &[u8], offload: Offload) {
        self.arriving.push_back((frame.to_vec(), offload));
        self.is_told = false;
    }

    /// Takes the oldest frame sent to the wire.
    pub fn take_sent(&mut self) -> Option<Vec<u8>> {
        self.take_sent_with_offload().map(|(frame, _)| frame)
    }

    /// Takes the oldest frame sent to the wire, and what it leaves to the NIC.
    pub fn take_sent_with_offload(&mut self) -> Option<(Vec<u8>, Offload)> {
        self.sent.pop_front()
    }

    /// Sets what may be left to the NIC.
    pub const fn set_nic_offloads(&mut self, flags: u16) {
        self.nic_offloads = flags;
    }

    /// Sets how many more frames the NIC takes.
    pub fn set_transmit_room(&mut self, frames: usize) {
        self.transmit_room = frames;
    }

    /// Takes the NIC out, or puts another one in.
    pub fn set_mac(&mut self, mac: [u8; 6]) {
        self.mac = mac;
    }

    /// Returns what was logged.
    #[must_use]
    pub fn logged(&self) -> &[u8] {
        &self.log
    }

    fn guest(&mut self, space: Space) -> &mut Guest {
        self.guests
            .get_mut(&space.root.0)
            .expect("the kernel names an address space it created")
    }
}

impl Machine for FakeMachine {
    fn now(&mut self) -> Time {
        self.now
    }

    fn clock(&self) -> ClockParameters {
        ClockParameters {
            ns_per_tick: 1 << 32,
            ..ClockParameters::default()
        }
    }

    fn cpu_hz(&self) -> u64 {
        1_000_000_000
    }

    fn entropy(&mut self) -> u64 {
        self.entropy = self
            .entropy
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.entropy
    }

    fn poll_event(&mut self) -> Option<Event> {
        if !self.arriving.is_empty() && !self.is_told {
            self.is_told = true;
            return Some(Event::NicReceive);
        }
        self.work_disks();
        if self.disks.has_completion() {
            return Some(Event::DiskDone);
        }
        let resumed = self.was_full && self.transmit_room > 0;
        self.was_full &= !resumed;
        resumed.then_some(Event::NicTransmit)
    }

    fn run(&mut self, space: Space, until: Time) -> Exit {
        assert!(
            self.guests.contains_key(&space.root.0),
            "a guest runs in a space that exists"
        );
        self.exits.pop_front().unwrap_or_else(|| {
            self.now = self.now.max(self.disks.interrupts_before(until));
            Exit::Interrupted
        })
    }

    fn idle_until(&mut self, until: Option<Time>) {
        let until = match until {
            Some(until) => Some(self.disks.interrupts_before(until)),
            None => self.disks.next_due(),
        };
        if (self.arriving.is_empty() || self.is_told)
            && let Some(until) = until
        {
            self.now = self.now.max(until);
        }
    }

    fn create_space(&mut self, space: Space, entry: u64, stack_top: u64) {
        self.assert_fresh(space.root);
        self.assert_fresh(space.context);
        let guest = Guest {
            context: space.context,
            tables: BTreeMap::new(),
            pages: BTreeMap::new(),
            marks: BTreeMap::new(),
            result: None,
            repeats: None,
            position: Position {
                rip: entry,
                rsp: stack_top,
            },
        };
        assert!(
            self.guests.insert(space.root.0, guest).is_none(),
            "the root is in use"
        );
    }

    fn drop_space(&mut self, space: Space) {
        let guest = self
            .guests
            .remove(&space.root.0)
            .expect("a space is dropped once");
        assert_eq!(guest.context, space.context);
        self.soil(space.root);
        self.soil(space.context);
        for table in guest.tables.into_values() {
            self.soil(table);
        }
        for (frame, access) in guest.pages.into_values() {
            if access == Access::ReadWrite {
                self.soil(frame);
            }
        }
    }

    fn suspend_space(&mut self, space: Space) {
        self.suspend(space);
    }

    fn resume_space(&mut self, space: Space) {
        self.resume(space);
    }

    fn settle_registers(&mut self, space: Space) {
        self.settle(space);
    }

    fn adopt_registers(&mut self, space: Space) -> Result<(), UnsoundRegisters> {
        self.adopt(space)
    }

    fn repeat_call(&mut self, space: Space, number: u64) {
        self.guest(space).repeats = Some(number);
    }

    fn set_result(&mut self, space: Space, result: i64) {
        self.guest(space).result = Some(result);
    }

    fn position(&self, space: Space) -> Position {
        self.guests
            .get(&space.root.0)
            .map_or_else(Position::default, |guest| guest.position)
    }

    fn interrupted(&self, space: Space) -> UpcallFrame {
        let Position { rip, rsp } = self.position(space);
        UpcallFrame {
            pending: 0,
            rip,
            cs: 0x33,
            rflags: 0x202,
            rsp,
            ss: 0x2b,
        }
    }

    fn divert(&mut self, space: Space, position: Position) {
        self.guest(space).position = position;
    }

    fn map(
        &mut self,
        space: Space,
        page: Page,
        frame: FrameId,
        access: Access,
    ) -> Result<(), TableMissing> {
        assert_guests(page);
        self.assert_fresh(frame);
        let guest = self.guest(space);
        for (level, bits) in LEVEL_BITS.into_iter().enumerate() {
            if !guest.tables.contains_key(&(level, page.0 >> bits)) {
                return Err(TableMissing);
            }
        }
        guest.pages.insert(page.0, (frame, access));
        guest.marks.insert(page.0, Marks::default());
        Ok(())
    }

    fn add_table(&mut self, space: Space, page: Page, frame: FrameId) {
        self.assert_fresh(frame);
        let guest = self.guest(space);
        let missing = LEVEL_BITS
            .into_iter()
            .enumerate()
            .map(|(level, bits)| (level, page.0 >> bits))
            .find(|place| !guest.tables.contains_key(place));
        let place = missing.expect("a table is added where one is missing");
        guest.tables.insert(place, frame);
    }

    fn unmap(&mut self, space: Space, page: Page) -> Option<FrameId> {
        assert_guests(page);
        let (frame, access) = self.guest(space).pages.remove(&page.0)?;
        self.guest(space).marks.remove(&page.0);
        if access == Access::ReadWrite {
            self.soil(frame);
        }
        Some(frame)
    }

    fn touch(&mut self, space: Space, page: Page, wanted: FaultAccess) -> Option<FrameId> {
        let (frame, access) = self.lookup(space, page)?;
        if !allows(access, wanted) {
            return None;
        }
        self.mark(space, page, wanted);
        Some(frame)
    }

    fn take_marks(&mut self, space: Space, page: Page) -> Option<Marks> {
        assert_guests(page);
        self.marks_taken += 1;
        let marks = self.guest(space).marks.get_mut(&page.0)?;
        let taken = *marks;
        marks.referenced = false;
        Some(taken)
    }

    fn lookup(&self, space: Space, page: Page) -> Option<(FrameId, Access)> {
        assert_guests(page);
        self.guests.get(&space.root.0)?.pages.get(&page.0).copied()
    }

    fn read_frame(&self, frame: FrameId, offset: usize, buffer: &mut [u8]) {
        let busy = self.frames[u32_to_usize(frame.0)].busy;
        assert_ne!(busy, Some(DiskOperation::Read), "{frame:?} is being filled");
        match &self.frames[u32_to_usize(frame.0)].bytes {
            Some(bytes) => buffer.copy_from_slice(&bytes[offset..offset + buffer.len()]),
            None => buffer.fill(GARBAGE),
        }
        self.lies.tell(frame, buffer);
    }

    fn write_frame(&mut self, frame: FrameId, offset: usize, bytes: &[u8]) {
        if bytes.len() == FRAME_LEN {
            self.assert_idle(frame);
            self.frames[u32_to_usize(frame.0)].stale = false;
        }
        self.assert_fresh(frame);
        self.work(bytes.len());
        self.bytes_mut(u32_to_usize(frame.0))[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn zero_frame(&mut self, frame: FrameId) {
        self.assert_idle(frame);
        self.work(FRAME_LEN);
        let frame = u32_to_usize(frame.0);
        self.bytes_mut(frame).fill(0);
        self.frames[frame].stale = false;
    }

    fn copy_frame(&mut self, from: FrameId, to: FrameId) {
        self.assert_idle(to);
        self.work(FRAME_LEN);
        let source = self.frames[u32_to_usize(from.0)].bytes.clone();
        let to = u32_to_usize(to.0);
        self.frames[to].bytes = source;
        self.frames[to].stale = false;
    }

    fn log(&mut self, bytes: &[u8]) {
        self.log.extend_from_slice(bytes);
    }

    fn boot_report(&self, position: usize, buffer: &mut [u8]) -> usize {
        report::copy(position, buffer)
    }

    fn nic_mac(&self) -> [u8; 6] {
        self.mac
    }

    fn nic_receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        let (frame, offload) = self.arriving.pop_front()?;
        self.is_told = false;
        let length = frame.len();
        self.work(length);
        buffer[..length].copy_from_slice(&frame);
        Some(Received { length, offload })
    }

    fn nic_offloads(&self) -> u16 {
        self.nic_offloads
    }

    fn nic_transmit(&mut self, frame: &[u8], offload: Offload) -> Result<(), NicFull> {
        assert_eq!(
            offload.flags & !self.nic_offloads,
            0,
            "nothing is left to a NIC that does not do it"
        );
        if self.transmit_room == 0 {
            self.was_full = true;
            return Err(NicFull);
        }
        self.transmit_room -= 1;
        self.work(frame.len());
        self.sent.push_back((frame.to_vec(), offload));
        Ok(())
    }

    fn disks(&self) -> &[DiskInfo] {
        self.disks.infos()
    }

    fn disk_submit(&mut self, request: &DiskRequest<'_>) -> Result<(), DiskFull> {
        let taken = self.disks.submit(request, self.now)?;
        if taken == disk::Taken::UnderWay {
            for &frame in request.frames {
                self.assert_idle(frame);
                self.frames[u32_to_usize(frame.0)].busy = Some(request.operation);
            }
        }
        Ok(())
    }

    fn disk_completion(&mut self) -> Option<DiskCompletion> {
        self.work_disks();
        self.disks.take_completion()
    }
}
