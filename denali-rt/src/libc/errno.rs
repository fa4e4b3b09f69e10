//! `errno.h`: the number of the last error, of which each thread has its own.

use super::memory::{Out, Text};
use crate::io::{Error, ErrorKind};
use core::cell::Cell;
use core::ffi::{CStr, c_int};
use core::sync::atomic::AtomicI32;

crate::thread_local! {
    static ERRNO: Cell<c_int> = Cell::new(0);
}

/// Stands in once a thread that ends has dropped its own.
static LAST_RESORT: AtomicI32 = AtomicI32::new(0);

/// Returns where the running thread's error number is: what the macro `errno` means.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn __errno_location() -> Out<c_int> {
    let own = ERRNO.try_with(Cell::as_ptr);
    Out::from_raw(own.unwrap_or(LAST_RESORT.as_ptr()))
}

/// Sets the running thread's error number.
pub(super) fn set(number: c_int) {
    __errno_location().write(number);
}

/// Returns the running thread's error number.
pub(super) fn get() -> c_int {
    __errno_location().read().unwrap_or(0)
}

/// Why a call failed, as the number C code gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl From<ErrorKind> for Errno {
    fn from(kind: ErrorKind) -> Self {
        Self(match kind {
            ErrorKind::NotFound => ENOENT,
            ErrorKind::PermissionDenied => EACCES,
            ErrorKind::ConnectionRefused => ECONNREFUSED,
            ErrorKind::ConnectionReset => ECONNRESET,
            ErrorKind::ConnectionAborted => ECONNABORTED,
            ErrorKind::HostUnreachable => EHOSTUNREACH,
            ErrorKind::NetworkUnreachable => ENETUNREACH,
            ErrorKind::NotConnected => ENOTCONN,
            ErrorKind::AddrInUse => EADDRINUSE,
            ErrorKind::AddrNotAvailable => EADDRNOTAVAIL,
            ErrorKind::BrokenPipe => EPIPE,
            ErrorKind::AlreadyExists => EEXIST,
            ErrorKind::WouldBlock => EAGAIN,
            ErrorKind::InvalidInput | ErrorKind::InvalidData => EINVAL,
            ErrorKind::TimedOut => ETIMEDOUT,
            ErrorKind::Interrupted => EINTR,
            ErrorKind::Unsupported => EOPNOTSUPP,
            ErrorKind::OutOfMemory => ENOMEM,
            ErrorKind::ResourceBusy => EBUSY,
            _ => EIO,
        })
    }
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        error.kind().into()
    }
}

/// Returns a result as C calls do: the value, or -1 after setting the error number.
pub(super) fn answer<T: Failing>(result: Result<T, Errno>) -> T {
    result.unwrap_or_else(|Errno(number)| {
        set(number);
        T::FAILED
    })
}

/// Returns the outcome as pthread calls do: 0, or the error number.
pub(super) fn code(result: Result<(), Errno>) -> c_int {
    result.err().map_or(0, |Errno(number)| number)
}

/// What a call that failed returns.
pub(super) trait Failing {
    /// The value.
    const FAILED: Self;
}

impl Failing for c_int {
    const FAILED: Self = -1;
}

impl Failing for i64 {
    const FAILED: Self = -1;
}

impl Failing for isize {
    const FAILED: Self = -1;
}

impl<T> Failing for Out<T> {
    const FAILED: Self = Out::NULL;
}

/// Returns what an error number means.
pub(super) fn description(number: c_int) -> Option<&'static CStr> {
    ERRORS
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, text)| *text)
}

/// Returns what an error number means; the text stays.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn strerror(number: c_int) -> Text {
    Text::of(description(number).unwrap_or(c"Unknown error"))
}

/// Writes what an error number means into a buffer. Returns 0, `EINVAL` for a number unknown, or
/// `ERANGE` if the text had to be cut.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn __xpg_strerror_r(number: c_int, mut buffer: Out<u8>, len: usize) -> c_int {
    let known = description(number);
    let text = known.unwrap_or(c"Unknown error").to_bytes();
    let copied = text.len().min(len.saturating_sub(1));
    buffer.slice(copied).copy_from_slice(&text[..copied]);
    if len > 0 {
        buffer.add(copied).write(0);
    }
    match known {
        _ if copied < text.len() => ERANGE,
        None => EINVAL,
        Some(_) => 0,
    }
}

/// Defines the numbers of Linux on x86-64 and what they mean.
macro_rules! errors {
    ($($name:ident = $number:literal: $text:literal,)*) => {
        $(#[doc = concat!("Linux's `", stringify!($name), "`.")]
        pub const $name: c_int = $number;)*

        const ERRORS: &[(c_int, &CStr)] = &[(0, c"Success"), $(($name, $text),)*];
    };
}

