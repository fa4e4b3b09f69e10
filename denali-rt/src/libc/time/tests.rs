//! Dates against the host's libc, and clocks.

use super::super::memory::test::{input, one, output, text};
use super::*;
use core::ffi::{CStr, c_char};

/// The host's functions.
mod host {
    use super::Tm;
    use core::ffi::c_char;

    unsafe extern "C" {
        pub(super) fn gmtime_r(time: *const i64, result: *mut Tm) -> *mut Tm;
        pub(super) fn timegm(date: *mut Tm) -> i64;
        pub(super) fn strftime(
            to: *mut c_char,
            len: usize,
            format: *const c_char,
            date: *const Tm,
        ) -> usize;
    }
}

/// The next number of xorshift64 (Marsaglia 2003).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Everything but the zone's name, which is another pointer.
fn fields(date: &Tm) -> [c_int; 9] {
    [
        date.tm_sec,
        date.tm_min,
        date.tm_hour,
        date.tm_mday,
        date.tm_mon,
        date.tm_year,
        date.tm_wday,
        date.tm_yday,
        date.tm_isdst,
    ]
}

#[test]
fn dates_are_the_hosts() {
    let mut seed = 99;
    let some = [
        0,
        -1,
        951_782_400,
        4_107_542_400,
        i64::from(i32::MIN),
        253_402_300_800,
    ];
    let many = (0..20_000).map(|_| random(&mut seed).cast_signed() >> 22);
    for time in some.into_iter().chain(many.collect::<alloc::vec::Vec<_>>()) {
        let (mut ours, mut theirs) = (Tm::default(), Tm::default());
        gmtime_r(input(&[time]), one(&mut ours));
        // SAFETY: both are places of their types.
        unsafe { host::gmtime_r(&raw const time, &raw mut theirs) };
        assert_eq!(fields(&ours), fields(&theirs), "{time}");
        assert_eq!(timegm(one(&mut ours)), time);
    }
    let mut date = Tm::default();
    assert!(gmtime_r(input(&[i64::MAX]), one(&mut date)).is_null());
}

#[test]
fn fields_out_of_range_are_carried_as_the_host_carries_them() {
    let mut seed = 7;
    for _ in 0..5_000 {
        let mut field = || c_int::try_from(random(&mut seed) % 4001).unwrap() - 2000;
        let mut ours = Tm {
            tm_sec: field(),
            tm_min: field(),
            tm_hour: field(),
            tm_mday: field(),
            tm_mon: field(),
            tm_year: field(),
            ..Tm::default()
        };
        let mut theirs = ours;
        // SAFETY: it is a date.
        let their_time = unsafe { host::timegm(&raw mut theirs) };
        assert_eq!(mktime(one(&mut ours)), their_time);
        assert_eq!(fields(&ours), fields(&theirs));
    }
}

#[test]
fn dates_are_written_as_the_host_writes_them() {
    let mut seed = 5;
    let formats = [
        c"%a %A %b %B %c %C %d %D %e %F %h %H %I %j %m %M %n %p %r %R %S %t %T",
        c"%g %G %V %u %U %w %W %x %X %y %Y %z %% %Ey %Od plain",
        c"%a, %d %b %Y %H:%M:%S GMT",
    ];
    for _ in 0..5_000 {
        let time = i64::try_from(random(&mut seed) >> 31).unwrap();
        let mut date = Tm::default();
        gmtime_r(input(&[time]), one(&mut date));
        for format in formats {
            let (mut ours, mut theirs) = ([0_u8; 256], [0_u8; 256]);
            let our_len = strftime(output(&mut ours), 256, text(format), input(&[date]));
            // SAFETY: the buffer has 256 bytes.
            let their_len = unsafe {
                host::strftime(
                    theirs.as_mut_ptr().cast::<c_char>(),
                    256,
                    format.as_ptr(),
                    &raw const date,
                )
            };
            assert_eq!((our_len, ours), (their_len, theirs), "{time}");
        }
    }
    let mut short = [1; 4];
    assert_eq!(
        strftime(output(&mut short), 4, text(c"%Y"), input(&[Tm::default()])),
        0
    );
    let mut buffer = [0; 26];
    let written = ctime_r(input(&[0]), output(&mut buffer));
    assert_eq!(written.text().bytes(), b"Thu Jan  1 00:00:00 1970\n");
}

#[test]
fn clocks_run_and_sleeps_last() {
    let mut before = TimeSpec::default();
    assert_eq!(clock_gettime(CLOCK_MONOTONIC, one(&mut before)), 0);
    let pause = TimeSpec {
        tv_sec: 0,
        tv_nsec: 2_000_000,
    };
    assert_eq!(nanosleep(input(&[pause]), Out::NULL), 0);
    let until = TimeSpec {
        tv_sec: before.tv_sec,
        tv_nsec: before.tv_nsec,
    };
    assert_eq!(
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, input(&[until]), Out::NULL),
        0
    );
    let passed = now(CLOCK_MONOTONIC).unwrap() - before.duration().unwrap();
    assert!(passed >= Duration::from_millis(2));
    assert_eq!(clock_gettime(99, one(&mut before)), -1);
    let wrong = TimeSpec {
        tv_sec: 0,
        tv_nsec: 1_000_000_000,
    };
    assert_eq!(
        clock_nanosleep(CLOCK_MONOTONIC, 0, input(&[wrong]), Out::NULL),
        EINVAL
    );
    assert!(time(Out::NULL) > 1_700_000_000);
    let mut day = TimeVal::default();
    assert_eq!(gettimeofday(one(&mut day), Out::NULL), 0);
    assert!(day.tv_sec >= 1_700_000_000 && day.tv_usec < 1_000_000);
}

#[test]
fn the_layout_is_the_hosts() {
    assert_eq!(size_of::<Tm>(), 56);
    let _: &CStr = c"UTC";
}
