//! The store itself.

use crate::blob::{Digest, Free, Placement};
use crate::changes::{Changes, Records, snapshot};
use crate::layout::{Found, Layout, SUPERBLOCKS, Superblock};
use crate::log::{PAYLOAD_LEN, Position, TRANSACTION_BLOCKS_MAX};
use crate::{BLOCK_LEN, Device, Error};
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// What the key of a record begins with: a user's, or a blob's.
const USER: u8 = 1;
const BLOB: u8 = 2;

/// The superblocks of a device that was never written.
const BLANK: [Found; 2] = [Found::Blank; 2];

const _: () = assert!(BLANK.len() as u64 == SUPERBLOCKS);

/// How a store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The device was blank, and has an empty store now.
    Made,
    /// It was there.
    Found,
}

/// What of the device is in use, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// For blobs, in all.
    pub blobs_total: u64,
    /// For blobs, free.
    pub blobs_free: u64,
    /// An area of the log.
    pub log_total: u64,
    /// What of it is written.
    pub log_used: u64,
}

/// A store on a device.
#[derive(Debug)]
pub struct Store<D> {
    device: D,
    layout: Layout,
    position: Position,
    records: Records,
    free: Free,
    failed: bool,
}

impl<D: Device> Store<D> {
    /// Opens the store on `device`; a blank one gets an empty store of this `identity`, which should
    /// be random.
    ///
    /// # Errors
    ///
    /// What is wrong with the device or the store. Nothing was written then that matters.
    pub fn open(mut device: D, identity: u64) -> Result<(Self, Opened), Error> {
        let layout = Layout::of_device(device.blocks())?;
        let mut found = BLANK;
        for (block, place) in (0..).zip(&mut found) {
            let mut contents = [0; BLOCK_LEN];
            device.read(block, &mut contents)?;
            *place = Superblock::read(&contents)?;
        }
        let newest = found
            .iter()
            .filter_map(|found| match found {
                Found::Superblock(superblock) => Some(*superblock),
                Found::Blank | Found::Damaged => None,
            })
            .max_by_key(|superblock| superblock.generation);
        let opened = match newest {
            Some(_) => Opened::Found,
            None if found == BLANK => Opened::Made,
            None => return Err(Error::Foreign),
        };
        let superblock = newest.unwrap_or_else(|| Superblock::new(identity, 0, device.blocks(), 0));
        if superblock.blocks != device.blocks() {
            return Err(Error::Foreign);
        }
        let mut store = Self {
            device,
            layout,
            position: Position::start(superblock.identity, superblock.generation),
            records: Records::new(),
            free: Free::all(&layout),
            failed: false,
        };
        store.replay(superblock.transactions)?;
        store.claim_blobs()?;
        if found.iter().any(|it| *it != Found::Superblock(superblock)) {
            store.write_superblocks(&superblock)?;
        }
        Ok((store, opened))
    }

