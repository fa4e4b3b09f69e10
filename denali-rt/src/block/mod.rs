//! Volumes: disks of this VM, in blocks of 4 KiB.
//!
//! A service that asks for a volume in its manifest finds it here by name. What is written outlives
//! the VM, its releases and the host's reboots; it is durable when a [`flush`](Volume::flush) after it
//! has returned. Up to 16 requests are under way at a time, done in any order.
//!
//! ```no_run
//! use denali_rt::block::{BLOCK_LEN, Volume};
//!
//! let volume = Volume::open("data").expect("the manifest asks for it");
//! let mut block = [0; BLOCK_LEN];
//! volume.read(0, &mut block)?;
//! block[0] += 1;
//! volume.write(0, &block)?;
//! volume.flush()?;
//! # Ok::<(), denali_rt::block::Errno>(())
//! ```
//!
//! A disk that fails is an error of the request, [`Errno::Io`], and nothing else.

mod driver;
mod rings;

use crate::hypercall;
use crate::interrupt;
use crate::registers;
use crate::sync::{GuestCell, WaitQueue};
pub use denali_abi::block::BLOCK_LEN;
use denali_abi::block::{VOLUME_KEY_LEN, VolumeInfo, operation};
pub use denali_abi::errno::Errno;
use driver::{Driver, Ticket};

/// The contents of a block.
pub type Block = [u8; BLOCK_LEN];

static DRIVER: GuestCell<Driver> = GuestCell::new(Driver::new());

/// Threads and tasks that wait for a completion.
static DONE: WaitQueue = WaitQueue::new();

/// Threads and tasks that wait for room in the rings.
static ROOM: WaitQueue = WaitQueue::new();

/// A volume of this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    index: u32,
    blocks: u64,
}

/// What a request moves.
enum Move<'a> {
    Nothing,
    Out(&'a Block),
    In(&'a mut Block),
}

impl Move<'_> {
    fn out(&self) -> Option<&Block> {
        match self {
            Self::Out(block) => Some(block),
            Self::Nothing | Self::In(_) => None,
        }
    }

    fn target(&mut self) -> Option<&mut Block> {
        match self {
            Self::In(block) => Some(block),
            Self::Nothing | Self::Out(_) => None,
        }
    }
}

impl Volume {
    /// Returns the volume called `name`, if this VM has it.
    #[must_use]
    pub fn open(name: &str) -> Option<Self> {
        all()
            .find(|(its, _)| *its == name)
            .map(|(_, volume)| volume)
    }

    /// Opens the host's store with its key: the supervisor alone can.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    pub fn open_store(key: &[u8; VOLUME_KEY_LEN]) -> Result<Self, Errno> {
        let blocks = hypercall::control::store_open(key)?;
        Ok(Self { index: 0, blocks })
    }

    /// Returns how many blocks it has.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Reads a block, and waits for it.
    ///
    /// # Errors
    ///
    /// [`Errno::Invalid`] behind the end, [`Errno::Io`] if the disk fails, [`Errno::OutOfMemory`].
    pub fn read(&self, block: u64, contents: &mut Block) -> Result<(), Errno> {
        self.perform(operation::READ, block, Move::In(contents))
    }

    /// Writes a block, and waits for it. It is durable after the next [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); the block may hold the old or the new then, or parts of both.
    pub fn write(&self, block: u64, contents: &Block) -> Result<(), Errno> {
        self.perform(operation::WRITE, block, Move::Out(contents))
    }

    /// Makes durable all writes that have returned, and waits for it.
    ///
    /// # Errors
    ///
    /// [`Errno::Io`] if the disk fails: then nothing is known of writes since the last flush.
    pub fn flush(&self) -> Result<(), Errno> {
        self.perform(operation::FLUSH, 0, Move::Nothing)
    }

    /// Reads a block, as a task.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub async fn read_async(&self, block: u64, contents: &mut Block) -> Result<(), Errno> {
        self.perform_async(operation::READ, block, Move::In(contents))
            .await
    }

    /// Writes a block, as a task. Dropping the future does not call the write back.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn write_async(&self, block: u64, contents: &Block) -> Result<(), Errno> {
        self.perform_async(operation::WRITE, block, Move::Out(contents))
            .await
    }

    /// Makes durable all writes that have returned, as a task.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn flush_async(&self) -> Result<(), Errno> {
        self.perform_async(operation::FLUSH, 0, Move::Nothing).await
    }

    fn perform(&self, operation: u32, block: u64, mut moved: Move<'_>) -> Result<(), Errno> {
        let _masked = interrupt::mask();
        let mut request = loop {
            match self.begin(operation, block, moved.out()) {
                Some(request) => break request,
                None => ROOM.wait(),
            }
        };
        loop {
            match request.take(moved.target()) {
                Some(result) => return result,
                None => DONE.wait(),
            }
        }
    }

    async fn perform_async(
        &self,
        operation: u32,
        block: u64,
        mut moved: Move<'_>,
    ) -> Result<(), Errno> {
        let mut request = loop {
            let room = ROOM.wait_async();
            match self.begin(operation, block, moved.out()) {
                Some(request) => break request,
                None => room.await,
            }
        };
        loop {
            let done = DONE.wait_async();
            match request.take(moved.target()) {
                Some(result) => return result,
                None => done.await,
            }
        }
    }

    fn begin(&self, operation: u32, block: u64, contents: Option<&Block>) -> Option<Request> {
        let begun = DRIVER.with(|driver| driver.begin(operation, self.index, block, contents))?;
        hypercall::block_submit();
        Some(Request(Some(begun)))
    }
}

/// A request under way; dropped, it is let go. `None` once its result was taken.
struct Request(Option<Ticket>);

impl Request {
    fn take(&mut self, contents: Option<&mut Block>) -> Option<Result<(), Errno>> {
        poll();
        let ticket = self.0?;
        let result = DRIVER.with(|driver| driver.take(ticket, contents))?;
        // Its place may be another request's from here on.
        self.0 = None;
        ROOM.wake_one();
        Some(result)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(ticket) = self.0 {
            DRIVER.with(|driver| driver.abandon(ticket));
            ROOM.wake_one();
        }
    }
}

/// Returns name and handle of every volume of this VM.
pub fn all() -> impl Iterator<Item = (&'static str, Volume)> {
    let infos = registers::get().volumes.iter();
    (0..)
        .zip(infos)
        .filter(|(_, info)| info.blocks > 0)
        .map(|(index, info)| {
            let volume = Volume {
                index,
                blocks: info.blocks,
            };
            (name_of(info), volume)
        })
}

fn name_of(info: &VolumeInfo) -> &str {
    let name = info.name.split(|byte| *byte == 0).next();
    core::str::from_utf8(name.unwrap_or_default()).unwrap_or_default()
}

/// Takes note of completions and wakes who waits for them.
pub(crate) fn poll() {
    if DRIVER.with(Driver::reap) {
        DONE.wake_all();
        // What was abandoned left a place behind.
        ROOM.wake_one();
    }
}
