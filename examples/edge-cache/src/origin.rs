//! The origin: connections to it, those kept for the next request among them.

use crate::http::{Body, HEAD_MAX, Input, Malformed, Response, Stream};
use crate::settings::Patience;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;
use denali_rt::io::{self, ErrorKind, Write as _};
use denali_rt::net::{self, TcpStream};
use denali_rt::sync::GuestCell;
use denali_rt::time::Instant;

/// How long a connection is kept without a request. Servers close theirs after a minute or so.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// Interim responses that are skipped before the final one.
const INTERIM_MAX: usize = 8;

/// What makes connections to the origin.
pub(crate) trait Connect: Debug {
    /// A connection.
    type Stream: Stream;

    /// Makes one.
    ///
    /// # Errors
    ///
    /// What the network says.
    fn connect(&self) -> io::Result<Self::Stream>;
}

/// The origin's address.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) patience: Patience,
}

impl Connect for Address {
    type Stream = TcpStream;

    fn connect(&self) -> io::Result<TcpStream> {
        let addresses = net::lookup(&self.host)?;
        let address = addresses.into_iter().next().ok_or(ErrorKind::NotFound)?;
        let stream = TcpStream::connect_timeout((address, self.port), self.patience.connect)?;
        stream.set_write_timeout(Some(self.patience.response))?;
        Ok(stream)
    }
}

/// Why the origin gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It cannot be reached, or answers nonsense: 502.
    Bad,
    /// It takes too long: 504.
    TimedOut,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Bad,
        }
    }
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Bad
    }
}

/// A connection, and what came on it ahead.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    pub(crate) input: Input,
}

/// A request that was answered: the head of the response, and its body to come.
#[derive(Debug)]
pub(crate) struct Exchange<S> {
    pub(crate) connection: Connection<S>,
    pub(crate) response: Response,
    pub(crate) body: Body,
}

/// A request as it goes to the origin.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a str,
    /// The head, as bytes.
    pub(crate) head: &'a [u8],
}

/// The origin.
#[derive(Debug)]
pub(crate) struct Origin<C: Connect> {
    connect: C,
    idle: GuestCell<Vec<(Connection<C::Stream>, Instant)>>,
    idle_max: usize,
    patience: Patience,
}

impl<C: Connect> Origin<C> {
    pub(crate) fn new(connect: C, idle_max: usize, patience: Patience) -> Self {
        Self {
            connect,
            idle: GuestCell::new(Vec::new()),
            idle_max,
            patience,
        }
    }

    /// Returns how many connections wait for a request.
    pub(crate) fn idle(&self) -> usize {
        self.idle.with(|idle| idle.len())
    }

    /// Sends a request without a body, and returns the response's head. If a kept connection turns
    /// out to be closed, a new one is tried: such requests may be repeated.
    ///
    /// # Errors
    ///
    /// Why there is no response.
    pub(crate) fn ask(&self, request: &Outgoing<'_>) -> Result<Exchange<C::Stream>, Failure> {
        while let Some(connection) = self.take_idle() {
            match self.exchange(connection, request, |_| Ok(())) {
                Err(Failure::Bad) => {}
                answered => return answered,
            }
        }
        self.exchange(self.open()?, request, |_| Ok(()))
    }

    /// Sends a request with a body that `send` writes, on a new connection, and returns the
    /// response's head.
    ///
    /// # Errors
    ///
    /// Why there is no response.
    pub(crate) fn ask_with_body(
        &self,
        request: &Outgoing<'_>,
        send: impl FnOnce(&mut C::Stream) -> io::Result<()>,
    ) -> Result<Exchange<C::Stream>, Failure> {
        self.exchange(self.open()?, request, send)
    }

    /// Keeps the connection of a response that has been read to its end, if both sides allow it.
    pub(crate) fn keep(&self, exchange: Exchange<C::Stream>) {
        let Exchange {
            connection,
            response,
            body,
        } = exchange;
        let is_clean = body.is_done() && connection.input.unread().is_empty();
        if !is_clean || !response.keeps_alive() {
            return;
        }
        let until = Instant::now() + IDLE_MAX;
        let surplus = self.idle.with(|idle| {
            idle.push((connection, until));
            (idle.len() > self.idle_max).then(|| idle.remove(0))
        });
        drop(surplus);
    }

    fn open(&self) -> Result<Connection<C::Stream>, Failure> {
        let stream = self.connect.connect()?;
        Ok(Connection {
            stream,
            input: Input::default(),
        })
    }

    /// Returns the connection used last that has not been idle for too long.
    fn take_idle(&self) -> Option<Connection<C::Stream>> {
        let now = Instant::now();
        let (taken, expired) = self.idle.with(|idle| {
            let first_good = idle.iter().position(|(_, until)| *until > now);
            let expired: Vec<_> = idle.drain(..first_good.unwrap_or(idle.len())).collect();
            (idle.pop(), expired)
        });
        drop(expired);
        taken.map(|(connection, _)| connection)
    }

    fn exchange(
        &self,
        mut connection: Connection<C::Stream>,
        request: &Outgoing<'_>,
        send: impl FnOnce(&mut C::Stream) -> io::Result<()>,
    ) -> Result<Exchange<C::Stream>, Failure> {
        let stream = &mut connection.stream;
        stream.write_all(request.head)?;
        send(stream)?;
        stream.flush()?;
        stream.set_read_timeout(self.patience.response)?;
        let deadline = Instant::now() + self.patience.response;
        for _ in 0..INTERIM_MAX {
            let response = receive_head(&mut connection, deadline)?;
            // 101 would be another protocol; we never ask for one.
            if response.status == 101 {
                return Err(Failure::Bad);
            }
            if response.status >= 200 {
                let body = Body::new(response.framing(request.method)?);
                return Ok(Exchange {
                    connection,
                    response,
                    body,
                });
            }
        }
        Err(Failure::Bad)
    }
}

fn receive_head<S: Stream>(
    connection: &mut Connection<S>,
    deadline: Instant,
) -> Result<Response, Failure> {
    let Connection { stream, input } = connection;
    loop {
        match Response::parse(input.unread())? {
            Some((response, len)) => {
                input.consume(len);
                return Ok(response);
            }
            None if input.unread().len() >= HEAD_MAX => return Err(Failure::Bad),
            None if Instant::now() >= deadline => return Err(Failure::TimedOut),
            None => {}
        }
        if input.fill(stream)? == 0 {
            return Err(Failure::Bad);
        }
    }
}

/// Begins the head of a request to the origin.
pub(crate) fn request_line(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\n")
}
