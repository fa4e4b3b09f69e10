//! Errors a hypercall returns to its caller.
//!
//! Numbers and names are those of Linux on x86-64, so that libc code above needs no translation.
//! A hypercall returns a value of zero or more, or `-errno`.

/// A guest's recoverable mistake, or a resource that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// The caller is not the supervisor.
    NotPermitted = 1,
    /// No such VM or image, or not any more.
    NotFound = 3,
    /// A disk failed.
    Io = 5,
    /// An argument lies outside the caller's memory.
    BadAddress = 14,
    /// The memory asked for is not there at the moment.
    OutOfMemory = 12,
    /// The image or VM is in use or already has been started.
    Busy = 16,
    /// The name, MAC or IP address is taken.
    Exists = 17,
    /// An argument is out of range or a structure is malformed.
    Invalid = 22,
    /// A table is full.
    TableFull = 23,
    /// What is asked for can never fit this host.
    TooLarge = 27,
}

impl Errno {
    /// Every error, in order of number.
    pub const ALL: [Self; 10] = [
        Self::NotPermitted,
        Self::NotFound,
        Self::Io,
        Self::OutOfMemory,
        Self::BadAddress,
        Self::Busy,
        Self::Exists,
        Self::Invalid,
        Self::TableFull,
        Self::TooLarge,
    ];

    /// Returns the number of this error, above zero.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Returns the error with number `code`, if there is one.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|errno| errno.code() == code)
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotPermitted => "not permitted",
            Self::NotFound => "no such VM or image",
            Self::Io => "disk failed",
            Self::OutOfMemory => "out of memory",
            Self::BadAddress => "bad address",
            Self::Busy => "in use",
            Self::Exists => "already exists",
            Self::Invalid => "invalid argument",
            Self::TableFull => "table full",
            Self::TooLarge => "too large for this host",
        })
    }
}

impl core::error::Error for Errno {}
