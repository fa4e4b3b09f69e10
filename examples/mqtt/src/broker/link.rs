//! The broker's end of a connection: what is to be sent, and whether it is to end.

use super::message::Message;
use super::session::SessionId;
use crate::codec::{PublishFlags, Qos, publish_head};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use denali_rt::sync::WaitQueue;

/// Bytes that may wait to be sent before further messages wait in their session instead.
pub(crate) const OUTBOX_MAX: usize = 16 * 1024;

/// Payloads up to this long are copied between what is around them, longer ones are not.
const COPIED_MAX: usize = 512;

/// Something to be sent.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The payload of a message.
    Payload(Rc<Message>),
}

impl Chunk {
    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Payload(message) => &message.payload,
        }
    }
}

/// A connection, as broker and socket share it.
#[derive(Debug, Default)]
pub(crate) struct Link {
    outbox: RefCell<VecDeque<Chunk>>,
    outbox_len: Cell<usize>,
    is_closing: Cell<bool>,
    /// The session it carries, once it has one.
    pub(super) session: Cell<Option<SessionId>>,
    /// Longest silence of the client in seconds; 0 is for ever.
    pub(crate) keep_alive: Cell<u16>,
    /// Woken when there is something to send, or the end has come.
    pub(crate) wake_writer: WaitQueue,
    /// Woken when something has been sent.
    pub(crate) wake_reader: WaitQueue,
}

impl Link {
    /// Makes the link of a connection that has said nothing.
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Returns how many bytes wait to be sent.
    pub(crate) fn outbox_len(&self) -> usize {
        self.outbox_len.get()
    }

    /// Returns whether a message of `len` bytes may be added. One alone always may, however long.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.outbox_len() == 0 || self.outbox_len() + len <= OUTBOX_MAX
    }

    /// Lets `write` add bytes.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut outbox = self.outbox.borrow_mut();
        if !matches!(outbox.back(), Some(Chunk::Bytes(_))) {
            outbox.push_back(Chunk::Bytes(Vec::new()));
        }
        if let Some(Chunk::Bytes(bytes)) = outbox.back_mut() {
            let before = bytes.len();
            write(bytes);
            self.outbox_len
                .set(self.outbox_len() + bytes.len() - before);
        }
        self.wake_writer.wake_all();
    }

    /// Adds a message.
    pub(super) fn push_message(&self, message: &Rc<Message>, to: (Qos, u16), flags: PublishFlags) {
        let payload = &message.payload;
        self.push(|bytes| {
            publish_head(bytes, &message.topic, payload.len(), to, flags);
            if payload.len() <= COPIED_MAX {
                bytes.extend_from_slice(payload);
            }
        });
        if payload.len() > COPIED_MAX {
            self.outbox
                .borrow_mut()
                .push_back(Chunk::Payload(Rc::clone(message)));
            self.outbox_len.set(self.outbox_len() + payload.len());
        }
    }

    /// Takes what is to be sent next. It counts as waiting until [`sent`](Self::sent).
    pub(crate) fn take(&self) -> Option<Chunk> {
        self.outbox.borrow_mut().pop_front()
    }

    /// Notes that a chunk of `len` bytes has been sent.
    pub(crate) fn sent(&self, len: usize) {
        self.outbox_len.set(self.outbox_len().saturating_sub(len));
        self.wake_reader.wake_all();
    }

    /// Ends the connection, once all has been sent.
    pub(crate) fn close(&self) {
        self.is_closing.set(true);
        self.wake_writer.wake_all();
    }

    /// Returns whether it is to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Returns whether the client has introduced itself.
    pub(crate) fn is_connected(&self) -> bool {
        self.session.get().is_some()
    }
}
