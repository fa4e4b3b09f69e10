//! `get`, `gets`, `gat`, `gats`, and the way of a value to a client.

use super::output::Output;
use super::responder::{HEAD_MAX, Responder};
use super::{Next, Stream};
use crate::cache::HeldReading;
use crate::clock::Expiry;
use crate::protocol::{Retrieve, Words, answer};
use crate::store::{ItemId, KEY_MAX, Reading, Store};
use denali_rt::io;

impl<'c, S: Stream> Responder<'c, S> {
    /// Answers with all items of a line.
    pub fn retrieve(&mut self, how: Retrieve, words: &[u8]) -> io::Result<Next<'c>> {
        if self.send_items(how, words)? {
            self.say("END\r\n")?;
        }
        Ok(Next::Command)
    }

    /// Sends the items with these keys. Returns false, having said so, if one is no key.
    pub fn send_items(&mut self, how: Retrieve, words: &[u8]) -> io::Result<bool> {
        for key in Words::of(words) {
            if key.len() > KEY_MAX {
                self.say(answer::BAD_FORMAT)?;
                return Ok(false);
            }
            self.send_item(how, key)?;
        }
        Ok(true)
    }

    fn send_item(&mut self, how: Retrieve, key: &[u8]) -> io::Result<()> {
        self.ensure(HEAD_MAX)?;
        let (cache, output) = (self.cache, &mut self.output);
        let now = cache.now();
        let rest = cache.with(|state| {
            let found = state.store.find(key, now.tick);
            state.counters.get.count(found.is_some());
            if how.exptime.is_some() {
                state.counters.touch.count(found.is_some());
            }
            let id = found?;
            if let Some(exptime) = how.exptime {
                state.store.item_mut(id).expiry = Expiry::requested(exptime, now);
            }
            state.store.bump(id, now.tick);
            let item = state.store.item(id);
            output.push(b"VALUE ");
            output.push(key);
            output.push(b" ");
            output.push_number(item.flags);
            output.push(b" ");
            output.push_number(item.value_len() as u64);
            if how.with_cas {
                output.push(b" ");
                output.push_number(item.cas);
            }
            output.push(b"\r\n");
            push_value(&mut state.store, id, output)
        });
        self.send_rest(rest)
    }

    /// Sends a value that did not fit beside its head.
    pub fn send_rest(&mut self, rest: Option<Reading>) -> io::Result<()> {
        let Some(reading) = rest else { return Ok(()) };
        let mut held = HeldReading::new(self.cache, reading);
        loop {
            let output = &mut self.output;
            if held.read(output.room(), |piece| output.push(piece)) == 0 {
                return self.say("\r\n");
            }
            self.write_out()?;
        }
    }
}

/// Adds a value and the end of its line if there is room for both, or else begins to read it.
pub fn push_value(store: &mut Store, id: ItemId, output: &mut Output) -> Option<Reading> {
    if store.item(id).value_len() + 2 > output.room() {
        return Some(store.begin_reading(id));
    }
    store.read_all(id, |piece| output.push(piece));
    output.push(b"\r\n");
    None
}
