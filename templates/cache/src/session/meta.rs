//! `mg`, `md`, `ma` and `me`.

use super::Stream;
use super::output::Output;
use super::responder::{HEAD_MAX, Responder};
use super::retrieval::push_value;
use crate::cache::State;
use crate::clock::{Expiry, Moment};
use crate::protocol::{Flag, Meta, Reply, answer};
use crate::store::{
    ArithmeticError, BLOCK_LEN, Direction, Item, ItemId, Put, PutOutcome, Reading, Refused,
    write_decimal,
};
use denali_rt::io;

/// What an item was before the command that asks for it.
#[derive(Clone, Copy, Debug)]
struct Before {
    is_fetched: bool,
    idle_s: u32,
    is_won: bool,
}

impl<S: Stream> Responder<'_, S> {
    /// `mg`.
    pub fn meta_get(&mut self, meta: &Meta<'_>) -> io::Result<()> {
        self.ensure(HEAD_MAX)?;
        let (cache, output) = (self.cache, &mut self.output);
        let now = cache.now();
        let rest = cache.with(|state| {
            state.counters.cmd_meta += 1;
            let (id, wins) = match state.find_or_make(meta, now) {
                Ok(found) => found,
                Err(Some(refused)) => {
                    output.push(refused.as_bytes());
                    return None;
                }
                Err(None) => {
                    if meta.options.reply == Reply::Wanted {
                        output.push_line(b"EN", meta);
                    }
                    return None;
                }
            };
            get(state, meta, id, wins, now, output)
        });
        self.send_rest(rest)
    }

    /// `md`.
    pub fn meta_delete(&mut self, meta: &Meta<'_>) -> io::Result<()> {
        let now = self.cache.now();
        let code: &[u8] = self.cache.with(|state| {
            state.counters.cmd_meta += 1;
            let found = state.store.find(meta.key.stored(), now.tick);
            state.counters.delete.count(found.is_some());
            match found {
                None => b"NF",
                Some(id) if differs(state.store.item(id), meta) => b"EX",
                Some(id) => state.meta_delete(meta, id, now),
            }
        });
        if code == b"HD" && meta.options.reply == Reply::Unwanted {
            return Ok(());
        }
        self.ensure(HEAD_MAX)?;
        self.output.push_line(code, meta);
        Ok(())
    }

    /// `ma`.
    pub fn meta_count(&mut self, meta: &Meta<'_>) -> io::Result<()> {
        let direction = meta.options.direction().unwrap_or_default();
        let now = self.cache.now();
        let counted = self.cache.with(|state| {
            state.counters.cmd_meta += 1;
            state.meta_count(meta, direction, now)
        });
        self.ensure(HEAD_MAX)?;
        let output = &mut self.output;
        match counted {
            Ok((number, cas, expiry)) => {
                if meta.options.reply == Reply::Wanted {
                    push_counted(output, meta, number, cas, expiry.remaining(now.tick));
                }
            }
            Err(code @ (b"NF" | b"EX" | b"NS")) => output.push_line(code, meta),
            Err(line) => output.push(line),
        }
        Ok(())
    }

    /// `me`.
    pub fn meta_debug(&mut self, meta: &Meta<'_>) -> io::Result<()> {
        self.ensure(HEAD_MAX)?;
        let (cache, output) = (self.cache, &mut self.output);
        let now = cache.now();
        cache.with(|state| {
            state.counters.cmd_meta += 1;
            let Some(id) = state.store.find(meta.key.stored(), now.tick) else {
                output.push(b"EN\r\n");
                return;
            };
            let item = state.store.item(id);
            output.push(b"ME ");
            output.push(meta.key.sent);
            output.push(b" exp=");
            output.push_remaining(item.expiry.remaining(now.tick));
            output.push(b" la=");
            output.push_number(now.tick.saturating_sub(item.accessed));
            output.push(b" cas=");
            output.push_number(item.cas);
            output.push(if item.is_fetched() {
                b" fetch=yes"
            } else {
                b" fetch=no"
            });
            output.push(b" cls=1 size=");
            output.push_number((item.blocks() * BLOCK_LEN) as u64);
            output.push(b"\r\n");
        });
        Ok(())
    }
}

