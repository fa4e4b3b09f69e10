//! A TCP connection as `zssh` reads and writes it, with limits on how long anything may take.

use crate::terminal::Closed;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use denali_rt::io::{Error, ErrorKind, Result};
use denali_rt::net::TcpStream;
use denali_rt::time::Instant;
use embedded_io_async::{ErrorType, Read, Write};

/// From the connection to the first command: time for key exchange and authentication.
pub(super) const LOGIN_GRACE: Duration = Duration::from_secs(20);

/// How long a client that is not logged in may be silent.
const LOGIN_SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long a client that is logged in may be silent while we wait for it.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(600);

/// How long the peer may leave no room in the send buffer.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// Bytes kept that arrive while nobody reads, at most: keep-alives and window adjustments.
const AHEAD_LEN_MAX: usize = 32 * 1024;

/// Bytes read ahead at once.
const AHEAD_PIECE_LEN: usize = 512;

/// A connection and its clocks.
pub(super) struct Wire {
    stream: TcpStream,
    /// When the login must be complete; `None` after it.
    login_deadline: Cell<Option<Instant>>,
    patience: Cell<Duration>,
    ahead: RefCell<VecDeque<u8>>,
}

impl Wire {
    /// Wraps `stream` and starts the login clock.
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_MAX))?;
        Ok(Self {
            stream,
            login_deadline: Cell::new(Some(Instant::now() + LOGIN_GRACE)),
            patience: Cell::new(IDLE_MAX),
            ahead: RefCell::new(VecDeque::new()),
        })
    }

    /// Ends a login that will not be.
    pub(super) fn give_up(&self) {
        self.login_deadline.set(Some(Instant::now()));
    }

    /// Stops the login clock.
    pub(super) fn set_logged_in(&self) {
        self.login_deadline.set(None);
    }

    /// Sets how long the client may be silent.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience.set(patience);
    }

    /// Waits, and reads ahead meanwhile, since the end of the connection shows in no other way.
    pub(super) fn pause(&self, duration: Duration) -> core::result::Result<(), Closed> {
        let until = Instant::now() + duration;
        let mut piece = [0; AHEAD_PIECE_LEN];
        loop {
            let left = until - Instant::now();
            if left.is_zero() {
                return Ok(());
            }
            if self.ahead.borrow().len() + piece.len() > AHEAD_LEN_MAX {
                return Err(Closed);
            }
            match self.receive(&mut piece, left) {
                Ok(0) => return Err(Closed),
                Ok(len) => self.ahead.borrow_mut().extend(&piece[..len]),
                Err(error) if is_timeout(error) => return Ok(()),
                Err(_) => return Err(Closed),
            }
        }
    }

    /// Returns whether something arrived that nobody read.
    pub(super) fn has_ahead(&self) -> bool {
        !self.ahead.borrow().is_empty()
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let mut ahead = self.ahead.borrow_mut();
        if !ahead.is_empty() {
            let len = buffer.len().min(ahead.len());
            for (to, from) in buffer.iter_mut().zip(ahead.drain(..len)) {
                *to = from;
            }
            return Ok(len);
        }
        drop(ahead);
        let patience = match self.login_deadline.get() {
            Some(deadline) => (deadline - Instant::now()).min(LOGIN_SILENCE_MAX),
            None => self.patience.get(),
        };
        if patience.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.receive(buffer, patience)
    }

    fn receive(&self, buffer: &mut [u8], patience: Duration) -> Result<usize> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.read(buffer)
    }
}

fn is_timeout(error: Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// The end of a [`Wire`] that `zssh` holds.
pub(super) struct WireStream(Rc<Wire>);

impl WireStream {
    pub(super) const fn new(wire: Rc<Wire>) -> Self {
        Self(wire)
    }
}

impl ErrorType for WireStream {
    type Error = Error;
}

impl Read for WireStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for WireStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.stream.write(bytes)
    }

    async fn flush(&mut self) -> Result<()> {
        self.0.stream.flush()
    }
}
