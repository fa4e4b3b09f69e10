//! `sys/syscall.h`: the few system calls that programs make by number, `std` among them. In C it is
//! variadic; with at most six arguments, all in registers or on the stack as of fixed ones, it need
//! not be here.

use super::errno::{self, EAGAIN, EINVAL, ENOSYS, ETIMEDOUT, Errno};
use super::futex::{self, Ended};
use super::memory::{In, Out};
use super::pthread::pthread_self;
use super::time::{CLOCK_MONOTONIC, CLOCK_REALTIME, TimeSpec};
use crate::random;
use crate::time::Instant;
use core::ffi::{c_int, c_long};
use core::sync::atomic::AtomicU32;

const SYS_GETTID: c_long = 186;
const SYS_FUTEX: c_long = 202;
const SYS_GETRANDOM: c_long = 318;

const FUTEX_WAIT: usize = 0;
const FUTEX_WAKE: usize = 1;
const FUTEX_WAIT_BITSET: usize = 9;
const FUTEX_WAKE_BITSET: usize = 10;
const FUTEX_CLOCK_REALTIME: usize = 256;

/// The part of the operation that is not a flag.
const FUTEX_COMMAND: usize = 127;

/// Does a system call of Linux: `futex`, `getrandom` or `gettid`; others fail with `ENOSYS`.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn syscall(
    number: c_long,
    first: usize,
    second: usize,
    third: usize,
    fourth: usize,
    _fifth: usize,
    sixth: usize,
) -> c_long {
    let place = |address: usize| core::ptr::with_exposed_provenance_mut(address);
    let result = match number {
        SYS_GETTID => c_long::try_from(pthread_self()).map_err(|_| Errno(EINVAL)),
        SYS_GETRANDOM => {
            let mut to: Out<u8> = Out::from_raw(place(first));
            random::fill(to.slice(second));
            c_long::try_from(second).map_err(|_| Errno(EINVAL))
        }
        SYS_FUTEX => {
            let word: Out<AtomicU32> = Out::from_raw(place(first).cast());
            let timeout: Out<TimeSpec> = Out::from_raw(place(fourth).cast());
            operate(word, second, low(third), timeout.readable(), low(sixth))
        }
        _ => Err(Errno(ENOSYS)),
    };
    errno::answer(result)
}

/// Returns the low half of an argument.
#[expect(clippy::cast_possible_truncation, reason = "the argument has 32 bits")]
fn low(argument: usize) -> u32 {
    argument as u32
}

fn operate(
    word: Out<AtomicU32>,
    operation: usize,
    value: u32,
    timeout: In<TimeSpec>,
    bits: u32,
) -> Result<c_long, Errno> {
    let word = word.object().ok_or(Errno(EINVAL))?;
    let ended = match operation & FUTEX_COMMAND {
        FUTEX_WAIT => {
            let timeout = timeout.read().map(TimeSpec::duration).transpose()?;
            let deadline = timeout.map(|timeout| Instant::now() + timeout);
            futex::wait(word, value, deadline)
        }
        FUTEX_WAIT_BITSET => {
            let clock: c_int = match operation & FUTEX_CLOCK_REALTIME {
                0 => CLOCK_MONOTONIC,
                _ => CLOCK_REALTIME,
            };
            let deadline = timeout
                .read()
                .map(|until| until.deadline(clock))
                .transpose()?;
            futex::wait_bits(word, value, deadline, bits)
        }
        FUTEX_WAKE => return Ok(futex::wake(word, value).into()),
        FUTEX_WAKE_BITSET => return Ok(futex::wake_bits(word, value, bits).into()),
        _ => return Err(Errno(ENOSYS)),
    };
    match ended {
        Ended::Woken => Ok(0),
        Ended::Changed => Err(Errno(EAGAIN)),
        Ended::TimedOut => Err(Errno(ETIMEDOUT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_std_are_known() {
        let word = AtomicU32::new(1);
        let address = core::ptr::from_ref(&word).expose_provenance();
        let time = TimeSpec {
            tv_sec: 0,
            tv_nsec: 1000,
        };
        let timeout = core::ptr::from_ref(&time).expose_provenance();
        assert_eq!(
            syscall(SYS_FUTEX, address, FUTEX_WAIT | 128, 2, 0, 0, 0),
            -1
        );
        assert_eq!(errno::get(), EAGAIN);
        assert_eq!(
            syscall(SYS_FUTEX, address, FUTEX_WAIT | 128, 1, timeout, 0, 0),
            -1
        );
        assert_eq!(errno::get(), ETIMEDOUT);
        assert_eq!(syscall(SYS_FUTEX, address, FUTEX_WAKE | 128, 1, 0, 0, 0), 0);
        assert!(syscall(SYS_GETTID, 0, 0, 0, 0, 0, 0) > 0);
        assert_eq!(syscall(57, 0, 0, 0, 0, 0, 0), -1);
        assert_eq!(errno::get(), ENOSYS);
    }
}
