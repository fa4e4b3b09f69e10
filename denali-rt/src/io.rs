//! Reading, writing and what can go wrong with it.
//!
//! The traits are those of `embedded_io`, so that its ecosystem works on our sockets.

pub use embedded_io::{BufRead, ErrorType, Read, ReadExactError, ReadReady, Write, WriteReady};

use core::fmt;
use denali_abi::errno::Errno;

/// The result of an operation that may fail with [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What kind of thing went wrong; named as in `std::io::ErrorKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name or thing does not exist.
    NotFound,
    /// The caller may not do this.
    PermissionDenied,
    /// The peer refused the connection.
    ConnectionRefused,
    /// The peer reset the connection.
    ConnectionReset,
    /// The connection was closed on this side.
    ConnectionAborted,
    /// There is no route to the host.
    HostUnreachable,
    /// The network has no address yet or is not there.
    NetworkUnreachable,
    /// The socket is not connected.
    NotConnected,
    /// The port is taken.
    AddrInUse,
    /// The address is not ours.
    AddrNotAvailable,
    /// The other end is gone.
    BrokenPipe,
    /// It already exists.
    AlreadyExists,
    /// It would have to wait.
    WouldBlock,
    /// An argument is wrong.
    InvalidInput,
    /// The data is malformed.
    InvalidData,
    /// The time was up.
    TimedOut,
    /// Nothing could be written.
    WriteZero,
    /// The operation was interrupted.
    Interrupted,
    /// There is no such operation here.
    Unsupported,
    /// The data ended too early.
    UnexpectedEof,
    /// Memory or a table is full.
    OutOfMemory,
    /// Something is in use.
    ResourceBusy,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Returns a short lower-case description.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::PermissionDenied => "permission denied",
            Self::ConnectionRefused => "connection refused",
            Self::ConnectionReset => "connection reset",
            Self::ConnectionAborted => "connection aborted",
            Self::HostUnreachable => "host unreachable",
            Self::NetworkUnreachable => "network unreachable",
            Self::NotConnected => "not connected",
            Self::AddrInUse => "address in use",
            Self::AddrNotAvailable => "address not available",
            Self::BrokenPipe => "broken pipe",
            Self::AlreadyExists => "already exists",
            Self::WouldBlock => "operation would block",
            Self::InvalidInput => "invalid input",
            Self::InvalidData => "invalid data",
            Self::TimedOut => "timed out",
            Self::WriteZero => "nothing written",
            Self::Interrupted => "interrupted",
            Self::Unsupported => "unsupported",
            Self::UnexpectedEof => "unexpected end of data",
            Self::OutOfMemory => "out of memory",
            Self::ResourceBusy => "in use",
            Self::Other => "other error",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

/// An error: its kind and, where there is more to say, a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: Option<&'static str>,
}

impl Error {
    /// Makes an error with a message: lower case, no full stop.
    #[must_use]
    pub const fn new(kind: ErrorKind, message: &'static str) -> Self {
        Self {
            kind,
            message: Some(message),
        }
    }

    /// Returns what kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.unwrap_or(self.kind.description()))
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind as Kind;
        match self.kind {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::PermissionDenied => Kind::PermissionDenied,
            ErrorKind::ConnectionRefused => Kind::ConnectionRefused,
            ErrorKind::ConnectionReset => Kind::ConnectionReset,
            ErrorKind::ConnectionAborted => Kind::ConnectionAborted,
            ErrorKind::NotConnected => Kind::NotConnected,
            ErrorKind::AddrInUse => Kind::AddrInUse,
            ErrorKind::AddrNotAvailable => Kind::AddrNotAvailable,
            ErrorKind::BrokenPipe => Kind::BrokenPipe,
            ErrorKind::AlreadyExists => Kind::AlreadyExists,
            ErrorKind::InvalidInput => Kind::InvalidInput,
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Kind::InvalidData,
            ErrorKind::TimedOut => Kind::TimedOut,
            ErrorKind::WriteZero => Kind::WriteZero,
            ErrorKind::Interrupted => Kind::Interrupted,
            ErrorKind::Unsupported => Kind::Unsupported,
            ErrorKind::OutOfMemory => Kind::OutOfMemory,
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::WouldBlock
            | ErrorKind::ResourceBusy
            | ErrorKind::Other => Kind::Other,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            message: None,
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::from(match errno {
            Errno::NotPermitted => ErrorKind::PermissionDenied,
            Errno::NotFound => ErrorKind::NotFound,
            Errno::OutOfMemory | Errno::TableFull | Errno::TooLarge => ErrorKind::OutOfMemory,
            Errno::BadAddress | Errno::Invalid => ErrorKind::InvalidInput,
            Errno::Busy => ErrorKind::ResourceBusy,
            Errno::Exists => ErrorKind::AlreadyExists,
            Errno::Io => ErrorKind::Other,
        })
    }
}

impl From<ReadExactError<Self>> for Error {
    fn from(error: ReadExactError<Self>) -> Self {
        match error {
            ReadExactError::UnexpectedEof => ErrorKind::UnexpectedEof.into(),
            ReadExactError::Other(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_error_says_its_message_or_else_its_kind() {
        assert_eq!(Error::from(ErrorKind::TimedOut).to_string(), "timed out");
        assert_eq!(
            Error::new(ErrorKind::Other, "no route").to_string(),
            "no route"
        );
    }

    #[test]
    fn reading_past_the_end_is_an_unexpected_end() {
        let error = Error::from(ReadExactError::UnexpectedEof);
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
