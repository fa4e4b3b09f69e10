//! Messages, and the one account that all memory for them comes from.

use crate::codec::Qos;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;

/// What a message or an entry takes beside its bytes: its own fields and the allocator's.
const OVERHEAD: usize = 96;

/// How many bytes clients make the broker hold, and how many they may.
#[derive(Debug)]
pub(crate) struct Ledger {
    used: Cell<usize>,
    limit: usize,
}

impl Ledger {
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        let used = Cell::new(0);
        Rc::new(Self { used, limit })
    }

    /// Returns the bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// Returns the most that may be held.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes `len` bytes and what goes with them; `None` if there are too few.
    pub(crate) fn charge(self: &Rc<Self>, len: usize) -> Option<Charge> {
        let len = len.checked_add(OVERHEAD)?;
        let used = self.used.get().checked_add(len)?;
        (used <= self.limit).then(|| {
            self.used.set(used);
            Charge {
                ledger: Rc::clone(self),
                len,
            }
        })
    }
}

/// Bytes taken, until dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    ledger: Rc<Ledger>,
    len: usize,
}

impl Charge {
    /// Returns how many they are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.used.set(self.ledger.used.get() - self.len);
    }
}

/// A message, shared by all who are to get it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: Box<str>,
    pub(crate) payload: Box<[u8]>,
    /// The level it was published with.
    pub(crate) qos: Qos,
    charge: Charge,
}

impl Message {
    /// Copies a message, if the ledger has room for it.
    pub(crate) fn new(
        ledger: &Rc<Ledger>,
        topic: &str,
        payload: &[u8],
        qos: Qos,
    ) -> Option<Rc<Self>> {
        let charge = ledger.charge(topic.len() + payload.len())?;
        Some(Rc::new(Self {
            topic: topic.into(),
            payload: payload.into(),
            qos,
            charge,
        }))
    }

    /// Returns the bytes it is charged with.
    pub(crate) fn charged(&self) -> usize {
        self.charge.len()
    }

    /// Returns about how many bytes it is on the wire.
    pub(crate) fn wire_len(&self) -> usize {
        self.topic.len() + self.payload.len() + 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_paid_for_as_long_as_somebody_holds_it() {
        let ledger = Ledger::new(1000);
        let message = Message::new(&ledger, "a", &[0; 99], Qos::AtMostOnce).unwrap();
        let shared = Rc::clone(&message);
        assert_eq!(ledger.used(), 100 + OVERHEAD);
        drop(message);
        assert_eq!(ledger.used(), shared.charged());
        assert!(Message::new(&ledger, "a", &[0; 900], Qos::AtMostOnce).is_none());
        drop(shared);
        assert_eq!(ledger.used(), 0);
    }
}
