//! A keyed hash for the connection tables.
//!
//! Peers choose their addresses and ports, so without a key of our own they could choose ones that
//! collide and make every lookup slow.

use super::table::Key;
use core::hash::{BuildHasher, Hasher};

/// The key, different for every VM.
#[derive(Clone, Copy, Debug)]
pub(super) struct HashKey(pub(super) [u64; 2]);

/// A map from connections' addresses and ports.
pub(super) type KeyMap<V> = hashbrown::HashMap<Key, V, HashKey>;

impl BuildHasher for HashKey {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded {
            state: self.0[0],
            multiplier: self.0[1] | 1,
        }
    }
}

/// Multiplies by a secret and folds the halves of the product together (as wyhash does).
#[derive(Debug)]
pub(super) struct Folded {
    state: u64,
    multiplier: u64,
}

impl Hasher for Folded {
    fn write_u64(&mut self, word: u64) {
        let (low, high) = (self.state ^ word).carrying_mul(self.multiplier, 0);
        self.state = low ^ high;
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            self.write_u64(u64::from_le_bytes(padded));
        }
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_words_hash_far_apart_and_the_key_matters() {
        let hash = |key: [u64; 2], word| {
            let mut hasher = HashKey(key).build_hasher();
            hasher.write_u64(word);
            hasher.finish()
        };
        let (one, two) = (
            [0x1234_5678_9abc_def0, 0xfedc_ba98_7654_3211],
            [7, 0x9e37_79b9_7f4a_7c15],
        );
        for word in 0..1000 {
            assert!((hash(one, word) ^ hash(one, word + 1)).count_ones() > 8);
            assert_ne!(hash(one, word), hash(two, word));
        }
    }
}
