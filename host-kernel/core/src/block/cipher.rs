//! Encryption at rest: XTS-AES-256 (IEEE 1619, NIST SP 800-38E), a block as the data unit.
//!
//! The number of the block in its volume is the tweak, so equal blocks look different wherever they
//! lie. XTS keeps the length, so there is nothing to keep beside the block and a write is one write;
//! what it cannot do is notice that a block was changed: that is up to who wrote it.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block};
use denali_abi::block::{BLOCK_LEN, VOLUME_KEY_LEN};

/// Bytes that AES works on.
const UNIT: usize = 16;

/// Bytes of a key of AES-256.
const KEY_LEN: usize = 32;

/// Units in a block.
const UNITS: usize = BLOCK_LEN / UNIT;

/// The halves of the key are equal, which XTS does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakKey;

/// The key of a volume: for its contents, and for its tweaks. The cipher made of it is thirty times
/// as long, so a volume keeps the key.
#[derive(Clone, Copy)]
pub struct Key {
    contents: [u8; KEY_LEN],
    tweak: [u8; KEY_LEN],
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    /// Takes the key apart.
    ///
    /// # Errors
    ///
    /// [`WeakKey`].
    pub fn new(bytes: &[u8; VOLUME_KEY_LEN]) -> Result<Self, WeakKey> {
        let (contents, rest) = bytes.split_first_chunk().ok_or(WeakKey)?;
        let (tweak, _) = rest.split_first_chunk().ok_or(WeakKey)?;
        if contents == tweak {
            return Err(WeakKey);
        }
        Ok(Self {
            contents: *contents,
            tweak: *tweak,
        })
    }
}

/// Encrypts and decrypts the blocks of a volume.
pub struct Cipher {
    contents: Aes256,
    tweak: Aes256,
}

impl core::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Way {
    Encrypt,
    Decrypt,
}

impl Cipher {
    /// Returns the cipher with this key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self {
            contents: Aes256::new(&key.contents.into()),
            tweak: Aes256::new(&key.tweak.into()),
        }
    }

    /// Encrypts what is to be block `number` of the volume.
    pub fn encrypt(&self, number: u64, block: &mut [u8; BLOCK_LEN]) {
        self.work(number, block, Way::Encrypt);
    }

    /// Decrypts block `number` of the volume.
    pub fn decrypt(&self, number: u64, block: &mut [u8; BLOCK_LEN]) {
        self.work(number, block, Way::Decrypt);
    }

    fn work(&self, number: u64, block: &mut [u8], way: Way) {
        let mut first = Block::from(u128::from(number).to_le_bytes());
        self.tweak.encrypt_block(&mut first);
        let first = u128::from_le_bytes(first.into());
        let (units, _) = block.as_chunks_mut::<UNIT>();
        for batch in units.chunks_mut(UNITS / 16).zip(tweaks(first)) {
            let (batch, tweak) = batch;
            self.work_batch(batch, tweak, way);
        }
    }

    /// Works on a batch of units, the first of which has this tweak.
    fn work_batch(&self, units: &mut [[u8; UNIT]], first: u128, way: Way) {
        let mut batch = [Block::default(); UNITS / 16];
        let mut tweak = first;
        for (unit, place) in units.iter().zip(&mut batch) {
            *place = Block::from((u128::from_le_bytes(*unit) ^ tweak).to_le_bytes());
            tweak = doubled(tweak);
        }
        match way {
            Way::Encrypt => self.contents.encrypt_blocks(&mut batch),
            Way::Decrypt => self.contents.decrypt_blocks(&mut batch),
        }
        tweak = first;
        for (unit, place) in units.iter_mut().zip(batch) {
            *unit = (u128::from_le_bytes(place.into()) ^ tweak).to_le_bytes();
            tweak = doubled(tweak);
        }
    }
}

/// Returns the tweaks of the first units of batches.
fn tweaks(first: u128) -> impl Iterator<Item = u128> {
    let behind = |tweak: &u128| Some((0..UNITS / 16).fold(*tweak, |tweak, _| doubled(tweak)));
    core::iter::successors(Some(first), behind)
}

/// Multiplies by the primitive element of GF(2^128) (IEEE 1619 §5.2).
const fn doubled(tweak: u128) -> u128 {
    let carry = tweak >> 127;
    (tweak << 1) ^ (carry * 0x87)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> std::vec::Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    fn cipher() -> Cipher {
        let key = hex(concat!(
            "2718281828459045235360287471352662497757247093699959574966967627",
            "3141592653589793238462643383279502884197169399375105820974944592",
        ));
        Cipher::new(&Key::new(&key.try_into().unwrap()).unwrap())
    }

    #[test]
    fn it_is_the_standard_s_cipher() {
        // IEEE 1619-2007, annex B, vector 10: data unit 0xff, the bytes 00 to ff twice.
        let mut unit: std::vec::Vec<u8> = (0..=255).chain(0..=255).collect();
        let plain = unit.clone();
        cipher().work(0xff, &mut unit, Way::Encrypt);
        assert_eq!(
            unit[..64],
            hex(concat!(
                "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
                "5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd",
            ))
        );
        cipher().work(0xff, &mut unit, Way::Decrypt);
        assert_eq!(unit, plain);
    }

    #[test]
    fn equal_blocks_differ_by_place_and_by_key() {
        let plain = [7; BLOCK_LEN];
        let (mut first, mut second, mut other) = (plain, plain, plain);
        cipher().encrypt(1, &mut first);
        cipher().encrypt(2, &mut second);
        let mut key = [3; VOLUME_KEY_LEN];
        key[0] = 4;
        Cipher::new(&Key::new(&key).unwrap()).encrypt(1, &mut other);
        assert!(first != plain && first != second && first != other);
        cipher().decrypt(1, &mut first);
        assert_eq!(first, plain);
    }

    #[test]
    fn a_key_with_equal_halves_is_refused() {
        assert_eq!(Key::new(&[9; VOLUME_KEY_LEN]).err(), Some(WeakKey));
    }
}
