//! The console ring of a VM: the last 4,096 bytes it wrote, in a frame charged to it.
//!
//! Positions are absolute: byte `n` ever written lies at `n` modulo the ring's size. The frame is
//! not mapped anywhere, and it outlives the VM until the VM is destroyed.

use crate::machine::{FrameId, Machine};
use core::ops::Range;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::PAGE_SIZE;

/// Bytes a console keeps.
pub const CONSOLE_LEN: u64 = PAGE_SIZE;

/// Appends `bytes` to the ring in `frame`, in which `written` bytes were written before.
pub fn append(frame: FrameId, written: u64, bytes: &[u8], machine: &mut dyn Machine) {
    let mut at = written;
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = u64_to_usize(at % CONSOLE_LEN);
        let length = rest.len().min(u64_to_usize(CONSOLE_LEN) - offset);
        let (part, behind) = rest.split_at(length);
        machine.write_frame(frame, offset, part);
        rest = behind;
        at += usize_to_u64(length);
    }
}

/// Returns the positions that a reader at `position` with room for `room` bytes gets.
#[must_use]
pub fn readable(written: u64, position: u64, room: u64) -> Range<u64> {
    let oldest = written.saturating_sub(CONSOLE_LEN);
    let start = position.clamp(oldest, written);
    start..written.min(start.saturating_add(room))
}

/// Copies the bytes from `position` on out of the ring; they must be readable.
pub fn read(frame: FrameId, position: u64, buffer: &mut [u8], machine: &dyn Machine) {
    let mut at = position;
    let mut rest = buffer;
    while !rest.is_empty() {
        let offset = u64_to_usize(at % CONSOLE_LEN);
        let length = rest.len().min(u64_to_usize(CONSOLE_LEN) - offset);
        let (part, behind) = rest.split_at_mut(length);
        machine.read_frame(frame, offset, part);
        rest = behind;
        at += usize_to_u64(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fake::FakeMachine;

    #[test]
    fn the_ring_keeps_the_newest_bytes() {
        let mut machine = FakeMachine::new(1);
        let frame = FrameId(0);
        machine.zero_frame(frame);
        let mut written = 0;
        for round in 0..100_u8 {
            append(frame, written, &[round; 100], &mut machine);
            written += 100;
        }
        let range = readable(written, 0, 8192);
        assert_eq!(range, 10_000 - 4096..10_000);
        let mut bytes = [0; 100];
        read(frame, 9_900, &mut bytes, &machine);
        assert_eq!(bytes, [99; 100]);
        read(frame, 8_150, &mut bytes, &machine);
        assert_eq!((bytes[0], bytes[49], bytes[50]), (81, 81, 82));
    }

    #[test]
    fn a_reader_ahead_of_the_writer_gets_nothing() {
        assert_eq!(readable(10, 20, 5), 10..10);
        assert_eq!(readable(10, 4, 3), 4..7);
        assert_eq!(readable(10, u64::MAX, u64::MAX), 10..10);
    }
}