/// Answers with an item that was found, and notes that it was used.
fn get(
    state: &mut State,
    meta: &Meta<'_>,
    id: ItemId,
    made: bool,
    now: Moment,
    output: &mut Output,
) -> Option<Reading> {
    let options = &meta.options;
    let item = state.store.item_mut(id);
    let before = Before {
        is_fetched: item.is_fetched(),
        idle_s: now.tick.saturating_sub(item.accessed),
        is_won: item.is_won() && !made,
    };
    if let Some(exptime) = options.exptime {
        item.expiry = Expiry::requested(exptime, now);
    }
    let runs_out = options.recache.is_some_and(|limit| {
        item.expiry
            .remaining(now.tick)
            .is_some_and(|left| i64::from(left) < limit)
    });
    let wins = made || !before.is_won && (item.is_stale() || runs_out);
    if wins {
        item.mark_won();
    }
    if options.value {
        output.push(b"VA ");
        output.push_number(item.value_len() as u64);
    } else {
        output.push(b"HD");
    }
    for flag in meta.flags.clone() {
        output.push_echo(flag, meta.key.sent, meta.key.is_binary());
        push_attribute(output, flag.letter, item, before, now);
    }
    for (mark, shown) in [
        (b" Z", before.is_won),
        (b" X", item.is_stale()),
        (b" W", wins),
    ] {
        if shown {
            output.push(mark);
        }
    }
    output.push(b"\r\n");
    if !options.unused {
        state.store.bump(id, now.tick);
    }
    if options.value {
        push_value(&mut state.store, id, output)
    } else {
        None
    }
}

fn push_attribute(output: &mut Output, letter: u8, item: &Item, before: Before, now: Moment) {
    match letter {
        b'c' => output.push_flag(b'c', item.cas),
        b'f' => output.push_flag(b'f', item.flags),
        b'h' => output.push_flag(b'h', before.is_fetched),
        b'l' => output.push_flag(b'l', before.idle_s),
        b's' => output.push_flag(b's', item.value_len() as u64),
        b't' => {
            output.push(b" t");
            output.push_remaining(item.expiry.remaining(now.tick));
        }
        _ => {}
    }
}

fn push_counted(output: &mut Output, meta: &Meta<'_>, number: u64, cas: u64, left: Option<u32>) {
    let mut digits = [0; 20];
    let len = write_decimal(number, &mut digits);
    if meta.options.value {
        output.push(b"VA ");
        output.push_number(len as u64);
    } else {
        output.push(b"HD");
    }
    for flag in meta.flags.clone() {
        output.push_echo(flag, meta.key.sent, meta.key.is_binary());
        match flag.letter {
            b'c' => output.push_flag(b'c', cas),
            b't' => {
                output.push(b" t");
                output.push_remaining(left);
            }
            _ => {}
        }
    }
    output.push(b"\r\n");
    if meta.options.value {
        output.push(&digits[..len]);
        output.push(b"\r\n");
    }
}

fn differs(item: &Item, meta: &Meta<'_>) -> bool {
    meta.options.compare.is_some_and(|cas| cas != item.cas)
}

