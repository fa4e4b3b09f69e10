//! Randomness from the kernel's generator.

use crate::hypercall;
use crate::registers;
use crate::sync::GuestCell;

/// Bytes fetched in one crossing for callers that ask for little.
const BUFFER_LEN: usize = 64;

static BUFFER: GuestCell<Buffer> = GuestCell::new(Buffer {
    bytes: [0; BUFFER_LEN],
    unused: 0,
    generation: 0,
});

struct Buffer {
    bytes: [u8; BUFFER_LEN],
    /// Bytes not given out yet, at the end of `bytes`.
    unused: usize,
    /// The VM's resume generation when the bytes were fetched.
    generation: u32,
}

/// Fills `bytes` with random bytes fit for keys.
pub fn fill(bytes: &mut [u8]) {
    if bytes.len() > BUFFER_LEN {
        hypercall::random_all(bytes);
        return;
    }
    BUFFER.with(|buffer| buffer.fill(bytes, registers::resume_generation(), hypercall::random_all));
}

/// Returns a random number.
#[must_use]
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

impl Buffer {
    /// Gives out buffered bytes and forgets them; fetches new ones if too few are left, or if the
    /// VM was cloned or restored since: its twin has the same buffer.
    fn fill(&mut self, bytes: &mut [u8], generation: u32, fetch: impl FnOnce(&mut [u8])) {
        if self.unused < bytes.len() || self.generation != generation {
            fetch(&mut self.bytes);
            self.unused = BUFFER_LEN;
            self.generation = generation;
        }
        let start = BUFFER_LEN - self.unused;
        let given = &mut self.bytes[start..start + bytes.len()];
        bytes.copy_from_slice(given);
        given.fill(0);
        self.unused -= bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_out_once_and_not_across_a_restore() {
        let mut buffer = Buffer {
            bytes: [0; BUFFER_LEN],
            unused: 0,
            generation: 0,
        };
        let mut small = [0; 40];
        buffer.fill(&mut small, 0, |bytes| bytes.fill(1));
        assert_eq!((small, buffer.unused), ([1; 40], 24));
        buffer.fill(&mut small, 0, |bytes| bytes.fill(2));
        assert_eq!((small, buffer.unused), ([2; 40], 24));
        let mut tiny = [0; 4];
        buffer.fill(&mut tiny, 0, |_| panic!("enough is left"));
        assert_eq!(tiny, [2; 4]);
        buffer.fill(&mut tiny, 1, |bytes| bytes.fill(3));
        assert_eq!(tiny, [3; 4]);
    }

    #[test]
    fn two_draws_differ() {
        assert_ne!((u64(), u64()), (u64(), u64()));
    }
}