    /// Returns the record `key`.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.get(&prefixed(USER, key)).map(Vec::as_slice)
    }

    /// Returns the records whose keys begin with `prefix`, in the order of keys.
    pub fn range<'s>(
        &'s self,
        prefix: &[u8],
    ) -> impl Iterator<Item = (&'s [u8], &'s [u8])> + use<'s, D> {
        let first = prefixed(USER, prefix);
        let from_first = self.records.range(first.clone()..);
        from_first
            .take_while(move |(key, _)| key.starts_with(&first))
            .filter_map(|(key, value)| Some((key.get(1..)?, value.as_slice())))
    }

    /// Makes changes; they are durable, all of them, when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] and [`Error::TooLong`], which change nothing; after [`Error::Io`] all or none
    /// of it may be on the device: open the store again to know.
    pub fn commit(&mut self, changes: &Changes) -> Result<(), Error> {
        let mut own = Changes::new();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => own.put(&prefixed(USER, key), value),
                None => own.remove(&prefixed(USER, key)),
            };
        }
        self.apply(own)
    }

    /// Stores a blob and makes `changes` that may name it, at once. Returns its digest.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_blob(&mut self, bytes: &[u8], changes: &Changes) -> Result<Digest, Error> {
        self.check()?;
        let digest: Digest = Sha256::digest(bytes).into();
        if self.has_blob(&digest) {
            return self.commit(changes).map(|()| digest);
        }
        let length = u64::try_from(bytes.len()).map_err(|_| Error::TooLong)?;
        let placement = self.free.take(length)?;
        let committed = self
            .write_blob(&placement, bytes)
            .and_then(|()| self.commit_placed(&digest, &placement, changes));
        if committed.is_err() {
            // After a failure of the device, the log may name them all the same: but then nothing is
            // written any more.
            self.free.give_back(&placement);
        }
        committed.map(|()| digest)
    }

    /// Returns whether there is such a blob.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.records.contains_key(&prefixed(BLOB, digest))
    }

    /// Returns the digests of all blobs.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> {
        let keys = self.records.range(Vec::from([BLOB])..).map(|(key, _)| key);
        keys.filter_map(|key| key.get(1..)?.try_into().ok())
    }

    /// Reads a blob; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it is not what was stored.
    pub fn read_blob(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Some(record) = self.records.get(&prefixed(BLOB, digest)) else {
            return Ok(None);
        };
        let placement = Placement::decode(record).ok_or(Error::Corrupt(0))?;
        let mut bytes = Vec::new();
        let mut contents = [0; BLOCK_LEN];
        for block in placement.blocks() {
            self.device.read(block, &mut contents)?;
            bytes.extend_from_slice(&contents);
        }
        bytes.truncate(usize::try_from(placement.length).map_err(|_| Error::TooLong)?);
        if Sha256::digest(&bytes)[..] != digest[..] {
            let first = placement.blocks().next();
            return Err(Error::Corrupt(first.unwrap_or(0)));
        }
        Ok(Some(bytes))
    }

    /// Makes `changes` and removes blobs, at once.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_removing(&mut self, blobs: &[Digest], changes: &Changes) -> Result<(), Error> {
        let mut own = Changes::new();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => own.put(&prefixed(USER, key), value),
                None => own.remove(&prefixed(USER, key)),
            };
        }
        let mut freed = Vec::new();
        for digest in blobs {
            let key = prefixed(BLOB, digest);
            let record = self.records.get(&key);
            freed.extend(record.and_then(|record| Placement::decode(record)));
            own.remove(&key);
        }
        self.apply(own)?;
        for placement in freed {
            self.free.give_back(&placement);
        }
        Ok(())
    }

    /// Returns what is in use.
    pub fn usage(&self) -> Usage {
        let bytes = |blocks: u64| blocks.saturating_mul(BLOCK_LEN as u64);
        Usage {
            blobs_total: bytes(self.layout.end - self.layout.blobs),
            blobs_free: bytes(self.free.blocks()),
            log_total: bytes(self.layout.area),
            log_used: bytes(self.position.block),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.failed {
            Err(Error::Failed)
        } else {
            Ok(())
        }
    }

    fn commit_placed(
        &mut self,
        digest: &Digest,
        placement: &Placement,
        changes: &Changes,
    ) -> Result<(), Error> {
        let mut own = Changes::new();
        own.put(&prefixed(BLOB, digest), &placement.encode());
        for (key, value) in changes.iter() {
            match value {
                Some(value) => own.put(&prefixed(USER, key), value),
                None => own.remove(&prefixed(USER, key)),
            };
        }
        self.apply(own)
    }

    fn write_blob(&mut self, placement: &Placement, bytes: &[u8]) -> Result<(), Error> {
        for (block, piece) in placement.blocks().zip(bytes.chunks(BLOCK_LEN)) {
            let mut contents = [0; BLOCK_LEN];
            for (place, byte) in contents.iter_mut().zip(piece) {
                *place = *byte;
            }
            self.device.write(block, &contents)?;
        }
        self.device.flush()?;
        Ok(())
    }

    /// Appends a transaction and makes its changes.
    fn apply(&mut self, changes: Changes) -> Result<(), Error> {
        self.check()?;
        let bytes = changes.encode()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.position.block + blocks_of(&bytes) > self.layout.area {
            return self.change_area(changes);
        }
        let position = self.position;
        let appended = self
            .append(position, &bytes)
            .and_then(|position| self.device.flush().map(|()| position).map_err(Error::from));
        match appended {
            Ok(position) => self.position = position,
            Err(error) => {
                self.failed = true;
                return Err(error);
            }
        }
        changes.apply(&mut self.records);
        Ok(())
    }

    /// Writes a transaction behind `position` and returns what is behind it then.
    fn append(&mut self, mut position: Position, bytes: &[u8]) -> Result<Position, Error> {
        let start = self.layout.area_start(position.generation);
        let count = u32::try_from(blocks_of(bytes)).map_err(|_| Error::TooLong)?;
        for (index, payload) in (0..count).zip(bytes.chunks(PAYLOAD_LEN)) {
            let (contents, digest) = position.block(index, count, payload);
            self.device.write(start + position.block, &contents)?;
            position.block += 1;
            position.previous = digest;
        }
        position.transaction += 1;
        Ok(position)
    }

    /// Makes changes and writes all records to the other area, which becomes the one in use.
    fn change_area(&mut self, changes: Changes) -> Result<(), Error> {
        let before = changes.undone(&self.records);
        changes.apply(&mut self.records);
        let changed = snapshot(&self.records).and_then(|transactions| {
            let blocks: u64 = transactions.iter().map(|bytes| blocks_of(bytes)).sum();
            if blocks > self.layout.area {
                return Err(Error::Full);
            }
            let written = self.write_area(&transactions);
            self.failed |= written.is_err();
            written
        });
        match changed {
            Ok(position) => {
                self.position = position;
                Ok(())
            }
            Err(error) => {
                before.apply(&mut self.records);
                Err(error)
            }
        }
    }

    fn write_area(&mut self, transactions: &[Vec<u8>]) -> Result<Position, Error> {
        let Position {
            identity,
            generation,
            ..
        } = self.position;
        let mut position = Position::start(identity, generation + 1);
        for bytes in transactions {
            position = self.append(position, bytes)?;
        }
        self.device.flush()?;
        let superblock = Superblock::new(
            identity,
            position.generation,
            self.layout.end,
            position.transaction,
        );
        self.write_superblocks(&superblock)?;
        Ok(position)
    }

    /// Writes both superblocks, one after the other: the first is never behind the second.
    fn write_superblocks(&mut self, superblock: &Superblock) -> Result<(), Error> {
        let contents = superblock.contents();
        for block in 0..SUPERBLOCKS {
            self.device.write(block, &contents)?;
            self.device.flush()?;
        }
        Ok(())
    }

    /// Reads the log, of which there must be as many transactions.
    fn replay(&mut self, transactions: u64) -> Result<(), Error> {
        while let Some(bytes) = self.next_transaction()? {
            let changes = Changes::decode(&bytes);
            let damaged = Error::Corrupt(self.block_of(&self.position));
            changes.ok_or(damaged)?.apply(&mut self.records);
        }
        let damaged = Error::Corrupt(self.block_of(&self.position));
        if self.position.transaction < transactions || self.goes_on()? {
            return Err(damaged);
        }
        Ok(())
    }

    /// Reads the transaction at the position and moves behind it. `None` if it is not whole.
    fn next_transaction(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut position = self.position;
        let mut bytes = Vec::new();
        let mut contents = [0; BLOCK_LEN];
        let mut count = 1;
        let mut index = 0;
        while index < count {
            if position.block >= self.layout.area {
                return Ok(None);
            }
            let block = self.block_of(&position);
            self.device.read(block, &mut contents)?;
            let Some(piece) = position.read(&contents) else {
                return Ok(None);
            };
            if !piece.follows(&position, index) {
                return Ok(None);
            }
            bytes.extend_from_slice(piece.payload(&contents));
            count = piece.count;
            position.block += 1;
            position.previous = piece.digest;
            index += 1;
        }
        position.transaction += 1;
        self.position = position;
        Ok(Some(bytes))
    }

    /// Returns whether there are later transactions behind one that is not whole: then it was, once.
    fn goes_on(&mut self) -> Result<bool, Error> {
        let most = u64::try_from(TRANSACTION_BLOCKS_MAX).unwrap_or(u64::MAX);
        let end = (self.position.block + most + 1).min(self.layout.area);
        let start = self.layout.area_start(self.position.generation);
        let mut contents = [0; BLOCK_LEN];
        for block in self.position.block..end {
            self.device.read(start + block, &mut contents)?;
            let piece = self.position.read(&contents);
            if piece.is_some_and(|piece| piece.transaction > self.position.transaction) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn claim_blobs(&mut self) -> Result<(), Error> {
        let records = self.records.range(Vec::from([BLOB])..);
        for (_, record) in records {
            let placement = Placement::decode(record);
            let claimed = placement.and_then(|placement| self.free.claim(&placement));
            claimed.ok_or(Error::Corrupt(0))?;
        }
        Ok(())
    }

    const fn block_of(&self, position: &Position) -> u64 {
        self.layout.area_start(position.generation) + position.block
    }
}

/// Returns how many blocks of the log a transaction takes.
fn blocks_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len().div_ceil(PAYLOAD_LEN)).unwrap_or(u64::MAX)
}

fn prefixed(kind: u8, key: &[u8]) -> Vec<u8> {
    let mut own = Vec::with_capacity(1 + key.len());
    own.push(kind);
    own.extend_from_slice(key);
    own
}
