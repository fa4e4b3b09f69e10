//! Channels: many senders, one receiver, each a thread or a task.
//!
//! A bounded channel makes senders wait while it is full, an unbounded one only ends with memory.

use crate::interrupt;
use crate::sync::{Arc, GuestCell, WaitQueue};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use core::fmt;

/// Makes a channel that holds at most `capacity` messages, at least one.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(capacity.max(1))
}

/// Makes a channel whose senders never wait.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        messages: VecDeque::new(),
        senders: 1,
        receiver_alive: true,
    };
    let shared = Arc::new(Shared {
        capacity,
        state: GuestCell::new(state),
        not_empty: WaitQueue::new(),
        not_full: WaitQueue::new(),
    });
    (
        Sender {
            shared: Arc::clone(&shared),
        },
        Receiver { shared },
    )
}

struct Shared<T> {
    capacity: usize,
    state: GuestCell<State<T>>,
    not_empty: WaitQueue,
    not_full: WaitQueue,
}

struct State<T> {
    messages: VecDeque<T>,
    senders: usize,
    receiver_alive: bool,
}

/// The sending half. Clones send to the same receiver.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The receiving half.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// The receiver is gone; here is the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why a message was not taken; here it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The channel is full.
    Full(T),
    /// The receiver is gone.
    Disconnected(T),
}

/// The channel is empty and all senders are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The channel is empty, or stayed so until the deadline.
    Empty,
    /// The channel is empty and all senders are gone.
    Disconnected,
}

impl<T> Sender<T> {
    /// Sends a message, waiting while the channel is full.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is gone.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let _masked = interrupt::mask();
        let mut message = message;
        loop {
            match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(unsent)) => return Err(SendError(unsent)),
                Err(TrySendError::Full(unsent)) => message = unsent,
            }
            self.shared.not_full.wait();
        }
    }

    /// Sends a message, waiting while the channel is full until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// Gives the message back if the channel stayed full or the receiver is gone.
    pub fn send_until(&self, message: T, deadline: Instant) -> Result<(), TrySendError<T>> {
        let _masked = interrupt::mask();
        let mut message = message;
        loop {
            match self.try_send(message) {
                Err(TrySendError::Full(unsent)) => message = unsent,
                decided => return decided,
            }
            if self.shared.not_full.wait_until(deadline) {
                return self.try_send(message);
            }
        }
    }

    /// Like [`send_until`](Self::send_until) with a duration from now.
    ///
    /// # Errors
    ///
    /// As [`send_until`](Self::send_until).
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), TrySendError<T>> {
        self.send_until(message, Instant::now() + timeout)
    }

    /// Sends a message, waiting as a task while the channel is full.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receiver is gone.
    pub async fn send_async(&self, message: T) -> Result<(), SendError<T>> {
        let mut message = message;
        loop {
            let not_full = self.shared.not_full.wait_async();
            match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(unsent)) => return Err(SendError(unsent)),
                Err(TrySendError::Full(unsent)) => message = unsent,
            }
            not_full.await;
        }
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    ///
    /// Gives the message back if the channel is full or the receiver is gone.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.shared.state.with(|state| {
            if !state.receiver_alive {
                return Err(TrySendError::Disconnected(message));
            }
            if state.messages.len() >= self.shared.capacity {
                return Err(TrySendError::Full(message));
            }
            state.messages.push_back(message);
            Ok(())
        })?;
        self.shared.not_empty.wake_one();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Waits for a message.
    ///
    /// # Errors
    ///
    /// If the channel is empty and all senders are gone.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_maybe_until(None).map_err(|_| RecvError)
    }

    /// Waits for a message until `deadline`.
    ///
    /// # Errors
    ///
    /// If the time is up, or the channel is empty and all senders are gone.
    pub fn recv_until(&self, deadline: Instant) -> Result<T, TryRecvError> {
        self.recv_maybe_until(Some(deadline))
    }

    /// Like [`recv_until`](Self::recv_until) with a duration from now.
    ///
    /// # Errors
    ///
    /// As [`recv_until`](Self::recv_until).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, TryRecvError> {
        self.recv_until(Instant::now() + timeout)
    }

    /// Waits for a message, as a task.
    ///
    /// # Errors
    ///
    /// If the channel is empty and all senders are gone.
    pub async fn recv_async(&self) -> Result<T, RecvError> {
        loop {
            let not_empty = self.shared.not_empty.wait_async();
            match self.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvError),
                Err(TryRecvError::Empty) => not_empty.await,
            }
        }
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    ///
    /// If there is none, with the reason.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let message = self
            .shared
            .state
            .with(|state| match state.messages.pop_front() {
                Some(message) => Ok(message),
                None if state.senders == 0 => Err(TryRecvError::Disconnected),
                None => Err(TryRecvError::Empty),
            })?;
        self.shared.not_full.wake_one();
        Ok(message)
    }

    /// Returns an iterator that waits for messages until all senders are gone.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        core::iter::from_fn(|| self.recv().ok())
    }

    /// Returns an iterator over the messages that are there, which does not wait.
    pub fn try_iter(&self) -> impl Iterator<Item = T> + '_ {
        core::iter::from_fn(|| self.try_recv().ok())
    }

    fn recv_maybe_until(&self, deadline: Option<Instant>) -> Result<T, TryRecvError> {
        let _masked = interrupt::mask();
        loop {
            match self.try_recv() {
                Err(TryRecvError::Empty) => {}
                decided => return decided,
            }
            if self.shared.not_empty.wait_until_maybe(deadline) {
                return self.try_recv();
            }
        }
    }
}

/// Waits for messages until all senders are gone; made by `Receiver::into_iter`.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.state.with(|state| state.senders += 1);
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = self.shared.state.with(|state| {
            state.senders -= 1;
            state.senders == 0
        });
        if last {
            self.shared.not_empty.wake_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = self.shared.state.with(|state| {
            state.receiver_alive = false;
            core::mem::take(&mut state.messages)
        });
        self.shared.not_full.wake_all();
        drop(unread);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver is gone")
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Disconnected(_) => "the receiver is gone",
        })
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty",
            Self::Disconnected => "all senders are gone",
        })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all senders are gone")
    }
}

impl<T: fmt::Debug> core::error::Error for SendError<T> {}

impl<T: fmt::Debug> core::error::Error for TrySendError<T> {}

impl core::error::Error for RecvError {}

impl core::error::Error for TryRecvError {}
