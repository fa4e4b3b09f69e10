//! What the system is and has: `sys/utsname.h`, `sys/resource.h`, `sys/auxv.h`.

use super::descriptor;
use super::errno::{self, EINVAL, Errno};
use super::memory::{In, Out};
use super::time::TimeVal;
use crate::registers;
use crate::time::{Duration, Instant};
use core::ffi::{c_int, c_ulong};

/// Length of each text of [`UtsName`].
const NAME_LEN: usize = 65;

/// The names of the system.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct UtsName {
    names: [[u8; NAME_LEN]; 6],
}

/// Tells the names of the system: `Denali`, the VM's name, the version, and the machine.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn uname(result: Out<UtsName>) -> c_int {
    let texts = [
        "Denali",
        registers::name(),
        env!("CARGO_PKG_VERSION"),
        "Denali isolation kernel",
        "x86_64",
        "",
    ];
    let names = texts.map(|text| {
        let mut name = [0; NAME_LEN];
        let len = text.len().min(NAME_LEN - 1);
        name[..len].copy_from_slice(&text.as_bytes()[..len]);
        name
    });
    result.write(UtsName { names });
    0
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RLimit {
    /// The limit.
    pub rlim_cur: u64,
    /// What it can be raised to.
    pub rlim_max: u64,
}

const RLIMIT_STACK: c_int = 3;
const RLIMIT_NOFILE: c_int = 7;
const RLIMIT_AS: c_int = 9;
const RLIMITS: c_int = 16;

/// Tells a limit; most do not exist.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getrlimit(resource: c_int, result: Out<RLimit>) -> c_int {
    let limit = match resource {
        RLIMIT_STACK => 1020 * 1024,
        RLIMIT_NOFILE => u64::try_from(descriptor::DESCRIPTORS_MAX).unwrap_or(u64::MAX),
        RLIMIT_AS => u64::from(registers::memory_pages()) * 4096,
        0..RLIMITS => u64::MAX,
        _ => return errno::answer(Err(Errno(EINVAL))),
    };
    result.write(RLimit {
        rlim_cur: limit,
        rlim_max: limit,
    });
    0
}

/// Accepts a limit and keeps its own.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setrlimit(resource: c_int, _limit: In<RLimit>) -> c_int {
    match resource {
        0..RLIMITS => 0,
        _ => errno::answer(Err(Errno(EINVAL))),
    }
}

/// What was used.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RUsage {
    /// The VM's time.
    pub ru_utime: TimeVal,
    /// Time of the system: not counted.
    pub ru_stime: TimeVal,
    /// Resident memory in KiB.
    pub ru_maxrss: i64,
    _others: [i64; 13],
}

/// Tells what the VM has used.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getrusage(_who: c_int, result: Out<RUsage>) -> c_int {
    result.write(RUsage {
        ru_utime: Duration::from_nanos(Instant::now().as_ns()).into(),
        ru_stime: TimeVal::default(),
        ru_maxrss: i64::from(registers::resident_pages()) * 4,
        _others: [0; 13],
    });
    0
}

const AT_PAGESZ: c_ulong = 6;
const AT_CLKTCK: c_ulong = 17;

/// Returns a value of the auxiliary vector, 0 for one that is not there.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getauxval(kind: c_ulong) -> c_ulong {
    match kind {
        AT_PAGESZ => 4096,
        AT_CLKTCK => 100,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::one;
    use super::*;

    #[test]
    fn names_and_limits_are_told() {
        let mut name = UtsName {
            names: [[1; NAME_LEN]; 6],
        };
        assert_eq!(uname(one(&mut name)), 0);
        assert!(name.names[0].starts_with(b"Denali\0") && name.names[4].starts_with(b"x86_64\0"));
        let mut limit = RLimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        assert_eq!(
            (getrlimit(RLIMIT_NOFILE, one(&mut limit)), limit.rlim_cur),
            (0, 16_384)
        );
        assert_eq!(
            (getrlimit(99, one(&mut limit)), setrlimit(2, In::NULL)),
            (-1, 0)
        );
        assert_eq!(
            (size_of::<RUsage>(), getauxval(6), getauxval(99)),
            (144, 4096, 0)
        );
    }
}
