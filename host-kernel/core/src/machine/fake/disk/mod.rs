//! Disks of the fake machine: real contents, latencies and orders from a seed, and every way in
//! which a disk lies.

use super::super::{
    DiskCompletion, DiskError, DiskFull, DiskInfo, DiskOperation, DiskRequest, FrameId, Writable,
};
use super::{FRAME_LEN, FakeMachine};
use crate::time::Time;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use denali_abi::convert::{u32_to_usize, u64_to_usize, usize_to_u64};

/// Bytes that a disk writes in one piece.
const SECTOR_LEN: usize = 512;

type Block = [u8; FRAME_LEN];

/// What a disk does wrong. All but the first two report success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// The request fails.
    Error,
    /// The request is answered only after ten times the longest latency.
    Slow,
    /// One block of a write gets only its first sectors.
    Torn,
    /// One bit of a block that is read is another; the block on the disk is right.
    Flip,
    /// A block is written to, or read from, another place.
    Misdirected,
    /// A write does not happen: the blocks keep what they held.
    Stale,
}

impl DiskFault {
    /// Every fault there is.
    pub const ALL: [Self; 6] = [
        Self::Error,
        Self::Slow,
        Self::Torn,
        Self::Flip,
        Self::Misdirected,
        Self::Stale,
    ];

    fn fits(self, operation: DiskOperation) -> bool {
        match self {
            Self::Error | Self::Slow => true,
            Self::Torn | Self::Stale => operation == DiskOperation::Write,
            Self::Flip => operation == DiskOperation::Read,
            Self::Misdirected => operation != DiskOperation::Flush,
        }
    }
}

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    tag: u32,
    disk: usize,
    block: u64,
    due: Time,
    fault: Option<DiskFault>,
    /// Which of its blocks is hit, and where, if it has a fault.
    roll: u64,
    pub(super) operation: DiskOperation,
    pub(super) frames: Vec<FrameId>,
    pub(super) result: Result<(), DiskError>,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    UnderWay,
    /// It is complete at once, as an error.
    Refused,
}

/// The disks.
#[derive(Clone, Debug)]
pub struct FakeDisks {
    infos: Vec<DiskInfo>,
    contents: Vec<BTreeMap<u64, Box<Block>>>,
    pending: Vec<Pending>,
    completions: VecDeque<DiskCompletion>,
    requests_max: usize,
    latency_ns: [u64; 2],
    random: u64,
    injected: VecDeque<DiskFault>,
    odds: Vec<(DiskFault, u32)>,
    faults: u64,
}

impl FakeDisks {
    pub(super) const fn new() -> Self {
        Self {
            infos: Vec::new(),
            contents: Vec::new(),
            pending: Vec::new(),
            completions: VecDeque::new(),
            requests_max: 64,
            latency_ns: [0, 0],
            random: 1,
            injected: VecDeque::new(),
            odds: Vec::new(),
            faults: 0,
        }
    }

    /// Adds a disk full of zeros; call it before the kernel looks.
    pub fn add(&mut self, blocks: u64, writable: Writable) {
        self.infos.push(DiskInfo { blocks, writable });
        self.contents.push(BTreeMap::new());
    }

    /// Sets the seed of latencies and faults.
    pub const fn set_seed(&mut self, seed: u64) {
        self.random = seed | 1;
    }

    /// Lets each request take between `min` and `max` nanoseconds, so that they overtake.
    pub const fn set_latency_ns(&mut self, min: u64, max: u64) {
        self.latency_ns = [min, max];
    }

    /// Sets how many requests may be under way, over all disks.
    pub const fn set_requests_max(&mut self, requests: usize) {
        self.requests_max = requests;
    }

    /// Lets the next request that a fault fits suffer it; those injected before come first.
    pub fn inject(&mut self, fault: DiskFault) {
        self.injected.push_back(fault);
    }

    /// Lets one in `one_in` of the requests that a fault fits suffer it; never if 0.
    pub fn set_odds(&mut self, fault: DiskFault, one_in: u32) {
        self.odds.retain(|&(other, _)| other != fault);
        self.odds.push((fault, one_in));
    }

    /// Returns how many requests suffered a fault.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// Returns how many requests are under way.
    #[must_use]
    pub const fn under_way(&self) -> usize {
        self.pending.len()
    }

    /// Returns what a block of a disk holds.
    #[must_use]
    pub fn contents(&self, disk: usize, block: u64) -> [u8; FRAME_LEN] {
        self.contents[disk]
            .get(&block)
            .map_or([0; FRAME_LEN], |bytes| **bytes)
    }

    /// Sets what a block of a disk holds.
    pub fn set_contents(&mut self, disk: usize, block: u64, bytes: &[u8; FRAME_LEN]) {
        self.contents[disk].insert(block, Box::new(*bytes));
    }

    pub(super) fn infos(&self) -> &[DiskInfo] {
        &self.infos
    }

