//! The lines a server may answer with, in memcached's words: clients compare them.

/// Silence.
pub const NONE: &str = "";
/// Not a command.
pub const ERROR: &str = "ERROR\r\n";
/// A command with arguments that are none.
pub const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
/// A line that does not end.
pub const LINE_TOO_LONG: &str = "CLIENT_ERROR line too long\r\n";
/// A value that does not end where it was announced to.
pub const BAD_CHUNK: &str = "CLIENT_ERROR bad data chunk\r\n";
/// `delete` with something that is not `noreply`.
pub const DELETE_USAGE: &str =
    "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
/// An expiry that is no number.
pub const BAD_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
/// `incr` by something that is no number.
pub const BAD_DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";
/// `incr` of something that is no number.
pub const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
/// A flag that the meta command does not have.
pub const INVALID_FLAG: &str = "CLIENT_ERROR invalid flag\r\n";
/// A flag that `md` or `ma` does not have, has already, or cannot read.
pub const BAD_FLAG: &str = "CLIENT_ERROR invalid or duplicate flag\r\n";
/// A flag that was there before.
pub const DUPLICATE_FLAG: &str = "CLIENT_ERROR duplicate flag\r\n";
/// A flag with an argument that is none.
pub const BAD_TOKEN: &str = "CLIENT_ERROR bad token in command line format\r\n";
/// An opaque token beyond 32 bytes.
pub const OPAQUE_TOO_LONG: &str = "CLIENT_ERROR opaque token too long\r\n";
/// A mode of more than one letter.
pub const BAD_MODE_LEN: &str = "CLIENT_ERROR incorrect length for M token\r\n";
/// A mode `ms` does not have.
pub const BAD_STORE_MODE: &str = "CLIENT_ERROR invalid mode for ms M token\r\n";
/// A mode `ma` does not have.
pub const BAD_COUNT_MODE: &str = "CLIENT_ERROR invalid mode for ma M token\r\n";
/// A key that is not base64.
pub const BAD_KEY: &str = "CLIENT_ERROR error decoding key\r\n";
/// A value beyond the limit.
pub const TOO_LARGE: &str = "SERVER_ERROR object too large for cache\r\n";
/// A value for which no memory could be freed.
pub const NO_MEMORY: &str = "SERVER_ERROR out of memory storing object\r\n";
/// A number for which no memory could be freed.
pub const NO_MEMORY_TO_COUNT: &str = "SERVER_ERROR out of memory in incr\r\n";
/// A connection beyond the limit.
pub const TOO_MANY_CONNECTIONS: &str = "ERROR Too many open connections\r\n";
