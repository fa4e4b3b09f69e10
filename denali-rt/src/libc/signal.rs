//! `signal.h`: signals do not exist. Programs may say what to do about them; it never happens.
//!
//! What would send one is absent (`kill`, `alarm`) or ends the VM (`raise`, `abort`). A write to a
//! closed connection fails with `EPIPE`, as with `SIGPIPE` ignored elsewhere.

use super::errno::{self, EINVAL, Errno};
use super::memory::{In, Out};
use core::ffi::{c_int, c_ulong};

/// Signals of Linux.
const SIGNALS: c_int = 64;

/// `SIG_IGN`: what has always been done about every signal.
const IGNORE: usize = 1;

/// What to do about a signal, as Linux lays it out.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SigAction {
    handler: usize,
    mask: [c_ulong; 16],
    flags: c_int,
    restorer: usize,
}

fn check(signal: c_int) -> Result<c_int, Errno> {
    match signal {
        1..=SIGNALS => Ok(0),
        _ => Err(Errno(EINVAL)),
    }
}

/// Returns the first number of signals that are the program's own to define.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn __libc_current_sigrtmin() -> c_int {
    34
}

/// Returns the last one.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn __libc_current_sigrtmax() -> c_int {
    64
}

/// Accepts what to do about a signal, which never comes. Returns that it was ignored.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn signal(signal: c_int, _handler: usize) -> usize {
    match check(signal) {
        Ok(_) => IGNORE,
        Err(Errno(number)) => {
            errno::set(number);
            usize::MAX
        }
    }
}

/// Accepts what to do about a signal, which never comes. Tells that it was ignored.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigaction(signal: c_int, _action: In<SigAction>, old: Out<SigAction>) -> c_int {
    errno::answer(check(signal).inspect(|_| {
        old.write(SigAction {
            handler: IGNORE,
            mask: [0; 16],
            flags: 0,
            restorer: 0,
        });
    }))
}

/// Accepts a stack for handlers, of which there are none.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigaltstack(_stack: In<u8>, _old: Out<u8>) -> c_int {
    0
}

/// Empties a set.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigemptyset(set: Out<[c_ulong; 16]>) -> c_int {
    set.write([0; 16]);
    0
}

/// Fills a set.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigfillset(set: Out<[c_ulong; 16]>) -> c_int {
    set.write([c_ulong::MAX; 16]);
    0
}

fn change(
    set: Out<[c_ulong; 16]>,
    signal: c_int,
    f: impl FnOnce(c_ulong, c_ulong) -> c_ulong,
) -> c_int {
    errno::answer(check(signal).inspect(|_| {
        let mut bits = set.read().unwrap_or_default();
        bits[0] = f(bits[0], 1 << (signal - 1));
        set.write(bits);
    }))
}

/// Adds a signal to a set.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigaddset(set: Out<[c_ulong; 16]>, signal: c_int) -> c_int {
    change(set, signal, |bits, bit| bits | bit)
}

/// Removes a signal from a set.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigdelset(set: Out<[c_ulong; 16]>, signal: c_int) -> c_int {
    change(set, signal, |bits, bit| bits & !bit)
}

/// Returns whether a signal is in a set.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigismember(set: In<[c_ulong; 16]>, signal: c_int) -> c_int {
    errno::answer(check(signal).map(|_| {
        let bits = set.read().unwrap_or_default();
        c_int::from(bits[0] >> (signal - 1) & 1 == 1)
    }))
}

/// Accepts which signals to hold back; tells that none was.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sigprocmask(
    _how: c_int,
    _set: In<[c_ulong; 16]>,
    old: Out<[c_ulong; 16]>,
) -> c_int {
    sigemptyset(old)
}

/// Like [`sigprocmask`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_sigmask(
    how: c_int,
    set: In<[c_ulong; 16]>,
    old: Out<[c_ulong; 16]>,
) -> c_int {
    sigprocmask(how, set, old)
}

/// Ends the VM: nothing handles a signal, so its default is done.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn raise(signal: c_int) -> c_int {
    crate::eprintln!("the program raised signal {signal}");
    crate::process::abort()
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::{input, one};
    use super::*;

    #[test]
    fn what_to_do_is_accepted_and_sets_are_kept() {
        assert_eq!((signal(13, 0), signal(0, 0)), (IGNORE, usize::MAX));
        let mut set = [5; 16];
        assert_eq!(
            (sigemptyset(one(&mut set)), sigaddset(one(&mut set), 13)),
            (0, 0)
        );
        assert_eq!(
            (
                sigismember(input(&[set]), 13),
                sigismember(input(&[set]), 12)
            ),
            (1, 0)
        );
        assert_eq!(
            (sigdelset(one(&mut set), 13), sigismember(input(&[set]), 13)),
            (0, 0)
        );
        assert_eq!(
            (sigfillset(one(&mut set)), sigismember(input(&[set]), 64)),
            (0, 1)
        );
        assert_eq!(sigaddset(one(&mut set), 65), -1);
        assert_eq!(
            (
                sigaction(2, In::NULL, Out::NULL),
                sigaction(65, In::NULL, Out::NULL)
            ),
            (0, -1)
        );
        assert_eq!(
            (pthread_sigmask(0, In::NULL, one(&mut set)), set),
            (0, [0; 16])
        );
    }
}
