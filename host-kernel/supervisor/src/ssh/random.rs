//! The kernel's generator behind the traits that `zssh` expects.

use core::convert::Infallible;
use denali_rt::random;
use rand_core::{TryCryptoRng, TryRng};

/// Random bytes fit for keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random;

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        random::fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(random::u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        random::fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Random {}
