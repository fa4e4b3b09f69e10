//! The partition for the store, as the store wants it.

use denali_abi::block::VOLUME_KEY_LEN;
use denali_abi::errno::Errno;
use denali_rt::block::Volume;
use denali_store::{Contents, Device, IoError};
use sha2::{Digest as _, Sha512};

/// What the key of the store is derived with.
const PURPOSE: &[u8] = b"denali: key of the store at rest, version 1";

/// The partition.
#[derive(Debug)]
pub struct Partition(Volume);

impl Partition {
    /// Opens the partition with a key that follows from the host key. `None` on a host without one.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    pub fn open(host_key: &[u8; 32]) -> Result<Option<Self>, Errno> {
        match Volume::open_store(&key_of(host_key)) {
            Ok(volume) => Ok(Some(Self(volume))),
            Err(Errno::NotFound | Errno::NotPermitted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the key of the store: one derived from the host key, so that whoever has the disk alone
/// has nothing.
fn key_of(host_key: &[u8; 32]) -> [u8; VOLUME_KEY_LEN] {
    let digest = Sha512::new().chain_update(PURPOSE).chain_update(host_key);
    digest.finalize().into()
}

impl Device for Partition {
    fn blocks(&self) -> u64 {
        self.0.blocks()
    }

    fn read(&mut self, block: u64, contents: &mut Contents) -> Result<(), IoError> {
        self.0.read(block, contents).map_err(|_| IoError)
    }

    fn write(&mut self, block: u64, contents: &Contents) -> Result<(), IoError> {
        self.0.write(block, contents).map_err(|_| IoError)
    }

    fn flush(&mut self) -> Result<(), IoError> {
        self.0.flush().map_err(|_| IoError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_host_and_in_their_halves() {
        let key = key_of(&[1; 32]);
        assert_ne!(key, key_of(&[2; 32]));
        assert_ne!(key[..32], key[32..]);
    }
}
