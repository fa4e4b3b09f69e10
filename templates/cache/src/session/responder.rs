//! Carries commands out.

use super::output::Output;
use super::{Next, Stream};
use crate::cache::{Cache, State};
use crate::clock::{Expiry, Moment};
use crate::protocol::{Command, MetaVerb, Reply, Stats, answer, parse};
use crate::store::{ArithmeticError, Direction};
use denali_rt::io;

/// Most that an answer has before or instead of a value, in bytes: a key, an opaque token, and all
/// numbers there are.
pub const HEAD_MAX: usize = 512;

/// The version of the protocol, from which clients conclude what they may ask for.
pub const VERSION: &str = "1.6.18-denali";

/// Answers one client.
#[derive(Debug)]
pub struct Responder<'c, S> {
    pub cache: &'c Cache,
    pub stream: S,
    pub output: Output,
}

impl<'c, S: Stream> Responder<'c, S> {
    pub fn new(cache: &'c Cache, stream: S) -> Self {
        Self {
            cache,
            stream,
            output: Output::new(),
        }
    }

    /// Carries out the command of a line.
    pub fn execute(&mut self, line: &[u8]) -> io::Result<Next<'c>> {
        let command = match parse(line) {
            Ok(command) => command,
            Err(refusal) => {
                self.say(refusal.answer)?;
                return Ok(Next::Unwanted(refusal.swallow));
            }
        };
        match command {
            Command::Retrieve(how, words) => return self.retrieve(how, words),
            Command::Store {
                key,
                verb,
                flags,
                exptime,
                len,
                reply,
            } => {
                return self.draft(key, verb, flags, exptime, len, reply);
            }
            Command::MetaStore(store) => return self.meta_draft(&store),
            Command::Quit => return Ok(Next::Close),
            Command::Count {
                key,
                direction,
                delta,
                reply,
            } => {
                self.count(key, direction, delta, reply)?;
            }
            Command::Touch {
                key,
                exptime,
                reply,
            } => self.touch(key, exptime, reply)?,
            Command::Delete { key, reply } => self.delete(key, reply)?,
            Command::FlushAll { delay, reply } => self.flush_all(delay, reply)?,
            Command::Stats(Stats::Reset) => {
                self.cache.with(|state| state.counters.reset());
                self.say("RESET\r\n")?;
            }
            Command::Stats(which) => self.stats(which)?,
            Command::Version => {
                self.ensure(HEAD_MAX)?;
                self.output.push(b"VERSION ");
                self.output.push(VERSION.as_bytes());
                self.output.push(b"\r\n");
            }
            Command::Verbosity(reply) => self.reply(reply, "OK\r\n")?,
            Command::Meta(meta) => match meta.verb {
                MetaVerb::Get => self.meta_get(&meta)?,
                MetaVerb::Delete => self.meta_delete(&meta)?,
                MetaVerb::Count => self.meta_count(&meta)?,
                MetaVerb::Debug => self.meta_debug(&meta)?,
            },
            Command::MetaNoop => self.say("MN\r\n")?,
        }
        Ok(Next::Command)
    }

    /// Answers with a line.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.ensure(line.len())?;
        self.output.push(line.as_bytes());
        Ok(())
    }

    /// Answers with a line if one is wanted.
    pub fn reply(&mut self, reply: Reply, line: &str) -> io::Result<()> {
        match reply {
            Reply::Wanted => self.say(line),
            Reply::Unwanted => Ok(()),
        }
    }

    /// Sees to it that `len` bytes can be pushed.
    pub fn ensure(&mut self, len: usize) -> io::Result<()> {
        if self.output.room() < len {
            self.write_out()
        } else {
            Ok(())
        }
    }

    /// Sends what has been gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.stream.flush()
    }

    /// Hands what has been gathered to the stream, which goes on gathering.
    pub fn write_out(&mut self) -> io::Result<()> {
        let written = self.output.write_to(&mut self.stream)?;
        self.cache
            .with(|state| state.counters.bytes_written += written as u64);
        Ok(())
    }

    fn count(
        &mut self,
        key: &[u8],
        direction: Direction,
        delta: u64,
        reply: Reply,
    ) -> io::Result<()> {
        let now = self.cache.now();
        let counted = self.cache.with(|state| {
            let found = state.store.find(key, now.tick);
            state.tally_count(direction, found.is_some());
            found.map(|id| state.store.count(id, direction, delta, None, now.tick))
        });
        match counted {
            None => self.reply(reply, "NOT_FOUND\r\n"),
            Some(Err(ArithmeticError::NotNumeric)) => self.reply(reply, answer::NON_NUMERIC),
            Some(Err(ArithmeticError::Refused(_))) => self.reply(reply, answer::NO_MEMORY_TO_COUNT),
            Some(Ok((number, _))) if reply == Reply::Wanted => {
                self.ensure(HEAD_MAX)?;
                self.output.push_number(number);
                self.output.push(b"\r\n");
                Ok(())
            }
            Some(Ok(_)) => Ok(()),
        }
    }

    fn touch(&mut self, key: &[u8], exptime: i64, reply: Reply) -> io::Result<()> {
        let now = self.cache.now();
        let touched = self.cache.with(|state| {
            let found = state.store.find(key, now.tick);
            state.counters.touch.count(found.is_some());
            if let Some(id) = found {
                state.store.item_mut(id).expiry = Expiry::requested(exptime, now);
                state.store.bump(id, now.tick);
            }
            found.is_some()
        });
        self.reply(
            reply,
            if touched {
                "TOUCHED\r\n"
            } else {
                "NOT_FOUND\r\n"
            },
        )
    }

    fn delete(&mut self, key: &[u8], reply: Reply) -> io::Result<()> {
        let now = self.cache.now();
        let deleted = self.cache.with(|state| {
            let found = state.store.find(key, now.tick);
            state.counters.delete.count(found.is_some());
            found.map(|id| state.store.remove(id)).is_some()
        });
        self.reply(
            reply,
            if deleted {
                "DELETED\r\n"
            } else {
                "NOT_FOUND\r\n"
            },
        )
    }

    /// Forgets everything, at once or at the time an item with this expiry would be gone.
    fn flush_all(&mut self, delay: i64, reply: Reply) -> io::Result<()> {
        let now = self.cache.now();
        self.cache.with(|state| {
            state.counters.cmd_flush += 1;
            match delay {
                ..=0 => state.store.flush(),
                _ => state.store.flush_at(flush_tick(delay, now)),
            }
        });
        self.reply(reply, "OK\r\n")
    }
}

fn flush_tick(delay: i64, now: Moment) -> u32 {
    Expiry::requested(delay, now).tick().max(now.tick)
}

impl State {
    /// Counts an `incr` or `decr`.
    pub fn tally_count(&mut self, direction: Direction, hit: bool) {
        match direction {
            Direction::Up => self.counters.incr.count(hit),
            Direction::Down => self.counters.decr.count(hit),
        }
    }
}
