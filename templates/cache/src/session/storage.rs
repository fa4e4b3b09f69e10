//! `set`, `add`, `replace`, `append`, `prepend`, `cas` and `ms`: a line, then a value.

use super::responder::{HEAD_MAX, Responder};
use super::{Next, Stream};
use crate::cache::{HeldDraft, State};
use crate::clock::Expiry;
use crate::protocol::{Flags, MetaStore, Reply, StoreVerb, answer};
use crate::store::{Mode, Put, PutOutcome, Refused};
use alloc::vec::Vec;
use denali_rt::io;

/// A value that is on its way.
#[derive(Debug)]
pub struct Pending<'c> {
    pub draft: HeldDraft<'c>,
    put: Put,
    answer: PendingAnswer,
}

/// How to answer once it is there.
#[derive(Debug)]
enum PendingAnswer {
    Classic(Reply),
    Meta {
        reply: Reply,
        echo: Option<Echo>,
        value_len: usize,
    },
}

/// What the answer to `ms` repeats of its line, which is gone by then.
#[derive(Debug)]
struct Echo {
    key: Vec<u8>,
    is_binary: bool,
    flags: Vec<u8>,
}

impl<'c, S: Stream> Responder<'c, S> {
    /// Begins to store what a line announces.
    pub fn draft(
        &mut self,
        key: &[u8],
        verb: StoreVerb,
        flags: u32,
        exptime: i64,
        len: usize,
        reply: Reply,
    ) -> io::Result<Next<'c>> {
        let put = Put {
            mode: verb.mode,
            compare: verb.compare,
            ..Put::default()
        };
        let answer = PendingAnswer::Classic(reply);
        self.begin(key, len, (flags, exptime), put, answer)
    }

    /// Begins to store what a meta line announces.
    pub fn meta_draft(&mut self, store: &MetaStore<'_>) -> io::Result<Next<'c>> {
        self.cache.with(|state| state.counters.cmd_meta += 1);
        let options = store.options;
        let echo = wants_echo(store.flags.clone()).then(|| Echo {
            key: store.key.sent.to_vec(),
            is_binary: store.key.is_binary(),
            flags: store.flags.as_written().to_vec(),
        });
        let answer = PendingAnswer::Meta {
            reply: options.reply,
            echo,
            value_len: store.len,
        };
        let exptime = options.vivify.or(options.exptime).unwrap_or(0);
        let attributes = (options.client_flags, exptime);
        self.begin(store.key.stored(), store.len, attributes, store.put, answer)
    }

    fn begin(
        &mut self,
        key: &[u8],
        len: usize,
        (flags, exptime): (u32, i64),
        put: Put,
        answer: PendingAnswer,
    ) -> io::Result<Next<'c>> {
        let now = self.cache.now();
        let expiry = Expiry::requested(exptime, now);
        let draft = self.cache.with(|state| {
            let draft = state.store.draft(key, len, flags, expiry, now.tick);
            if let Err(refused) = draft {
                state.tally_refused(refused);
                // What there was would be out of date.
                if put.mode == Mode::Set
                    && let Some(old) = state.store.find(key, now.tick)
                {
                    state.store.remove(old);
                }
            }
            draft
        });
        match draft {
            Ok(draft) => {
                let draft = HeldDraft::new(self.cache, draft);
                Ok(Next::Value(Pending { draft, put, answer }))
            }
            Err(refused) => {
                self.refuse(&answer, refusal(refused))?;
                Ok(Next::Unwanted(len + 2))
            }
        }
    }

    /// Stores a value that has arrived.
    pub fn put(&mut self, pending: Pending<'c>) -> io::Result<()> {
        let Pending { draft, put, answer } = pending;
        let Some(draft) = draft.take() else {
            return Ok(());
        };
        let now = self.cache.now();
        let outcome = self.cache.with(|state| {
            let outcome = state.store.put(draft, put, now.tick);
            state.tally_put(put, outcome);
            outcome
        });
        match (outcome, answer) {
            (PutOutcome::Refused(refused), answer) => self.refuse(&answer, refusal(refused)),
            (_, PendingAnswer::Classic(reply)) => self.reply(
                reply,
                match outcome {
                    PutOutcome::Stored { .. } => "STORED\r\n",
                    PutOutcome::Exists => "EXISTS\r\n",
                    PutOutcome::NotFound => "NOT_FOUND\r\n",
                    _ => "NOT_STORED\r\n",
                },
            ),
            (
                _,
                PendingAnswer::Meta {
                    reply,
                    echo,
                    value_len,
                },
            ) => self.answer_meta_store(outcome, reply, echo.as_ref(), value_len),
        }
    }

    /// Says that a value did not end where it was announced to.
    pub fn refuse_chunk(&mut self, pending: &Pending<'c>) -> io::Result<()> {
        self.refuse(&pending.answer, answer::BAD_CHUNK)
    }

    /// Says what is wrong. Of classic clients, those that want no answer want none to a mistake.
    fn refuse(&mut self, answer: &PendingAnswer, line: &str) -> io::Result<()> {
        match answer {
            PendingAnswer::Classic(reply) => self.reply(*reply, line),
            PendingAnswer::Meta { .. } => self.say(line),
        }
    }

    fn answer_meta_store(
        &mut self,
        outcome: PutOutcome,
        reply: Reply,
        echo: Option<&Echo>,
        value_len: usize,
    ) -> io::Result<()> {
        let (code, cas): (&[u8], u64) = match outcome {
            PutOutcome::Stored { .. } if reply == Reply::Unwanted => return Ok(()),
            PutOutcome::Stored { cas } => (b"HD", cas),
            PutOutcome::Exists => (b"EX", 0),
            PutOutcome::NotFound => (b"NF", 0),
            _ => (b"NS", 0),
        };
        self.ensure(HEAD_MAX)?;
        self.output.push(code);
        if let Some(echo) = echo {
            let output = &mut self.output;
            for flag in Flags::of(&echo.flags) {
                output.push_echo(flag, &echo.key, echo.is_binary);
                match flag.letter {
                    b'c' => output.push_flag(b'c', cas),
                    b's' => output.push_flag(b's', value_len as u64),
                    _ => {}
                }
            }
        }
        self.output.push(b"\r\n");
        Ok(())
    }
}

fn wants_echo(mut flags: Flags<'_>) -> bool {
    flags.any(|flag| matches!(flag.letter, b'k' | b'O' | b'c' | b's'))
}

fn refusal(refused: Refused) -> &'static str {
    match refused {
        Refused::TooLarge => answer::TOO_LARGE,
        Refused::NoMemory => answer::NO_MEMORY,
    }
}

impl State {
    fn tally_refused(&mut self, refused: Refused) {
        match refused {
            Refused::TooLarge => self.counters.store_too_large += 1,
            Refused::NoMemory => self.counters.store_no_memory += 1,
        }
    }

    fn tally_put(&mut self, put: Put, outcome: PutOutcome) {
        self.counters.cmd_set += 1;
        match outcome {
            PutOutcome::Refused(refused) => self.tally_refused(refused),
            PutOutcome::Exists => self.counters.cas_badval += 1,
            PutOutcome::NotFound => self.counters.cas.count(false),
            PutOutcome::Stored { .. } if put.compare.is_some() => self.counters.cas.count(true),
            PutOutcome::Stored { .. } | PutOutcome::NotStored => {}
        }
    }
}
