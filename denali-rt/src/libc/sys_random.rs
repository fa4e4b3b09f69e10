//! `sys/random.h`, and `arc4random` of `stdlib.h`: random bytes fit for keys.

use super::errno::{self, EIO, Errno};
use super::memory::Out;
use crate::random;
use core::ffi::{c_int, c_uint};

/// Most bytes of one call of [`getentropy`].
const ENTROPY_MAX: usize = 256;

/// Fills a buffer; never waits. Returns its length.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getrandom(mut to: Out<u8>, len: usize, _flags: c_uint) -> isize {
    random::fill(to.slice(len));
    isize::try_from(len).unwrap_or(isize::MAX)
}

/// Fills a buffer of up to 256 bytes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getentropy(mut to: Out<u8>, len: usize) -> c_int {
    if len > ENTROPY_MAX {
        return errno::answer(Err(Errno(EIO)));
    }
    random::fill(to.slice(len));
    0
}

/// Returns a random number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn arc4random() -> u32 {
    let mut bytes = [0; 4];
    random::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

/// Fills a buffer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn arc4random_buf(mut to: Out<u8>, len: usize) {
    random::fill(to.slice(len));
}

/// Returns a random number below `bound`, all equally likely; 0 for a bound of 0.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn arc4random_uniform(bound: u32) -> u32 {
    // The first numbers, as many as would come once too often, are drawn again.
    let least = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
    let drawn = core::iter::repeat_with(|| arc4random()).find(|number| *number >= least);
    drawn
        .and_then(|number| number.checked_rem(bound))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::output;
    use super::*;

    #[test]
    fn buffers_are_filled() {
        let (mut one, mut two) = ([0; 16], [0; 16]);
        assert_eq!(getrandom(output(&mut one), 16, 0), 16);
        assert_eq!(getentropy(output(&mut two), 16), 0);
        assert_ne!(one, two);
        assert_eq!(getentropy(Out::NULL, 257), -1);
        assert!((0..100).all(|_| arc4random_uniform(6) < 6));
        assert_eq!((arc4random_uniform(0), arc4random_uniform(1)), (0, 0));
    }
}