impl State {
    /// Finds the item of `mg`, or makes an empty one if that is asked for. Returns it and whether it
    /// was made; otherwise what to say besides that there is none.
    fn find_or_make(
        &mut self,
        meta: &Meta<'_>,
        now: Moment,
    ) -> Result<(ItemId, bool), Option<&'static str>> {
        let key = meta.key.stored();
        let found = self.store.find(key, now.tick);
        self.counters.get.count(found.is_some());
        if meta.options.exptime.is_some() {
            self.counters.touch.count(found.is_some());
        }
        if let Some(id) = found {
            return Ok((id, false));
        }
        let exptime = meta.options.vivify.ok_or(None)?;
        self.make(key, b"", exptime, meta.options.cas, now)
            .map_err(|refused| match refused {
                Refused::TooLarge => Some(answer::TOO_LARGE),
                Refused::NoMemory => Some(answer::NO_MEMORY),
            })?;
        Ok((self.store.find(key, now.tick).ok_or(None)?, true))
    }

    /// Stores an item that a client gave no value for.
    fn make(
        &mut self,
        key: &[u8],
        value: &[u8],
        exptime: i64,
        cas: Option<u64>,
        now: Moment,
    ) -> Result<u64, Refused> {
        let expiry = Expiry::requested(exptime, now);
        let mut draft = self.store.draft(key, value.len(), 0, expiry, now.tick)?;
        self.store.fill(&mut draft, value);
        match self.store.put(
            draft,
            Put {
                cas,
                ..Put::default()
            },
            now.tick,
        ) {
            PutOutcome::Stored { cas } => Ok(cas),
            _ => Err(Refused::NoMemory),
        }
    }

    fn meta_delete(&mut self, meta: &Meta<'_>, id: ItemId, now: Moment) -> &'static [u8] {
        let options = &meta.options;
        if !options.invalidate && !options.empty {
            self.store.remove(id);
            return b"HD";
        }
        let id = match options.empty {
            true => match self.store.empty(id, options.cas, now.tick) {
                Ok(id) => id,
                Err(_) => return b"NS",
            },
            false => id,
        };
        if options.invalidate {
            self.store.invalidate(id, options.cas);
            if let Some(exptime) = options.exptime {
                self.store.item_mut(id).expiry = Expiry::requested(exptime, now);
            }
        }
        b"HD"
    }

    /// Returns the new number with its change and expiry, or else a code or a whole line.
    fn meta_count(
        &mut self,
        meta: &Meta<'_>,
        direction: Direction,
        now: Moment,
    ) -> Result<(u64, u64, Expiry), &'static [u8]> {
        let options = &meta.options;
        let found = self.store.find(meta.key.stored(), now.tick);
        self.tally_count(direction, found.is_some());
        let Some(id) = found else {
            let exptime = options.vivify.ok_or(b"NF".as_slice())?;
            let mut digits = [0; 20];
            let len = write_decimal(options.initial, &mut digits);
            let cas = self
                .make(meta.key.stored(), &digits[..len], exptime, options.cas, now)
                .map_err(|_| b"NS".as_slice())?;
            return Ok((options.initial, cas, Expiry::requested(exptime, now)));
        };
        if differs(self.store.item(id), meta) {
            return Err(b"EX");
        }
        let delta = options.delta.unwrap_or(1);
        let counted = self
            .store
            .count(id, direction, delta, options.cas, now.tick);
        let (number, id) = counted.map_err(|error| match error {
            ArithmeticError::NotNumeric => answer::NON_NUMERIC.as_bytes(),
            ArithmeticError::Refused(_) => answer::NO_MEMORY_TO_COUNT.as_bytes(),
        })?;
        let item = self.store.item_mut(id);
        if let Some(exptime) = options.exptime {
            item.expiry = Expiry::requested(exptime, now);
        }
        Ok((number, item.cas, item.expiry))
    }
}

impl Output {
    /// Adds a line with a code, and what every answer repeats of its command.
    fn push_line(&mut self, code: &[u8], meta: &Meta<'_>) {
        self.push(code);
        for flag in meta.flags.clone() {
            self.push_echo(flag, meta.key.sent, meta.key.is_binary());
        }
        self.push(b"\r\n");
    }

    /// Adds what every answer repeats because of this flag.
    pub fn push_echo(&mut self, flag: Flag<'_>, key: &[u8], is_binary: bool) {
        match flag.letter {
            b'O' => {
                self.push(b" ");
                self.push(flag.word);
            }
            b'k' => {
                self.push(b" k");
                self.push(key);
                if is_binary {
                    self.push(b" b");
                }
            }
            _ => {}
        }
    }

    /// Adds a flag with a number.
    pub fn push_flag(&mut self, letter: u8, number: impl Into<u64>) {
        self.push(&[b' ', letter]);
        self.push_number(number);
    }

    /// Adds the seconds that are left, -1 for ever.
    fn push_remaining(&mut self, seconds: Option<u32>) {
        match seconds {
            Some(seconds) => self.push_number(seconds),
            None => self.push(b"-1"),
        }
    }
}
