//! memcached's text protocol, as its `doc/protocol.txt` (1.6) describes it: from lines to commands.
//!
//! | file         | what                                             |
//! |--------------|--------------------------------------------------|
//! | `classic.rs` | `get`, `set`, `incr` and their like               |
//! | `meta.rs`    | the meta commands, two letters and flags          |
//! | `base64.rs`  | keys of meta commands that are not text           |
//! | `answer.rs`  | the lines a server may answer with                |

pub mod answer;
mod base64;
mod classic;
mod meta;

pub use classic::{Retrieve, Stats, StoreVerb};
pub use meta::{Flag, Flags, Meta, MetaStore, MetaVerb};

use crate::store::{Direction, KEY_MAX};

/// Longest line, and the most of a longer one that is looked at together.
pub const LINE_MAX: usize = 2048;

/// Longest value a client may announce in bytes.
const VALUE_MAX: u64 = (1 << 31) - 3;

/// Whether a client waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reply {
    /// It does.
    #[default]
    Wanted,
    /// It does not, unless something goes wrong.
    Unwanted,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `get`, `gets`, `gat` or `gats`, with the keys as they were written.
    Retrieve(Retrieve, &'a [u8]),
    /// `set`, `add`, `replace`, `append`, `prepend` or `cas`; a value follows.
    Store {
        key: &'a [u8],
        verb: StoreVerb,
        flags: u32,
        exptime: i64,
        len: usize,
        reply: Reply,
    },
    /// `incr` or `decr`.
    Count {
        key: &'a [u8],
        direction: Direction,
        delta: u64,
        reply: Reply,
    },
    /// `touch`.
    Touch {
        key: &'a [u8],
        exptime: i64,
        reply: Reply,
    },
    /// `delete`.
    Delete { key: &'a [u8], reply: Reply },
    /// `flush_all`, after a delay in seconds.
    FlushAll { delay: i64, reply: Reply },
    /// `stats`.
    Stats(Stats),
    /// `version`.
    Version,
    /// `verbosity`, which changes nothing here.
    Verbosity(Reply),
    /// `quit`.
    Quit,
    /// `mg`, `md`, `ma` or `me`.
    Meta(Meta<'a>),
    /// `ms`; a value follows.
    MetaStore(MetaStore<'a>),
    /// `mn`.
    MetaNoop,
}

/// A command that cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The line to answer.
    pub answer: &'static str,
    /// Bytes of a value that follow nevertheless.
    pub swallow: usize,
}

impl From<&'static str> for Refusal {
    fn from(answer: &'static str) -> Self {
        Self { answer, swallow: 0 }
    }
}

/// The words of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// Splits a line at its spaces.
    pub fn of(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// Returns what has not been taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| *byte != b' ')?;
        let rest = &self.0[start..];
        let len = rest
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(rest.len());
        let (word, rest) = rest.split_at(len);
        self.0 = rest;
        Some(word)
    }
}

/// Reads a line, without its end.
///
/// # Errors
///
/// [`Refusal`] if it is no command.
pub fn parse(line: &[u8]) -> Result<Command<'_>, Refusal> {
    let mut words = Words::of(line);
    let Some(verb) = words.next() else {
        return Err(answer::ERROR.into());
    };
    match verb {
        [b'm', letter] => meta::parse(*letter, words),
        _ => classic::parse(verb, words).map_err(|refusal| match line.ends_with(b" noreply") {
            // What is no command cannot ask for silence.
            true if refusal.answer != answer::ERROR => answer::NONE.into(),
            _ => refusal,
        }),
    }
}

/// Returns a decimal number without a sign, or `None` if this is not one of 64 bits.
pub fn number(digits: &[u8]) -> Option<u64> {
    // The parser of the standard library would take a plus sign.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Returns a decimal number that may have a sign.
fn signed(digits: &[u8]) -> Option<i64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Returns a key that is not too long.
fn key(word: &[u8]) -> Result<&[u8], Refusal> {
    if word.len() <= KEY_MAX {
        Ok(word)
    } else {
        Err(answer::BAD_FORMAT.into())
    }
}

/// Returns the length of a value.
fn value_len(word: &[u8]) -> Result<usize, Refusal> {
    let len = number(word).filter(|len| *len <= VALUE_MAX);
    len.and_then(|len| usize::try_from(len).ok())
        .ok_or(answer::BAD_FORMAT.into())
}