    pub(super) fn submit(
        &mut self,
        request: &DiskRequest<'_>,
        now: Time,
    ) -> Result<Taken, DiskFull> {
        let DiskRequest {
            tag,
            disk,
            operation,
            block,
            frames,
        } = *request;
        assert!(
            self.pending.iter().all(|pending| pending.tag != tag),
            "tag {tag} is under way already"
        );
        if self.pending.len() >= self.requests_max {
            return Err(DiskFull);
        }
        let disk = usize::from(disk);
        if let Err(error) = request.check(self.infos.get(disk)) {
            let result = Err(error);
            self.completions.push_back(DiskCompletion { tag, result });
            return Ok(Taken::Refused);
        }
        let fault = self.draw_fault(operation);
        let [min, max] = self.latency_ns;
        let latency = match fault {
            Some(DiskFault::Slow) => 10 * max,
            _ => min + self.roll() % (max - min + 1),
        };
        let result = match fault {
            Some(DiskFault::Error) => Err(DiskError::Device),
            _ => Ok(()),
        };
        let roll = self.roll();
        self.pending.push(Pending {
            tag,
            disk,
            block,
            due: now.plus_ns(latency),
            fault,
            roll,
            operation,
            frames: frames.to_vec(),
            result,
        });
        Ok(Taken::UnderWay)
    }

    fn draw_fault(&mut self, operation: DiskOperation) -> Option<DiskFault> {
        let fitting = self.injected.iter().position(|fault| fault.fits(operation));
        let drawn = match fitting {
            Some(at) => self.injected.remove(at),
            None => (0..self.odds.len()).find_map(|at| {
                let (fault, one_in) = self.odds[at];
                let hit = one_in > 0 && self.roll().is_multiple_of(u64::from(one_in));
                (hit && fault.fits(operation)).then_some(fault)
            }),
        };
        self.faults += u64::from(drawn.is_some());
        drawn
    }

    /// Takes the request that is done first, if it is by `now`.
    pub(super) fn next_done(&mut self, now: Time) -> Option<Pending> {
        let first = (0..self.pending.len()).min_by_key(|&at| self.pending[at].due)?;
        (self.pending[first].due <= now).then(|| self.pending.remove(first))
    }

    /// Returns what the `nth` frame of a request gets.
    pub(super) fn read(&self, done: &Pending, nth: usize) -> Block {
        let is_hit = self.is_hit(done, nth);
        let block = done.block + usize_to_u64(nth);
        match done.fault {
            Some(DiskFault::Flip) if is_hit => {
                let mut bytes = self.contents(done.disk, block);
                let bit = u64_to_usize(done.roll >> 16) % (8 * FRAME_LEN);
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            }
            Some(DiskFault::Misdirected) if is_hit => {
                self.contents(done.disk, self.elsewhere(done, block))
            }
            _ => self.contents(done.disk, block),
        }
    }

    /// Does what becomes of the `nth` frame of a request that writes it.
    pub(super) fn write(&mut self, done: &Pending, nth: usize, bytes: &Block) {
        let is_hit = self.is_hit(done, nth);
        let block = done.block + usize_to_u64(nth);
        match done.fault {
            Some(DiskFault::Stale) => {}
            Some(DiskFault::Torn) if is_hit => {
                let sectors = 1 + u64_to_usize(done.roll >> 16) % (FRAME_LEN / SECTOR_LEN - 1);
                let mut torn = self.contents(done.disk, block);
                torn[..sectors * SECTOR_LEN].copy_from_slice(&bytes[..sectors * SECTOR_LEN]);
                self.set_contents(done.disk, block, &torn);
            }
            Some(DiskFault::Misdirected) if is_hit => {
                let elsewhere = self.elsewhere(done, block);
                self.set_contents(done.disk, elsewhere, bytes);
            }
            _ => self.set_contents(done.disk, block, bytes),
        }
    }

    fn is_hit(&self, done: &Pending, nth: usize) -> bool {
        u64_to_usize(done.roll & 0xffff) % done.frames.len() == nth
    }

    fn elsewhere(&self, done: &Pending, block: u64) -> u64 {
        let blocks = self.infos[done.disk].blocks;
        (block + 1 + (done.roll >> 16) % blocks.saturating_sub(1).max(1)) % blocks
    }

    pub(super) fn complete(&mut self, done: &Pending) {
        let Pending { tag, result, .. } = *done;
        self.completions.push_back(DiskCompletion { tag, result });
    }

    pub(super) fn has_completion(&self) -> bool {
        !self.completions.is_empty()
    }

    pub(super) fn take_completion(&mut self) -> Option<DiskCompletion> {
        self.completions.pop_front()
    }

    /// Returns when the next request is done.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// Returns `until`, or when a disk interrupts before.
    pub(super) fn interrupts_before(&self, until: Time) -> Time {
        self.next_due().map_or(until, |due| due.min(until))
    }

    fn roll(&mut self) -> u64 {
        // xorshift64*, as good as a test needs.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl FakeMachine {
    /// Does what disks have done by now.
    pub(super) fn work_disks(&mut self) {
        while let Some(done) = self.disks.next_done(self.now) {
            for (nth, &frame) in done.frames.iter().enumerate() {
                let frame = u32_to_usize(frame.0);
                self.frames[frame].busy = None;
                match done.operation {
                    DiskOperation::Read if done.result.is_ok() => {
                        let block = self.disks.read(&done, nth);
                        *self.bytes_mut(frame) = block;
                        self.frames[frame].stale = false;
                    }
                    DiskOperation::Write if done.result.is_ok() => {
                        let bytes = *self.bytes_mut(frame);
                        self.disks.write(&done, nth, &bytes);
                    }
                    DiskOperation::Read | DiskOperation::Write | DiskOperation::Flush => {}
                }
            }
            self.disks.complete(&done);
        }
    }
}

#[cfg(test)]
mod tests;
