//! Random numbers for guests and their seeds.
//!
//! `ChaCha20` with fast key erasure (Bernstein 2017): each request first replaces the key, so what
//! was given out cannot be computed from what the kernel holds later.

use crate::machine::Machine;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// Words of entropy asked for at boot.
const SEED_WORDS: usize = 4;

/// The kernel's generator; its whole state is the next key.
pub struct Generator {
    key: [u8; 32],
}

impl core::fmt::Debug for Generator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Generator(..)")
    }
}

impl Generator {
    /// Makes a generator seeded from the machine.
    #[must_use]
    pub fn new(machine: &mut dyn Machine) -> Self {
        let mut key = [0; 32];
        for (_, word) in (0..SEED_WORDS).zip(key.chunks_exact_mut(8)) {
            word.copy_from_slice(&machine.entropy().to_le_bytes());
        }
        let clock = machine.clock();
        let mut generator = Self { key };
        // What no two boots share, for a machine whose entropy is worth little.
        for word in [clock.wall_offset_ns, clock.tsc_base, machine.now().as_ns()] {
            generator.mix(word);
        }
        generator
    }

    /// Mixes fresh entropy of the machine into the key.
    pub fn stir(&mut self, machine: &mut dyn Machine) {
        let entropy = machine.entropy();
        self.mix(entropy);
        self.mix(machine.now().as_ns());
    }

    /// Makes the next key depend on `word`, and on all that went before.
    fn mix(&mut self, word: u64) {
        for (byte, fresh) in self.key.iter_mut().zip(word.to_le_bytes()) {
            *byte ^= fresh;
        }
        self.fill(&mut []);
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let mut stream = ChaCha20Rng::from_seed(self.key);
        stream.fill_bytes(&mut self.key);
        stream.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fake::FakeMachine;

    #[test]
    fn no_two_requests_are_alike() {
        let mut machine = FakeMachine::new(1);
        let mut generator = Generator::new(&mut machine);
        let mut first = [0; 64];
        let mut second = [0; 64];
        generator.fill(&mut first);
        generator.fill(&mut second);
        assert_ne!(first, second);
        assert_ne!(first, [0; 64]);
    }

    #[test]
    fn boots_at_different_times_differ_though_their_entropy_does_not() {
        let outputs = [0, 1, 1 << 40].map(|later_ns| {
            let mut machine = FakeMachine::new(1);
            machine.advance(later_ns);
            let mut output = [0; 32];
            Generator::new(&mut machine).fill(&mut output);
            output
        });
        assert_ne!(outputs[0], outputs[1]);
        assert_ne!(outputs[1], outputs[2]);
    }

    #[test]
    fn stirring_changes_what_follows() {
        let mut machine = FakeMachine::new(1);
        let mut stirred = Generator::new(&mut machine);
        let mut plain = Generator { key: stirred.key };
        stirred.stir(&mut machine);
        let mut outputs = [[0; 32]; 2];
        stirred.fill(&mut outputs[0]);
        plain.fill(&mut outputs[1]);
        assert_ne!(outputs[0], outputs[1]);
    }
}
