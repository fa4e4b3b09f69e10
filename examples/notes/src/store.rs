//! The database of notes, and the volume below it.
//!
//! `ekv` is made for flash: pages that are erased, then written in pieces. A page is a block here,
//! and every piece is written with its whole block and flushed, as `ekv` counts on what it wrote
//! being there. A disk that tears a block between sectors changes no byte that was there before.

use alloc::string::String;
use alloc::vec::Vec;
use denali_rt::block::{BLOCK_LEN, Errno, Volume};
use denali_rt::random;
use denali_rt::sync::Mutex;
use denali_rt::task::block_on;
use ekv::config::{ERASE_VALUE, MAX_KEY_SIZE, MAX_PAGE_COUNT, MAX_VALUE_SIZE, PAGE_SIZE};
use ekv::flash::{Flash, PageID};
use ekv::{Config, CursorError, Database, ReadError, WriteError};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;

/// The first block of a volume that holds notes: whatever else is wrong then, it is not made anew.
const MARK: &[u8; 16] = b"denali: notes, 1";

const _: () = assert!(PAGE_SIZE == BLOCK_LEN);

/// Why notes cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The disk failed.
    Disk,
    /// What lies on the volume is damaged.
    Damaged,
    /// The volume is full.
    Full,
    /// A name or note is too long.
    TooLong,
}

impl From<Errno> for Failure {
    fn from(_: Errno) -> Self {
        Self::Disk
    }
}

/// The volume behind its first block.
#[derive(Debug)]
struct Pages(Volume);

impl Pages {
    fn block(page: PageID) -> u64 {
        1 + page.index() as u64
    }
}

impl Flash for Pages {
    type Error = Errno;

    fn page_count(&self) -> usize {
        let blocks = usize::try_from(self.0.blocks()).unwrap_or(usize::MAX);
        blocks.saturating_sub(1).min(MAX_PAGE_COUNT)
    }

    async fn erase(&mut self, page: PageID) -> Result<(), Errno> {
        let block = Self::block(page);
        self.0.write_async(block, &[ERASE_VALUE; BLOCK_LEN]).await?;
        self.0.flush_async().await
    }

    async fn read(&mut self, page: PageID, offset: usize, data: &mut [u8]) -> Result<(), Errno> {
        let mut contents = [0; BLOCK_LEN];
        self.0.read_async(Self::block(page), &mut contents).await?;
        let part = contents.get(offset..offset + data.len());
        data.copy_from_slice(part.ok_or(Errno::Invalid)?);
        Ok(())
    }

    async fn write(&mut self, page: PageID, offset: usize, data: &[u8]) -> Result<(), Errno> {
        let mut contents = [0; BLOCK_LEN];
        let block = Self::block(page);
        self.0.read_async(block, &mut contents).await?;
        let part = contents.get_mut(offset..offset + data.len());
        part.ok_or(Errno::Invalid)?.copy_from_slice(data);
        self.0.write_async(block, &contents).await?;
        self.0.flush_async().await
    }
}

/// The notes.
pub(crate) struct Notes {
    database: Mutex<Database<Pages, NoopRawMutex>>,
}

impl Notes {
    /// Opens the notes on a volume; one that holds none yet is made ready.
    pub(crate) fn open(volume: Volume) -> Result<Self, Failure> {
        let mut first = [0; BLOCK_LEN];
        volume.read(0, &mut first)?;
        let is_made = first.starts_with(MARK);
        let mut config = Config::default();
        let mut seed = [0; 4];
        random::fill(&mut seed);
        config.random_seed = u32::from_le_bytes(seed);
        let database = Database::new(Pages(volume), config);
        if is_made {
            block_on(database.mount()).map_err(|error| match error {
                ekv::MountError::Corrupted => Failure::Damaged,
                ekv::MountError::Flash(_) => Failure::Disk,
            })?;
        } else {
            block_on(database.format()).map_err(|ekv::FormatError::Flash(errno)| errno)?;
            first[..MARK.len()].copy_from_slice(MARK);
            volume.write(0, &first)?;
            volume.flush()?;
        }
        Ok(Self {
            database: Mutex::new(database),
        })
    }

    /// Returns a note; `None` if there is none of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let database = self.database.lock();
        let mut value = [0; MAX_VALUE_SIZE];
        let read = block_on(async {
            let transaction = database.read_transaction().await;
            transaction.read(name.as_bytes(), &mut value).await
        });
        match read {
            Ok(length) => Ok(value.get(..length).map(<[u8]>::to_vec)),
            Err(ReadError::KeyNotFound) => Ok(None),
            Err(ReadError::KeyTooBig) => Err(Failure::TooLong),
            Err(ReadError::BufferTooSmall | ReadError::Corrupted) => Err(Failure::Damaged),
            Err(ReadError::Flash(errno)) => Err(errno.into()),
        }
    }

    /// Keeps a note, or forgets the one of that name; it is on the disk when this returns.
    pub(crate) fn set(&self, name: &str, note: Option<&[u8]>) -> Result<(), Failure> {
        let database = self.database.lock();
        block_on(async {
            let mut transaction = database.write_transaction().await;
            let written = match note {
                Some(note) => transaction.write(name.as_bytes(), note).await,
                None => transaction.delete(name.as_bytes()).await,
            };
            written.map_err(|error| match error {
                WriteError::KeyTooBig | WriteError::ValueTooBig => Failure::TooLong,
                WriteError::Full => Failure::Full,
                WriteError::NotSorted | WriteError::TransactionCanceled | WriteError::Corrupted => {
                    Failure::Damaged
                }
                WriteError::Flash(errno) => errno.into(),
            })?;
            transaction.commit().await.map_err(|error| match error {
                ekv::CommitError::Flash(errno) => errno.into(),
                ekv::CommitError::TransactionCanceled | ekv::CommitError::Corrupted => {
                    Failure::Damaged
                }
            })
        })
    }

    /// Returns the names of all notes, each with a line end.
    pub(crate) fn names(&self) -> Result<String, Failure> {
        let database = self.database.lock();
        let mut names = String::new();
        let mut key = [0; MAX_KEY_SIZE];
        let mut value = [0; MAX_VALUE_SIZE];
        block_on(async {
            let transaction = database.read_transaction().await;
            let mut cursor = transaction.read_all().await.map_err(|error| match error {
                ekv::Error::Corrupted => Failure::Damaged,
                ekv::Error::Flash(errno) => errno.into(),
            })?;
            loop {
                match cursor.next(&mut key, &mut value).await {
                    Ok(Some((length, _))) => {
                        let name = key.get(..length).unwrap_or_default();
                        names.push_str(&String::from_utf8_lossy(name));
                        names.push('\n');
                    }
                    Ok(None) => return Ok(names),
                    Err(CursorError::Flash(errno)) => return Err(errno.into()),
                    Err(_) => return Err(Failure::Damaged),
                }
            }
        })
    }
}
