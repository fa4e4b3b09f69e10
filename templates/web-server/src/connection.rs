//! Serves one connection: request after request, until either side has had enough.
//!
//! A client may be silent for a while between two requests, but has to get a request through and an
//! answer out within limits, so that slow ones do not hold their places for ever.

use crate::access_log;
use crate::connections::Connection;
use crate::request::{Incoming, RequestReader};
use crate::response::{Framing, Room};
use crate::routes;
use core::net::IpAddr;
use core::time::Duration;
use denali_rt::io::{self, ErrorType, Read, Write};
use denali_rt::net::Shutdown;
use denali_rt::process;
use denali_rt::time::Instant;

/// How long a connection may be silent between two requests.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request may take from its first byte to its last.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first byte of an answer may take; every [`SLOWEST_RATE`] bytes take a second more.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes a second that a client must at least take.
pub const SLOWEST_RATE: u64 = 2048;

/// Requests served on one connection before it is closed, so that none is held for ever.
const REQUESTS_MAX: u32 = 100_000;

/// The other end, and how long it may take.
pub trait Peer: Read<Error = io::Error> + Write<Error = io::Error> {
    /// Lets reads and writes fail after this time.
    fn wait_at_most(&mut self, time: Duration);

    /// Notes whether the peer owes nothing: the server may close the connection then.
    fn set_idle(&mut self, idle: bool);

    /// Sends no more.
    fn finish(&mut self);

    /// Returns the peer's address.
    fn address(&self) -> IpAddr;
}

/// A client on the network.
#[derive(Debug)]
pub struct Client<'a> {
    connection: &'a Connection,
    address: IpAddr,
}

impl<'a> Client<'a> {
    /// Makes the client of a connection.
    pub fn new(connection: &'a Connection, address: IpAddr) -> Self {
        Self { connection, address }
    }
}

/// Serves requests until the connection ends.
///
/// # Errors
///
/// What reading or writing returns.
pub fn serve(client: &mut impl Peer) -> io::Result<()> {
    let mut reader = RequestReader::default();
    let mut room: Room = [0; size_of::<Room>()];
    for served in 1..=REQUESTS_MAX {
        client.set_idle(!reader.has_more());
        let incoming = reader.next(client)?;
        client.set_idle(false);
        let (response, head_only, wants_more) = match &incoming {
            Incoming::Request(request) => {
                (routes::answer(request), request.method == "HEAD", request.keep_alive)
            }
            Incoming::Malformed(malformed) => (routes::answer_malformed(*malformed), false, false),
            Incoming::Closed => return Ok(()),
        };
        let is_malformed = matches!(incoming, Incoming::Malformed(_));
        let stops = process::stop_requested().is_some();
        let keep_alive = wants_more && served < REQUESTS_MAX && !stops;
        let sent = response.write(Framing { head_only, keep_alive }, &mut room, client)?;
        access_log::note(client.address(), reader.line(), response.status, sent);
        // The answer leaves when this thread waits for the next request, with those that other
        // threads have written by then.
        if is_malformed {
            reader.bid_farewell(client);
        }
        if !keep_alive {
            break;
        }
    }
    Ok(())
}

/// Returns by when a peer must have taken `len` bytes.
pub fn answer_deadline(len: u64) -> Instant {
    Instant::now() + ANSWER_TIMEOUT + Duration::from_secs(len / SLOWEST_RATE)
}

impl Peer for Client<'_> {
    fn wait_at_most(&mut self, time: Duration) {
        // Zero would mean for ever; a stream on which this fails is closed, which the next read or
        // write tells.
        let time = Some(time.max(Duration::from_millis(1)));
        let stream = self.connection.stream();
        let _ = stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time));
    }

    fn set_idle(&mut self, idle: bool) {
        self.connection.set_idle(idle);
    }

    fn finish(&mut self) {
        // One that is closed already needs no end.
        let _ = self.connection.stream().shutdown(Shutdown::Write);
    }

    fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        // The service may end right after this; otherwise the rest goes out in the background.
        if process::stop_requested().is_some() {
            let _ = self.connection.stream().wait_until_acknowledged();
        }
    }
}

impl ErrorType for Client<'_> {
    type Error = io::Error;
}

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection.stream().read(buffer)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.stream().flush()
    }
}
