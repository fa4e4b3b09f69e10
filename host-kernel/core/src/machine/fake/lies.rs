//! Memory that lies: what a read finds is not always what was written.
//!
//! So does memory that another processor or a device writes to between two reads of the kernel. Code
//! that copies once, checks the copy and uses the copy does not notice.

use super::super::FrameId;
use core::cell::Cell;

/// Whether and how often memory lies; never by default.
#[derive(Debug, Default)]
pub(super) struct Lies {
    /// Of 256 reads, how many are told something else.
    of_256: u8,
    /// The frame that nobody else writes to.
    except: Option<FrameId>,
    state: Cell<u64>,
}

impl Lies {
    /// Makes memory lie on `of_256` of 256 reads, by a seed other than 0.
    pub(super) const fn new(of_256: u8, seed: u64, except: FrameId) -> Self {
        Self {
            of_256,
            except: Some(except),
            state: Cell::new(seed),
        }
    }

    /// Changes one byte of what was read, now and then: to anything, or by one.
    pub(super) fn tell(&self, frame: FrameId, buffer: &mut [u8]) {
        if self.of_256 == 0 || self.except == Some(frame) || buffer.is_empty() {
            return;
        }
        let [chance, place, kind, value, ..] = self.next().to_le_bytes();
        if chance >= self.of_256 {
            return;
        }
        let at = (usize::from(place) << 8 | usize::from(value)) % buffer.len();
        buffer[at] = match kind % 3 {
            0 => value,
            1 => buffer[at].wrapping_add(1),
            _ => buffer[at].wrapping_sub(1),
        };
    }

    /// Returns the next number of a generator (`xorshift64`, Marsaglia 2003).
    fn next(&self) -> u64 {
        let mut state = self.state.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state.set(state);
        state
    }
}
