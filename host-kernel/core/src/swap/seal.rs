//! Seals: each block on a disk is encrypted and authenticated.
//!
//! ChaCha20-Poly1305 (RFC 8439) with a key drawn at boot. The nonce is a count of all blocks ever
//! sealed, so none is used twice, and the count is the block's generation: with the tag it is kept
//! in memory, or in a map that is sealed itself. The VM's id, which is never used again, and the
//! page are authenticated with the contents. So a block that was changed, torn, lost, exchanged
//! for another one or for an earlier state of itself does not open.

use super::BLOCK_LEN;
use crate::machine::Page;
use crate::random::Generator;
use crate::vm::VmId;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What proves a block: its generation and its tag.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Seal {
    /// The count of blocks sealed before, from 1; 0 is no seal.
    pub generation: u64,
    /// The authentication tag.
    pub tag: [u8; 16],
}

const _: () = assert!(size_of::<Seal>() == 24);

/// A block is not what was sealed: changed, torn, stale, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl core::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("block is not what was written")
    }
}

impl core::error::Error for Corrupt {}

/// Seals and opens blocks.
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    sealed: u64,
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealer")
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// Draws a key.
    #[must_use]
    pub fn new(random: &mut Generator) -> Self {
        let mut key = Key::default();
        random.fill(&mut key);
        Self {
            cipher: ChaCha20Poly1305::new(&key),
            sealed: 0,
        }
    }

    /// Returns how many blocks were sealed.
    #[must_use]
    pub const fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Encrypts `block`, which is `page` of `vm`.
    ///
    /// # Panics
    ///
    /// Never: a block is far shorter than the cipher's limit of 256 GiB, and 2^64 blocks are never
    /// sealed.
    pub fn seal(&mut self, vm: VmId, page: Page, block: &mut [u8; BLOCK_LEN]) -> Seal {
        self.sealed += 1;
        let generation = self.sealed;
        let context = context(vm, page);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce(generation), &context, block.as_mut_slice().into())
            .expect("a block is shorter than the cipher's limit");
        Seal {
            generation,
            tag: tag.into(),
        }
    }

    /// Decrypts `block`, which should be `page` of `vm` as it was when it got `seal`.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if it is anything else; its contents are not to be used then.
    pub fn open(
        &self,
        vm: VmId,
        page: Page,
        seal: &Seal,
        block: &mut [u8; BLOCK_LEN],
    ) -> Result<(), Corrupt> {
        let tag = Tag::from(seal.tag);
        self.cipher
            .decrypt_inout_detached(
                &nonce(seal.generation),
                &context(vm, page),
                block.as_mut_slice().into(),
                &tag,
            )
            .map_err(|_| Corrupt)
    }
}

/// Returns the nonce of a generation.
fn nonce(generation: u64) -> Nonce {
    let mut nonce = Nonce::default();
    for (place, byte) in nonce.iter_mut().zip(generation.to_le_bytes()) {
        *place = byte;
    }
    nonce
}

/// Returns what is authenticated besides the contents.
fn context(vm: VmId, page: Page) -> [u8; 12] {
    let mut context = [0; 12];
    let bytes = vm
        .raw()
        .to_le_bytes()
        .into_iter()
        .chain(page.0.to_le_bytes());
    for (place, byte) in context.iter_mut().zip(bytes) {
        *place = byte;
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fake::FakeMachine;

    fn sealer() -> Sealer {
        Sealer::new(&mut Generator::new(&mut FakeMachine::new(1)))
    }

    fn vm(raw: u64) -> VmId {
        VmId::from_raw(raw).expect("not zero")
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let mut sealer = sealer();
        let plain = [0x5a; BLOCK_LEN];
        let mut old = plain;
        let stale = sealer.seal(vm(1), Page(7), &mut old);
        let mut block = plain;
        let seal = sealer.seal(vm(1), Page(7), &mut block);
        assert!(block != old && block != plain);

        let opens = |vm, page, seal: &Seal, block: &[u8; BLOCK_LEN]| {
            let mut copy = *block;
            sealer.open(vm, page, seal, &mut copy).map(|()| copy)
        };
        assert_eq!(opens(vm(1), Page(7), &seal, &block), Ok(plain));
        assert_eq!(opens(vm(1), Page(7), &seal, &old), Err(Corrupt), "stale");
        assert_eq!(opens(vm(1), Page(7), &stale, &block), Err(Corrupt));
        assert_eq!(
            opens(vm(1), Page(8), &seal, &block),
            Err(Corrupt),
            "another page"
        );
        assert_eq!(
            opens(vm(2), Page(7), &seal, &block),
            Err(Corrupt),
            "another VM"
        );
        assert_eq!(
            opens(vm(1 << 32 | 1), Page(7), &seal, &block),
            Err(Corrupt),
            "a later VM"
        );
    }

    #[test]
    fn every_flipped_bit_and_every_torn_write_is_noticed() {
        let mut sealer = sealer();
        let mut old = [1; BLOCK_LEN];
        sealer.seal(vm(1), Page(7), &mut old);
        let mut block = [2; BLOCK_LEN];
        let seal = sealer.seal(vm(1), Page(7), &mut block);
        for bit in (0..BLOCK_LEN * 8).step_by(61) {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                sealer.open(vm(1), Page(7), &seal, &mut flipped),
                Err(Corrupt)
            );
        }
        for sectors in 1..8 {
            let mut torn = old;
            torn[..sectors * 512].copy_from_slice(&block[..sectors * 512]);
            assert_eq!(sealer.open(vm(1), Page(7), &seal, &mut torn), Err(Corrupt));
        }
    }

    #[test]
    fn equal_pages_look_different_on_the_disk() {
        let mut sealer = sealer();
        let (mut first, mut second) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
        sealer.seal(vm(1), Page(1), &mut first);
        sealer.seal(vm(1), Page(1), &mut second);
        assert!(first != second);
    }
}
