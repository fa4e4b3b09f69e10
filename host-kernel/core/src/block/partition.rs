//! Which parts of which disks are for what, read from the disks' tables at boot.

use crate::machine::disk::{DiskOperation, DiskRequest, Writable};
use crate::machine::{Event, FrameId, Machine};
use crate::memory::FrameRange;
use alloc::format;
use alloc::vec::Vec;
use denali_abi::block::BLOCK_LEN;
use denali_abi::partition::{PartitionTable, kind};

/// A part of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The disk.
    pub disk: u8,
    /// Its first block on the disk.
    pub start: u64,
    /// Its blocks.
    pub blocks: u64,
}

/// What the disks are used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions {
    /// Swap space.
    pub swap: Vec<Part>,
    /// The supervisor's store: the first there is.
    pub store: Option<Part>,
    /// Volumes: the first there is.
    pub volumes: Option<Part>,
    /// What was reported while their tables were read, for the kernel to deal with.
    pub events: Vec<Event>,
}

impl Partitions {
    /// Reads the tables of all disks that can be written, by way of the first frame of `memory`,
    /// before anybody has it. What is not used, and why, goes to the log.
    #[must_use]
    pub fn read(memory: &[FrameRange], machine: &mut dyn Machine) -> Self {
        let mut partitions = Self::default();
        let frame = memory.iter().find(|range| range.count > 0);
        let Some(frame) = frame.map(|range| range.start) else {
            return partitions;
        };
        let disks: Vec<_> = (0_u8..).zip(machine.disks().iter().copied()).collect();
        for (disk, info) in disks {
            if info.writable == Writable::No {
                continue;
            }
            let Some(block) = read_first(disk, frame, &mut partitions.events, machine) else {
                say(disk, &"its first block cannot be read", machine);
                continue;
            };
            match PartitionTable::read(&block, info.blocks) {
                Ok(None) => partitions.swap.push(Part {
                    disk,
                    start: 0,
                    blocks: info.blocks,
                }),
                Ok(Some(table)) => partitions.add(disk, &table),
                Err(error) => say(disk, &error, machine),
            }
        }
        partitions
    }

    fn add(&mut self, disk: u8, table: &PartitionTable) {
        for partition in table.iter() {
            let part = Part {
                disk,
                start: partition.start,
                blocks: partition.blocks,
            };
            match partition.kind {
                kind::SWAP => self.swap.push(part),
                kind::STORE => _ = self.store.get_or_insert(part),
                kind::VOLUMES => _ = self.volumes.get_or_insert(part),
                _ => {}
            }
        }
    }
}

fn say(disk: u8, why: &dyn core::fmt::Display, machine: &mut dyn Machine) {
    machine.log(format!("disk {disk} is not used: {why}\n").as_bytes());
}

/// Reads the first block of a disk and waits for it: nothing else runs yet.
fn read_first(
    disk: u8,
    frame: FrameId,
    events: &mut Vec<Event>,
    machine: &mut dyn Machine,
) -> Option<[u8; BLOCK_LEN]> {
    machine.zero_frame(frame);
    let request = DiskRequest {
        tag: 0,
        disk,
        operation: DiskOperation::Read,
        block: 0,
        frames: &[frame],
    };
    machine.disk_submit(&request).ok()?;
    loop {
        // It comes to an end: the machine gives up a disk that does not answer.
        match machine.poll_event() {
            Some(Event::DiskDone) => {}
            Some(event) => {
                if !events.contains(&event) {
                    events.push(event);
                }
                continue;
            }
            None => {
                machine.idle_until(None);
                continue;
            }
        }
        if let Some(done) = machine.disk_completion() {
            let mut block = [0; BLOCK_LEN];
            machine.read_frame(frame, 0, &mut block);
            return done.result.ok().map(|()| block);
        }
    }
}