errors! {
    EPERM = 1: c"Operation not permitted",
    ENOENT = 2: c"No such file or directory",
    ESRCH = 3: c"No such process",
    EINTR = 4: c"Interrupted system call",
    EIO = 5: c"Input/output error",
    EBADF = 9: c"Bad file descriptor",
    ECHILD = 10: c"No child processes",
    EAGAIN = 11: c"Resource temporarily unavailable",
    ENOMEM = 12: c"Cannot allocate memory",
    EACCES = 13: c"Permission denied",
    EFAULT = 14: c"Bad address",
    EBUSY = 16: c"Device or resource busy",
    EEXIST = 17: c"File exists",
    EXDEV = 18: c"Invalid cross-device link",
    ENODEV = 19: c"No such device",
    ENOTDIR = 20: c"Not a directory",
    EISDIR = 21: c"Is a directory",
    EINVAL = 22: c"Invalid argument",
    EMFILE = 24: c"Too many open files",
    ENOTTY = 25: c"Inappropriate ioctl for device",
    EFBIG = 27: c"File too large",
    ENOSPC = 28: c"No space left on device",
    ESPIPE = 29: c"Illegal seek",
    EROFS = 30: c"Read-only file system",
    EMLINK = 31: c"Too many links",
    EPIPE = 32: c"Broken pipe",
    EDOM = 33: c"Numerical argument out of domain",
    ERANGE = 34: c"Numerical result out of range",
    EDEADLK = 35: c"Resource deadlock avoided",
    ENAMETOOLONG = 36: c"File name too long",
    ENOSYS = 38: c"Function not implemented",
    ENOTEMPTY = 39: c"Directory not empty",
    ELOOP = 40: c"Too many levels of symbolic links",
    EILSEQ = 84: c"Invalid or incomplete multibyte or wide character",
    EOVERFLOW = 75: c"Value too large for defined data type",
    ENOTSOCK = 88: c"Socket operation on non-socket",
    EDESTADDRREQ = 89: c"Destination address required",
    EMSGSIZE = 90: c"Message too long",
    EPROTOTYPE = 91: c"Protocol wrong type for socket",
    ENOPROTOOPT = 92: c"Protocol not available",
    EPROTONOSUPPORT = 93: c"Protocol not supported",
    EOPNOTSUPP = 95: c"Operation not supported",
    EAFNOSUPPORT = 97: c"Address family not supported by protocol",
    EADDRINUSE = 98: c"Address already in use",
    EADDRNOTAVAIL = 99: c"Cannot assign requested address",
    ENETDOWN = 100: c"Network is down",
    ENETUNREACH = 101: c"Network is unreachable",
    ECONNABORTED = 103: c"Software caused connection abort",
    ECONNRESET = 104: c"Connection reset by peer",
    ENOBUFS = 105: c"No buffer space available",
    EISCONN = 106: c"Transport endpoint is already connected",
    ENOTCONN = 107: c"Transport endpoint is not connected",
    ETIMEDOUT = 110: c"Connection timed out",
    ECONNREFUSED = 111: c"Connection refused",
    EHOSTUNREACH = 113: c"No route to host",
    EALREADY = 114: c"Operation already in progress",
    EINPROGRESS = 115: c"Operation now in progress",
    EDQUOT = 122: c"Disk quota exceeded",
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::output;
    use super::*;

    #[test]
    fn every_number_means_what_the_hosts_libc_says() {
        for (number, text) in ERRORS {
            // SAFETY: it returns a text.
            let theirs = unsafe { CStr::from_ptr(host::strerror(*number)) };
            assert_eq!(theirs, *text, "{number}");
        }
    }

    #[test]
    fn a_description_is_cut_to_the_buffer() {
        let mut buffer = [1; 8];
        assert_eq!(__xpg_strerror_r(EINVAL, output(&mut buffer), 8), ERANGE);
        assert_eq!(&buffer, b"Invalid\0");
        let mut buffer = [1; 32];
        assert_eq!(__xpg_strerror_r(EINVAL, output(&mut buffer), 32), 0);
        assert_eq!(&buffer[..17], b"Invalid argument\0");
        assert_eq!(__xpg_strerror_r(4096, output(&mut buffer), 32), EINVAL);
    }

    #[test]
    fn each_thread_has_its_own_number() {
        set(EBADF);
        let other = crate::thread::spawn(|| {
            let before = get();
            set(EIO);
            before
        });
        assert_eq!((other.join(), get()), (0, EBADF));
    }

    mod host {
        unsafe extern "C" {
            pub(super) safe fn strerror(number: i32) -> *const core::ffi::c_char;
        }
    }
}
