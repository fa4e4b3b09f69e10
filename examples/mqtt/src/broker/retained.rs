//! The last message of each topic that was to be kept.

use super::message::Message;
use crate::topic;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;

/// Retained messages, within a share of the memory.
#[derive(Debug)]
pub(super) struct Retained {
    messages: BTreeMap<Box<str>, Rc<Message>>,
    bytes: usize,
    bytes_max: usize,
}

impl Retained {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            messages: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Keeps a message instead of the last of its topic. Returns false if there is no room for it.
    pub(super) fn keep(&mut self, message: &Rc<Message>) -> bool {
        self.forget(&message.topic);
        // The topic is kept twice.
        let len = message.charged() + message.topic.len();
        if self.bytes + len > self.bytes_max {
            return false;
        }
        self.bytes += len;
        self.messages
            .insert(message.topic.clone(), Rc::clone(message));
        true
    }

    /// Forgets the message of a topic.
    pub(super) fn forget(&mut self, topic: &str) {
        if let Some(message) = self.messages.remove(topic) {
            self.bytes -= message.charged() + message.topic.len();
        }
    }

    /// Returns those that a filter matches.
    pub(super) fn matching<'a>(&'a self, filter: &'a str) -> impl Iterator<Item = &'a Rc<Message>> {
        // What is before the first wildcard narrows the search.
        let stem = filter.split(['+', '#']).next().unwrap_or_default();
        let stem = stem.strip_suffix('/').unwrap_or(stem);
        self.messages
            .range::<str, _>((
                core::ops::Bound::Included(stem),
                core::ops::Bound::Unbounded,
            ))
            .take_while(move |(name, _)| name.starts_with(stem))
            .filter(move |(name, _)| topic::matches(filter, name))
            .map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Ledger;
    use super::*;
    use crate::codec::Qos;
    use alloc::vec::Vec;

    #[test]
    fn the_last_message_of_a_topic_counts_and_memory_is_bounded() {
        let ledger = Ledger::new(10_000);
        let mut retained = Retained::new(900);
        let message = |topic, len| {
            Message::new(&ledger, topic, &[b'x'; 500][..len], Qos::AtMostOnce).unwrap()
        };
        assert!(retained.keep(&message("a/b", 1)) && retained.keep(&message("a/b", 2)));
        assert!(retained.keep(&message("a/c", 3)) && retained.keep(&message("ab", 4)));
        let lens = |filter| -> Vec<usize> {
            retained
                .matching(filter)
                .map(|message| message.payload.len())
                .collect()
        };
        assert_eq!(lens("a/+"), [2, 3]);
        assert_eq!(lens("a/#"), [2, 3]);
        assert_eq!(lens("#"), [2, 3, 4]);
        assert_eq!(lens("ab"), [4]);
        assert_eq!(lens("a"), [0; 0]);
        assert!(!retained.keep(&message("large", 500)), "{}", retained.bytes);
        for topic in ["a/b", "a/c", "ab"] {
            retained.forget(topic);
        }
        assert_eq!((retained.bytes, ledger.used()), (0, 0));
    }
}
