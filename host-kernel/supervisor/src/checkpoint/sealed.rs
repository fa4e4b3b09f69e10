//! The file around a checkpoint: which format, whose, and nothing of it changed.
//!
//! Each chunk is compressed (LZ4) and sealed by itself (ChaCha20-Poly1305, RFC 8439) with a number and
//! a mark for the last one in its nonce, and the header as what else is vouched for: what is cut,
//! flipped, swapped or left out does not open (the construction STREAM of Hoang, Reyhanitabar, Rogaway
//! and Vizár 2015).

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce, Tag};
use core::fmt;
use denali_abi::convert::u32_to_usize;
use sha2::{Digest as _, Sha512};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first bytes of every checkpoint.
const MAGIC: [u8; 8] = *b"DenaliCp";

/// The version of header, chunks and body.
pub const VERSION: u32 = 1;

/// Most bytes of a chunk before compression.
const CHUNK_MAX: usize = 32 * 1024;

/// Bytes of the length before a chunk. Its highest bit marks the last one.
const LENGTH_LEN: usize = 4;
const LAST: u32 = 1 << 31;

/// Bytes of the length before a compressed chunk.
const PLAIN_LEN: usize = 4;

const TAG_LEN: usize = 16;

/// Most bytes of a sealed chunk: what is not compressible grows.
const SEALED_MAX: usize = PLAIN_LEN + lz4_flex::block::get_maximum_output_size(CHUNK_MAX) + TAG_LEN;

/// What the keys follow from, beside the host key.
const PURPOSE: &[u8] = b"denali: key of checkpoints, version 1";

/// The header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u32,
    /// Zero.
    reserved: u32,
    /// Names the key without telling it.
    key_name: [u8; 16],
    /// Different in each checkpoint.
    salt: [u8; 32],
}

/// The host's secret for checkpoints.
#[derive(Clone, Copy)]
pub struct HostKey([u8; 64]);

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey(..)")
    }
}

impl HostKey {
    /// Derives it from the host key.
    #[must_use]
    pub fn of(host_key: &[u8; 32]) -> Self {
        let digest = Sha512::new().chain_update(PURPOSE).chain_update(host_key);
        Self(digest.finalize().into())
    }

    fn name(&self) -> [u8; 16] {
        let digest: [u8; 64] = Sha512::digest([&b"name"[..], &self.0].concat()).into();
        first(&digest)
    }

    /// Returns the key of one checkpoint.
    fn cipher(&self, salt: &[u8; 32]) -> ChaCha20Poly1305 {
        let digest = Sha512::new().chain_update(self.0).chain_update(salt);
        let digest: [u8; 64] = digest.finalize().into();
        ChaCha20Poly1305::new(&Key::from(first::<32>(&digest)))
    }
}

/// Why a file is refused, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsound(pub String);

/// Seals a body piece by piece.
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    header: Header,
    number: u32,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// Begins a checkpoint with a salt that no other has.
    #[must_use]
    pub fn new(key: &HostKey, salt: [u8; 32]) -> Self {
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            reserved: 0,
            key_name: key.name(),
            salt,
        };
        Self {
            cipher: key.cipher(&salt),
            header,
            number: 0,
            plain: Vec::with_capacity(CHUNK_MAX),
            sealed: header.as_bytes().to_vec(),
        }
    }

    /// Adds bytes of the body.
    pub fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = CHUNK_MAX - self.plain.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.plain.extend_from_slice(now);
            bytes = later;
            if self.plain.len() == CHUNK_MAX {
                self.seal(0);
            }
        }
    }

    /// Makes room for what is begun and a chunk more, if the file stays below `most` bytes with them.
    /// Returns whether there is.
    pub fn has_room(&mut self, most: usize) -> bool {
        let more = 2 * (LENGTH_LEN + SEALED_MAX);
        let reserved = self.sealed.try_reserve(more);
        self.sealed.len() + more <= most
            && (reserved.is_ok() || self.sealed.try_reserve_exact(more).is_ok())
    }

    /// Ends the checkpoint and returns its bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.seal(LAST);
        self.sealed
    }

    fn seal(&mut self, mark: u32) {
        let mut chunk = vec![0; SEALED_MAX - TAG_LEN];
        let (length, room) = chunk.split_at_mut(PLAIN_LEN);
        length.copy_from_slice(&narrow(self.plain.len()).to_le_bytes());
        // It fails only for want of room, of which there is the most it takes.
        let packed = lz4_flex::block::compress_into(&self.plain, room).unwrap_or(0);
        chunk.truncate(PLAIN_LEN + packed);
        let nonce = nonce(self.number, mark);
        let known = self.header.as_bytes();
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, known, chunk.as_mut_slice().into())
            .unwrap_or_default();
        let length = narrow(chunk.len() + TAG_LEN) | mark;
        self.sealed.extend_from_slice(&length.to_le_bytes());
        self.sealed.extend_from_slice(&chunk);
        self.sealed.extend_from_slice(&tag);
        self.number += 1;
        self.plain.clear();
    }
}

