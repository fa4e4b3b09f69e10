//! Blocks of the log: each proves itself and names the one before.

use crate::{BLOCK_LEN, Contents};
use sha2::{Digest as _, Sha256};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Most blocks of a transaction.
pub(crate) const TRANSACTION_BLOCKS_MAX: usize = 64;

/// A digest of a block.
pub(crate) type BlockDigest = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    /// Digest of the rest of the block.
    digest: BlockDigest,
    /// That of the block before; zero for the first of an area.
    previous: BlockDigest,
    identity: u64,
    generation: u64,
    transaction: u64,
    /// Which block of the transaction, and how many it has.
    index: u32,
    count: u32,
    /// Bytes of it in this block.
    length: u32,
    reserved: u32,
}

const HEADER_LEN: usize = size_of::<Header>();
const DIGEST_LEN: usize = size_of::<BlockDigest>();

/// Bytes of a transaction in a block.
pub(crate) const PAYLOAD_LEN: usize = BLOCK_LEN - HEADER_LEN;

/// A log that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) identity: u64,
    pub(crate) generation: u64,
    /// The next block of the area.
    pub(crate) block: u64,
    /// The next transaction.
    pub(crate) transaction: u64,
    /// The digest of the block before.
    pub(crate) previous: BlockDigest,
}

/// A block of the log that proves itself.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) digest: BlockDigest,
    pub(crate) transaction: u64,
    pub(crate) count: u32,
    index: u32,
    previous: BlockDigest,
    length: usize,
}

impl Position {
    pub(crate) const fn start(identity: u64, generation: u64) -> Self {
        Self {
            identity,
            generation,
            block: 0,
            transaction: 0,
            previous: [0; DIGEST_LEN],
        }
    }

    /// Returns a block of the next transaction, which has the digest returned with it.
    pub(crate) fn block(&self, index: u32, count: u32, payload: &[u8]) -> (Contents, BlockDigest) {
        let mut contents = [0; BLOCK_LEN];
        let (head, body) = contents.split_at_mut(HEADER_LEN);
        let length = payload.len().min(body.len());
        for (place, byte) in body.iter_mut().zip(payload) {
            *place = *byte;
        }
        let header = Header {
            digest: [0; DIGEST_LEN],
            previous: self.previous,
            identity: self.identity,
            generation: self.generation,
            transaction: self.transaction,
            index,
            count,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            reserved: 0,
        };
        head.copy_from_slice(header.as_bytes());
        let digest = digest_of(&contents);
        if let Some(place) = contents.first_chunk_mut() {
            *place = digest;
        }
        (contents, digest)
    }

    /// Returns what a block of this area and generation holds, if it proves itself.
    pub(crate) fn read(&self, contents: &Contents) -> Option<Piece> {
        let mut header = Header::new_zeroed();
        for (place, byte) in header.as_mut_bytes().iter_mut().zip(contents) {
            *place = *byte;
        }
        let ours = header.identity == self.identity && header.generation == self.generation;
        let length = usize::try_from(header.length).ok()?;
        let sound = length <= PAYLOAD_LEN && header.index < header.count;
        if !ours || !sound || header.digest != digest_of(contents) {
            return None;
        }
        Some(Piece {
            digest: header.digest,
            transaction: header.transaction,
            count: header.count,
            index: header.index,
            previous: header.previous,
            length,
        })
    }
}

impl Piece {
    /// Returns whether this is block `index` of the transaction that comes next.
    pub(crate) fn follows(&self, position: &Position, index: u32) -> bool {
        self.transaction == position.transaction
            && self.index == index
            && self.previous == position.previous
    }

    /// Returns its part of the transaction.
    pub(crate) fn payload<'a>(&self, contents: &'a Contents) -> &'a [u8] {
        contents
            .get(HEADER_LEN..HEADER_LEN + self.length)
            .unwrap_or_default()
    }
}

fn digest_of(contents: &Contents) -> BlockDigest {
    Sha256::digest(contents.get(DIGEST_LEN..).unwrap_or_default()).into()
}
