//! What a command reads from and writes to: the standard streams of one login.

#[cfg(test)]
pub mod fake;

use alloc::string::String;
use core::time::Duration;

/// The client went away; whatever is going on for it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Wants more.
    More,
    /// Has enough.
    Enough,
}

/// The standard streams of one login.
#[expect(clippy::missing_errors_doc, reason = "the one error is `Closed`")]
pub trait Terminal {
    /// Writes all of `bytes`.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Closed>;

    /// Hands pieces of standard input to `sink` until it has enough or the input ends. Input can
    /// be received once in the life of a terminal.
    fn receive(&mut self, sink: &mut dyn FnMut(&[u8]) -> Flow) -> Result<(), Closed>;

    /// Returns the fingerprint of the key that logged in, as OpenSSH prints it.
    fn who(&self) -> String;

    /// Waits; notices if the client goes away meanwhile.
    fn pause(&mut self, duration: Duration) -> Result<(), Closed>;
}