/// Opens a file piece by piece.
pub struct Opener {
    key: HostKey,
    begun: Option<(Header, ChaCha20Poly1305)>,
    number: u32,
    is_over: bool,
    /// What came and is not whole yet.
    pending: Vec<u8>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Opener {
    /// Opens what a host with this key sealed.
    #[must_use]
    pub const fn new(key: HostKey) -> Self {
        Self {
            key,
            begun: None,
            number: 0,
            is_over: false,
            pending: Vec::new(),
        }
    }

    /// Takes more of the file, and gives what it opens of the body to `take`.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or what `take` says.
    pub fn add(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Unsound>,
    ) -> Result<(), Unsound> {
        self.pending.extend_from_slice(bytes);
        if self.begun.is_none() && !self.begin()? {
            return Ok(());
        }
        let pending = core::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_LEN>() {
            if self.is_over {
                break;
            }
            let length = u32::from_le_bytes(*length);
            let (mark, length) = (length & LAST, u32_to_usize(length & !LAST));
            if !(PLAIN_LEN + TAG_LEN..=SEALED_MAX).contains(&length) {
                return Err(damaged());
            }
            let Some((chunk, behind)) = behind.split_at_checked(length) else {
                break;
            };
            take(&self.open(chunk, mark)?)?;
            self.is_over = mark == LAST;
            rest = behind;
        }
        if self.is_over && !rest.is_empty() {
            return Err(damaged());
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// Checks that the file is whole.
    ///
    /// # Errors
    ///
    /// It is cut.
    pub fn finish(&self) -> Result<(), Unsound> {
        if self.is_over {
            return Ok(());
        }
        Err(Unsound(
            "the checkpoint is cut short: fetch it again".into(),
        ))
    }

    /// Looks at the header, once it is there.
    fn begin(&mut self) -> Result<bool, Unsound> {
        let known = self.pending.len().min(MAGIC.len());
        if self.pending[..known] != MAGIC[..known] {
            return Err(Unsound("this is no checkpoint".into()));
        }
        let Ok((header, rest)) = Header::read_from_prefix(&self.pending) else {
            return Ok(false);
        };
        let Header {
            version, reserved, ..
        } = header;
        if version != VERSION {
            return Err(Unsound(format!(
                "the checkpoint has format version {version}, this host reads {VERSION}"
            )));
        }
        if header.key_name != self.key.name() {
            return Err(Unsound(
                "the checkpoint was made by another host, and only that one can open it".into(),
            ));
        }
        if reserved != 0 {
            return Err(damaged());
        }
        self.begun = Some((header, self.key.cipher(&header.salt)));
        self.pending = rest.to_vec();
        Ok(true)
    }

    fn open(&mut self, sealed: &[u8], mark: u32) -> Result<Vec<u8>, Unsound> {
        let (header, cipher) = self.begun.as_ref().ok_or_else(damaged)?;
        let (chunk, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or_else(damaged)?;
        let mut chunk = chunk.to_vec();
        let opened = cipher.decrypt_inout_detached(
            &nonce(self.number, mark),
            header.as_bytes(),
            chunk.as_mut_slice().into(),
            &Tag::from(*tag),
        );
        opened.map_err(|_| damaged())?;
        self.number = self.number.checked_add(1).ok_or_else(damaged)?;
        let (length, packed) = chunk.split_first_chunk::<PLAIN_LEN>().ok_or_else(damaged)?;
        let length = u32_to_usize(u32::from_le_bytes(*length));
        if length > CHUNK_MAX {
            return Err(damaged());
        }
        let mut plain = vec![0; length];
        let unpacked = lz4_flex::block::decompress_into(packed, &mut plain);
        match unpacked {
            Ok(unpacked) if unpacked == length => Ok(plain),
            _ => Err(damaged()),
        }
    }
}

fn damaged() -> Unsound {
    Unsound("the checkpoint is damaged: fetch it again".into())
}

fn nonce(number: u32, mark: u32) -> Nonce {
    let mut nonce = [0; 12];
    let (at, last) = nonce.split_at_mut(8);
    at[..4].copy_from_slice(&number.to_le_bytes());
    last.copy_from_slice(&mark.to_le_bytes());
    nonce.into()
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn first<const N: usize>(digest: &[u8; 64]) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&digest[..N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 32] = [9; 32];

    #[test]
    fn a_file_grows_no_further_than_asked() {
        let mut sealer = Sealer::new(&key(), SALT);
        let mut added = 0_u32;
        while sealer.has_room(1 << 18) {
            sealer.add(&added.wrapping_mul(2_654_435_761).to_le_bytes().repeat(1024));
            added += 1;
        }
        assert!(added > 10);
        assert!(sealer.finish().len() <= 1 << 18);
    }

    const HEADER_LEN: usize = size_of::<Header>();

    fn key() -> HostKey {
        HostKey::of(&[1; 32])
    }

    fn body() -> Vec<u8> {
        let noise = (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
        noise.chain(core::iter::repeat_n(0, 50_000)).collect()
    }

    fn file(body: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(&key(), SALT);
        for piece in body.chunks(777) {
            sealer.add(piece);
        }
        sealer.finish()
    }

    fn open(file: &[u8], piece: usize) -> Result<Vec<u8>, Unsound> {
        let mut opener = Opener::new(key());
        let mut body = Vec::new();
        for piece in file.chunks(piece) {
            opener.add(piece, |plain| {
                body.extend_from_slice(plain);
                Ok(())
            })?;
        }
        opener.finish().map(|()| body)
    }

    #[test]
    fn a_body_comes_back_whatever_the_pieces_and_is_smaller_meanwhile() {
        for body in [
            body(),
            Vec::new(),
            vec![5; CHUNK_MAX],
            vec![6; CHUNK_MAX + 1],
        ] {
            let file = file(&body);
            for piece in [1, 1000, usize::MAX] {
                assert_eq!(open(&file, piece), Ok(body.clone()));
            }
        }
        assert!(file(&body()).len() < 45_000);
    }

    #[test]
    fn every_cut_is_refused() {
        let file = file(&body());
        let chunks = (0..file.len()).filter(|length| length % 101 == 0 || *length < 100);
        for length in chunks.chain([file.len() - 1]) {
            assert!(open(&file[..length], 4096).is_err(), "{length}");
        }
        assert!(open(&[&file[..], b"x"].concat(), 4096).is_err());
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let file = file(&[7; 100]);
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut file = file.clone();
                file[at] ^= 1 << bit;
                assert!(open(&file, 4096).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn chunks_cannot_change_places_or_come_from_another_file() {
        let lengths = [CHUNK_MAX; 3];
        let body: Vec<u8> = (1..)
            .zip(lengths)
            .flat_map(|(fill, len)| vec![fill; len])
            .collect();
        let sealed = file(&body);
        let mut parts = Vec::new();
        let mut rest = &sealed[HEADER_LEN..];
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32_to_usize(u32::from_le_bytes(*length) & !LAST);
            parts.push(&rest[..4 + length]);
            rest = &behind[length..];
        }
        assert_eq!(parts.len(), 4);
        let with = |order: &[usize]| {
            let chunks: Vec<u8> = order.iter().flat_map(|&nth| parts[nth].to_vec()).collect();
            open(&[&sealed[..HEADER_LEN], &chunks].concat(), 5000)
        };
        assert!(with(&[0, 1, 2, 3]).is_ok());
        for order in [
            &[1, 0, 2, 3][..],
            &[0, 2, 3],
            &[0, 0, 1, 2, 3],
            &[0, 1, 2],
            &[3],
        ] {
            assert!(with(order).is_err(), "{order:?}");
        }
        let mut other = Sealer::new(&key(), [8; 32]);
        other.add(&body);
        let other = other.finish();
        let mixed = [&other[..HEADER_LEN], &sealed[HEADER_LEN..]].concat();
        assert!(open(&mixed, 5000).is_err());
    }

    #[test]
    fn the_line_says_what_is_wrong() {
        let says = |file: &[u8]| open(file, 4096).expect_err("refused").0;
        let sound = file(&body());
        assert_eq!(says(b"\x7fELF...."), "this is no checkpoint");
        assert_eq!(says(b"hello"), "this is no checkpoint");
        let mut newer = sound.clone();
        newer[8] = 2;
        newer[20] ^= 1;
        assert_eq!(
            says(&newer),
            "the checkpoint has format version 2, this host reads 1"
        );
        let mut foreign = Sealer::new(&HostKey::of(&[2; 32]), SALT);
        foreign.add(&body());
        assert!(says(&foreign.finish()).contains("made by another host"));
        assert!(says(&sound[..sound.len() / 2]).contains("cut short"));
        let mut damaged = sound;
        damaged[5000] ^= 1;
        assert!(says(&damaged).contains("damaged"));
    }
}
