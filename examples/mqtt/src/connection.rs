//! One client's connection: bytes to packets and back, and how long it may be silent.

use crate::broker::{Broker, End, Link, OUTBOX_MAX};
use crate::codec::{Frame, Malformed, decode, frame};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use denali_rt::io;
use denali_rt::task;
use denali_rt::task::net::TcpStream;
use denali_rt::time::{Duration, Instant};

/// How long a client may take to introduce itself.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a packet may take from its first byte to its last.
const PACKET_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a client may leave everything unread that is sent to it.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// How long what is left may take once the connection is to end.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// Bytes read at once, unless a longer packet has begun.
const READ_LEN: usize = 512;

/// Packets up to this long are not charged: each connection has room for one.
const UNCHARGED_MAX: usize = 4 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The broker wanted it so.
    Broker(End),
    /// The client closed it.
    Closed,
    /// The client was silent, or deaf, for too long.
    TimedOut,
    /// Another connection took the session over.
    TakenOver,
    /// The network's answer.
    Io(io::Error),
}

impl From<End> for Cause {
    fn from(end: End) -> Self {
        Self::Broker(end)
    }
}

impl From<Malformed> for Cause {
    fn from(malformed: Malformed) -> Self {
        Self::Broker(malformed.into())
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<task::Elapsed> for Cause {
    fn from(_: task::Elapsed) -> Self {
        Self::TimedOut
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(end) => end.fmt(f),
            Self::Closed => f.write_str("closed by the client"),
            Self::TimedOut => f.write_str("timed out"),
            Self::TakenOver => f.write_str("taken over by another connection"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// A broker that tasks share.
pub(crate) type Shared = Rc<RefCell<Broker>>;

/// Serves a client until either side ends it. Returns why.
pub(crate) async fn serve(broker: &Shared, stream: &TcpStream) -> Cause {
    let link = Link::new();
    let cause = race(read(broker, stream, &link), write(broker, stream, &link)).await;
    {
        let mut broker = broker.borrow_mut();
        match cause {
            Cause::Broker(End::Malformed(_) | End::Protocol(_)) => {
                broker.counters.protocol_errors += 1;
            }
            Cause::TimedOut => broker.counters.timeouts += 1,
            _ => {}
        }
        broker.lost(&link, now());
    }
    // What the client should still read: why it is refused, or answers to its last requests.
    if matches!(cause, Cause::Broker(_) | Cause::Closed | Cause::TakenOver) {
        // One that does not read it has left.
        drop(task::timeout(GOODBYE_MAX, drain(broker, stream, &link)).await);
    }
    cause
}

/// Returns the seconds since the host booted.
pub(crate) fn now() -> u64 {
    Instant::now().as_ns() / 1_000_000_000
}

/// Receives packets until something speaks against it.
async fn read(broker: &Shared, stream: &TcpStream, link: &Rc<Link>) -> Cause {
    let mut input = Input::default();
    loop {
        if let Err(cause) = input.packet(broker, stream, link).await {
            return cause;
        }
        // A client that does not read its answers is not asked for more.
        while link.outbox_len() > OUTBOX_MAX {
            link.wake_reader.wait_async().await;
        }
    }
}

/// Sends what the broker wants sent until it wants an end.
async fn write(broker: &Shared, stream: &TcpStream, link: &Rc<Link>) -> Cause {
    loop {
        if let Err(cause) = drain(broker, stream, link).await {
            return cause;
        }
        broker.borrow_mut().pump(link);
        if link.outbox_len() > 0 {
            continue;
        }
        if link.is_closing() {
            return Cause::TakenOver;
        }
        link.wake_writer.wait_async().await;
    }
}

/// Sends everything that waits.
async fn drain(broker: &Shared, stream: &TcpStream, link: &Link) -> Result<(), Cause> {
    while let Some(chunk) = link.take() {
        let mut bytes = chunk.bytes();
        while !bytes.is_empty() {
            let written = task::timeout(WRITE_MAX, stream.write(bytes)).await??;
            bytes = &bytes[written..];
        }
        let len = chunk.bytes().len();
        link.sent(len);
        broker.borrow_mut().counters.bytes_sent += len as u64;
    }
    Ok(())
}

/// What a client has sent and nobody has dealt with yet.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
}

impl Input {
    /// Receives a packet and gives it to the broker.
    async fn packet(
        &mut self,
        broker: &Shared,
        stream: &TcpStream,
        link: &Rc<Link>,
    ) -> Result<(), Cause> {
        let packet_max = broker.borrow().packet_max();
        let mut begun_at = None;
        let mut charge = None;
        let frame = loop {
            let known = frame(&self.bytes)?;
            let len = known.map_or(0, |frame| frame.len);
            match known {
                Some(Frame { len, .. }) if len > packet_max => {
                    return Err(End::Protocol("a packet that is too long").into());
                }
                Some(frame) if self.bytes.len() >= frame.len => break frame,
                _ => {}
            }
            if len > UNCHARGED_MAX && charge.is_none() {
                let taken = broker.borrow().ledger().charge(len);
                charge = Some(taken.ok_or(End::OutOfMemory)?);
            }
            if begun_at.is_none() && !self.bytes.is_empty() {
                begun_at = Some(Instant::now());
            }
            let read = self.fill(stream, len, patience(link, begun_at)).await?;
            broker.borrow_mut().counters.bytes_received += read as u64;
        };
        let packet = decode(frame.first, &self.bytes[frame.head_len..frame.len])?;
        let received = broker.borrow_mut().receive(link, packet, now());
        self.bytes.drain(..frame.len);
        // An idle connection keeps no memory.
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        received.map_err(Cause::from)
    }

    /// Reads more of a packet of `len` bytes, as far as that is known. Returns how much.
    async fn fill(
        &mut self,
        stream: &TcpStream,
        len: usize,
        patience: Option<Duration>,
    ) -> Result<usize, Cause> {
        let before = self.bytes.len();
        let missing = len.saturating_sub(before);
        let read = if missing > READ_LEN {
            self.bytes.reserve_exact(missing);
            self.bytes.resize(len, 0);
            let read = within(patience, stream.read(&mut self.bytes[before..])).await;
            let count = read.as_ref().copied().unwrap_or(0);
            self.bytes.truncate(before + count);
            read?
        } else {
            let mut chunk = [0; READ_LEN];
            let read = within(patience, stream.read(&mut chunk)).await?;
            self.bytes.extend_from_slice(&chunk[..read]);
            read
        };
        match read {
            0 => Err(Cause::Closed),
            read => Ok(read),
        }
    }
}

/// Returns how long to wait for the client; `None` is for ever.
fn patience(link: &Link, begun_at: Option<Instant>) -> Option<Duration> {
    let silence = match (link.is_connected(), link.keep_alive.get()) {
        (false, _) => Some(CONNECT_MAX),
        (true, 0) => None,
        // One and a half times what the client promised (§3.1.2.10).
        (true, seconds) => Some(Duration::from_millis(u64::from(seconds) * 1500)),
    };
    let rest = begun_at.map(|begun| PACKET_TIME_MAX.saturating_sub(begun.elapsed()));
    match (silence, rest) {
        (Some(silence), Some(rest)) => Some(silence.min(rest)),
        (silence, rest) => silence.or(rest),
    }
}

/// Waits for `future`, but not for longer than `patience`.
async fn within<T>(
    patience: Option<Duration>,
    future: impl Future<Output = io::Result<T>>,
) -> Result<T, Cause> {
    match patience {
        Some(patience) => Ok(task::timeout(patience, future).await??),
        None => Ok(future.await?),
    }
}

/// Runs two futures until one of them has ended.
async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await
}
