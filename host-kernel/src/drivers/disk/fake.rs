//! The device's side of a disk, honest or lying, for tests.

use crate::drivers::dma::DeviceMemory;
use crate::drivers::virtqueue::{QUEUE_BYTES, QueueAddresses, fake::FakeQueue};
use std::vec::Vec;

/// Number of the first frame of the test's memory, and how many there are.
pub(super) const FRAME_FIRST: u32 = 0x100;
pub(super) const FRAMES: usize = 256;

/// A request as the device sees it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: u32,
    pub(super) kind: u32,
    pub(super) sector: u64,
    /// Address and length of each piece of data.
    pub(super) pieces: Vec<(u64, u32)>,
    status: u64,
}

/// A disk's end of its queue, the frames, and what is on the disk.
#[derive(Debug)]
pub(super) struct FakeDisk {
    pub(super) queue: FakeQueue,
    memory: DeviceMemory,
    frames: DeviceMemory,
    pub(super) contents: Vec<u8>,
}

impl FakeDisk {
    /// Attaches to a disk's memory, whose first part is the queue.
    pub(super) fn new(memory: DeviceMemory, frames: DeviceMemory, blocks: usize) -> Self {
        let at = |offset| memory.physical() + offset;
        let addresses = QueueAddresses {
            descriptors: at(0),
            available: at(4096),
            used: at(4096 + 520),
        };
        Self {
            queue: FakeQueue::new(memory.device_view(), addresses, 128),
            memory,
            frames,
            contents: std::vec![0; 4096 * blocks],
        }
    }

    /// Takes the next request.
    pub(super) fn take(&mut self) -> Option<Request> {
        let (id, table, bytes) = self.queue.take()?;
        assert!(
            bytes.is_multiple_of(16) && bytes >= 32,
            "a table of {bytes} bytes"
        );
        let count = usize::try_from(bytes / 16).unwrap();
        let mut all: Vec<(u64, u32, u16)> = Vec::new();
        for nth in 0..count {
            let at = self.offset(table) + 16 * nth;
            let [low, high, length] = [0, 4, 8].map(|field| self.memory.read_u32(at + field));
            let [flags, next] = [12, 14].map(|field| self.memory.read_u16(at + field));
            assert_eq!(
                flags & 1 == 1,
                nth + 1 < count,
                "all but the last have a successor"
            );
            assert!(flags & 1 == 0 || usize::from(next) == nth + 1);
            all.push((u64::from(high) << 32 | u64::from(low), length, flags & 2));
        }
        let (header, status) = (all[0], all[count - 1]);
        assert_eq!((header.1, header.2), (16, 0));
        assert_eq!((status.1, status.2), (1, 2));
        let header = self.offset(header.0);
        let kind = self.memory.read_u32(header);
        let data = &all[1..count - 1];
        assert!(
            data.iter()
                .all(|&(_, _, write)| (write == 2) == (kind == 0))
        );
        let [low, high] = [8, 12].map(|field| u64::from(self.memory.read_u32(header + field)));
        Some(Request {
            id: u32::from(id),
            kind,
            sector: high << 32 | low,
            pieces: data.iter().map(|&(at, length, _)| (at, length)).collect(),
            status: status.0,
        })
    }

    /// Does what a request asks for; returns whether the driver wants an interrupt.
    pub(super) fn serve(&mut self, request: &Request) -> bool {
        let mut at = usize::try_from(request.sector).unwrap() * 512;
        let mut written = 1;
        for &(address, length) in &request.pieces {
            let bytes = usize::try_from(length).unwrap();
            let offset = usize::try_from(address - self.frames.physical()).unwrap();
            let disk = &mut self.contents[at..at + bytes];
            if request.kind == 0 {
                self.frames.copy_in(offset, disk);
                written += length;
            } else {
                self.frames.copy_out(offset, disk);
            }
            at += bytes;
        }
        self.answer(request, 0, written)
    }

    /// Answers a request, by right or not.
    pub(super) fn answer(&mut self, request: &Request, status: u8, length: u32) -> bool {
        let at = self.offset(request.status);
        self.memory.write_u8(at, status);
        self.queue.finish(request.id, length)
    }

    fn offset(&self, address: u64) -> usize {
        let offset = usize::try_from(address - self.memory.physical()).unwrap();
        assert!(offset >= QUEUE_BYTES);
        offset
    }
}
