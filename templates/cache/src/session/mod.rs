//! One client's conversation with the cache.
//!
//! | file            | what                                               |
//! |-----------------|----------------------------------------------------|
//! | `input.rs`      | what the client has sent                            |
//! | `output.rs`     | what it is answered                                 |
//! | `responder.rs`  | carries commands out, answers the simple ones       |
//! | `retrieval.rs`  | `get` and its like                                  |
//! | `storage.rs`    | `set`, `ms` and their like                          |
//! | `meta.rs`       | the other meta commands                             |
//! | `statistics.rs` | `stats`                                             |

mod input;
mod meta;
mod output;
mod responder;
mod retrieval;
mod statistics;
mod storage;
#[cfg(test)]
mod tests;

use crate::cache::Cache;
use crate::limits::Patience;
use crate::protocol::{Command, Retrieve, answer, parse};
use core::time::Duration;
use denali_rt::io::{self, Read, Write};
use denali_rt::net::TcpStream;
use input::{Input, Line};
use responder::Responder;
use storage::Pending;

/// What a session talks through.
pub trait Stream: Read<Error = io::Error> + Write<Error = io::Error> {
    /// Sets how long a read waits; `None` is for ever.
    ///
    /// # Errors
    ///
    /// What the stream says to it.
    fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        TcpStream::set_read_timeout(self, timeout)
    }
}

/// What comes after a command.
#[derive(Debug)]
enum Next<'c> {
    /// Another command.
    Command,
    /// The value of an item.
    Value(Pending<'c>),
    /// Bytes that nobody wants.
    Unwanted(usize),
    /// Further keys to retrieve, on the same line.
    Keys(Retrieve),
    /// Nothing.
    Close,
}

/// A conversation.
#[derive(Debug)]
pub struct Session<'c, S> {
    input: Input,
    responder: Responder<'c, S>,
}

impl<'c, S: Stream> Session<'c, S> {
    /// Begins a conversation.
    pub fn new(cache: &'c Cache, stream: S) -> Self {
        Self {
            input: Input::new(),
            responder: Responder::new(cache, stream),
        }
    }

    /// Answers commands until either side has had enough.
    ///
    /// # Errors
    ///
    /// What reading or writing returns: [`io::ErrorKind::TimedOut`] if the client is silent for too
    /// long, [`io::ErrorKind::UnexpectedEof`] if it goes away in the middle of a value.
    pub fn serve(&mut self) -> io::Result<()> {
        let idle = self.responder.cache.limits.patience.idle;
        self.responder.stream.set_read_timeout(idle)?;
        // Set while a line with keys to retrieve goes on.
        let mut keys = None;
        loop {
            let (next, len) = match self.input.line() {
                Line::Incomplete => {
                    if self.receive()? == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Line::Whole(line, len) => {
                    let next = match keys.take() {
                        Some(how) => self.responder.retrieve(how, line)?,
                        None => self.responder.execute(line)?,
                    };
                    (next, len)
                }
                Line::Endless(bytes) => begin_endless(&mut self.responder, keys.take(), bytes)?,
            };
            self.input.consume(len);
            match next {
                Next::Command => {}
                Next::Value(pending) => self.receive_value(pending)?,
                Next::Unwanted(len) => self.skip(len)?,
                Next::Keys(how) => keys = Some(how),
                Next::Close => return self.responder.flush(),
            }
        }
    }

    /// Waits for more from the client, after sending it what it is waiting for.
    fn receive(&mut self) -> io::Result<usize> {
        self.responder.flush()?;
        let read = self.input.fill(&mut self.responder.stream);
        self.responder.cache.with(|state| match &read {
            Ok(len) => state.counters.bytes_read += *len as u64,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                state.counters.idle_kicks += 1;
            }
            Err(_) => {}
        });
        read
    }

    /// Waits for more of a value: less long than for a command.
    fn receive_more(&mut self) -> io::Result<()> {
        let Patience { idle, stalled } = self.responder.cache.limits.patience;
        self.responder.stream.set_read_timeout(Some(stalled))?;
        let read = self.receive()?;
        self.responder.stream.set_read_timeout(idle)?;
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn receive_value(&mut self, mut pending: Pending<'c>) -> io::Result<()> {
        while pending.draft.left() > 0 {
            if self.input.unread().is_empty() {
                self.receive_more()?;
            }
            let len = self.input.unread().len().min(pending.draft.left());
            pending.draft.fill(&self.input.unread()[..len]);
            self.input.consume(len);
        }
        while self.input.unread().len() < 2 {
            self.receive_more()?;
        }
        let ends_well = self.input.unread().starts_with(b"\r\n");
        self.input.consume(2);
        if ends_well {
            self.responder.put(pending)
        } else {
            self.responder.refuse_chunk(&pending)
        }
    }

    fn skip(&mut self, mut len: usize) -> io::Result<()> {
        while len > 0 {
            if self.input.unread().is_empty() {
                self.receive_more()?;
            }
            let now = self.input.unread().len().min(len);
            self.input.consume(now);
            len -= now;
        }
        Ok(())
    }
}

/// Deals with the beginning of a line that is longer than lines may be: one with keys to retrieve
/// may go on for as long as it likes, as each of them can be dealt with at once.
fn begin_endless<'c, S: Stream>(
    responder: &mut Responder<'c, S>,
    keys: Option<Retrieve>,
    bytes: &[u8],
) -> io::Result<(Next<'c>, usize)> {
    // The last key may go on.
    let len = bytes
        .iter()
        .rposition(|byte| *byte == b' ')
        .map_or(0, |space| space + 1);
    let begun = match keys {
        Some(how) if len > 0 => Some((how, &bytes[..len])),
        None if len > 0 => match parse(&bytes[..len]) {
            Ok(Command::Retrieve(how, words)) => Some((how, words)),
            _ => None,
        },
        _ => None,
    };
    let next = match begun {
        Some((how, words)) if responder.send_items(how, words)? => Next::Keys(how),
        Some(_) => Next::Close,
        None => {
            responder.say(answer::LINE_TOO_LONG)?;
            Next::Close
        }
    };
    Ok((next, len))
}
