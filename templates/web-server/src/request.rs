//! Reads one request after the other from a connection (RFC 9112).

use crate::body::{self, BODY_MAX, Length};
use crate::connection::Peer;
use crate::input::Input;
use crate::path;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::time::Duration;
use denali_rt::io::{self, ErrorKind};

/// Longest request head in bytes.
pub const HEAD_MAX: usize = 8 * 1024;

/// Most header fields in a request.
pub const HEADERS_MAX: usize = 64;

/// Longest head that a connection keeps memory for while it waits for a request.
const IDLE_HEAD_MAX: usize = 1024;

/// How long to listen to a client that was told what it did wrong.
const FAREWELL: Duration = Duration::from_secs(1);

/// What routes need to know of a request. It lies where its [`RequestReader`] keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path, percent-decoded, without the query.
    pub path: Cow<'a, str>,
    /// Whether the client wants the connection kept.
    pub keep_alive: bool,
    /// Everything up to the body, as sent.
    head: &'a str,
    /// Where in it the header fields lie.
    fields: &'a [Field],
}

/// The places of a header field's name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: Range<u16>,
    value: Range<u16>,
}

const _: () = assert!(HEAD_MAX <= u16::MAX as usize);

/// Why a request cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// 400: not HTTP, or HTTP that contradicts itself.
    BadRequest,
    /// 408: it took longer than [`REQUEST_TIMEOUT`](crate::connection::REQUEST_TIMEOUT).
    RequestTimeout,
    /// 413: the body is longer than [`BODY_MAX`].
    ContentTooLarge,
    /// 417: the client expects something other than to be told to go on.
    ExpectationFailed,
    /// 431: the head is longer than [`HEAD_MAX`] or has more than [`HEADERS_MAX`] fields.
    HeaderFieldsTooLarge,
    /// 501: a transfer coding this server does not know.
    NotImplemented,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}

/// What came of reading a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A request.
    Request(Request<'a>),
    /// Something to answer with an error and to hang up on.
    Malformed(Malformed),
    /// The client closed the connection between two requests, or was silent for too long.
    Closed,
}

/// Why reading a request ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By the client's fault.
    Malformed(Malformed),
    /// The connection failed.
    Io(io::Error),
}

/// Reads requests; keeps what a pipelining client sent ahead.
#[derive(Debug, Default)]
pub struct RequestReader {
    input: Input,
    /// The head of the last request, or what came of it: the next one takes the same memory.
    head: Vec<u8>,
    /// Where the header fields lie in it.
    fields: Vec<Field>,
}

/// Where the parts of a first line lie in the head.
struct FirstLine {
    method: Range<u16>,
    target: Range<u16>,
    http_1_1: bool,
}

/// A request as its head has it.
struct Head<'a> {
    request: Request<'a>,
    body: Length,
    /// Whether the client waits to be told to send the body.
    expects_continue: bool,
}

impl Request<'_> {
    /// Returns the values of the header fields of this name, in the order they came.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |field| self.is_named(field, name));
        named.map(|field| self.value(field))
    }

    /// Returns the value of the first header field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let first = self.fields.iter().find(|field| self.is_named(field, name));
        first.map(|field| self.value(field))
    }

    fn is_named(&self, field: &Field, name: &str) -> bool {
        field.name.len() == name.len() && self.head[wide(&field.name)].eq_ignore_ascii_case(name)
    }

    fn value(&self, field: &Field) -> &str {
        self.head[wide(&field.value)].trim()
    }
}

#[cfg(test)]
impl Request<'static> {
    /// Makes a request to read a file, with these header fields.
    pub fn with(fields: &str) -> Self {
        let text = alloc::format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let head = alloc::boxed::Box::leak(text.into_boxed_str());
        let mut fields = Vec::new();
        let (_, line) = parse(head.as_bytes(), &mut fields).ok().flatten().expect("a whole head");
        understand(head.as_bytes(), fields.leak(), &line).expect("a request").request
    }
}

impl RequestReader {
    /// Reads the next request, its body included.
    ///
    /// # Errors
    ///
    /// What reading from `peer` returns, for one that left in the middle of a request
    /// [`ErrorKind::UnexpectedEof`].
    pub fn next(&mut self, peer: &mut impl Peer) -> io::Result<Incoming<'_>> {
        let Self { input, head, fields } = self;
        input.begin();
        head.clear();
        head.shrink_to(IDLE_HEAD_MAX);
        match read(input, head, fields, peer) {
            Ok(Some(request)) => Ok(Incoming::Request(request)),
            Ok(None) => Ok(Incoming::Closed),
            Err(Stop::Malformed(malformed)) => Ok(Incoming::Malformed(malformed)),
            Err(Stop::Io(error)) if error.kind() == ErrorKind::TimedOut => {
                Ok(match input.has_begun() {
                    true => Incoming::Malformed(Malformed::RequestTimeout),
                    false => Incoming::Closed,
                })
            }
            Err(Stop::Io(error)) => Err(error),
        }
    }

    /// Returns whether another request has already begun to arrive.
    pub fn has_more(&self) -> bool {
        !self.input.bytes().is_empty()
    }

    /// Returns the first line of the last request as it was sent, as far as it came.
    pub fn line(&self) -> &[u8] {
        let line = self.head.split(|byte| *byte == b'\n').next();
        line.unwrap_or_default().trim_ascii_end()
    }

    /// Listens a little longer to a client that was answered before it had sent everything: closing
    /// at once would reset the connection, and the answer with it.
    pub fn bid_farewell(&mut self, peer: &mut impl Peer) {
        peer.finish();
        peer.wait_at_most(FAREWELL);
        let mut left = BODY_MAX;
        let mut dropped = [0; 512];
        while let Ok(len @ 1..) = peer.read(&mut dropped) {
            left = left.saturating_sub(len as u64);
            if left == 0 {
                return;
            }
        }
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a request, its body included, with its head into `kept`; `None` if the client left before it.
fn read<'a>(
    input: &mut Input,
    kept: &'a mut Vec<u8>,
    fields: &'a mut Vec<Field>,
    peer: &mut impl Peer,
) -> Result<Option<Request<'a>>, Stop> {
    let found = wait_for_head(input, fields, peer);
    let len = match &found {
        Ok(Some((len, _))) => *len,
        _ => input.bytes().len(),
    };
    kept.extend_from_slice(&input.bytes()[..len]);
    let Some((len, line)) = found? else { return Ok(None) };
    input.consume(len);
    let Head { request, body, expects_continue } = understand(kept, fields, &line)?;
    if expects_continue && input.bytes().is_empty() {
        peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        peer.flush()?;
    }
    body::skip(body, input, peer)?;
    Ok(Some(request))
}

/// Waits until a whole head is there. Returns its length and first line; `None` if the client left.
fn wait_for_head(
    input: &mut Input,
    fields: &mut Vec<Field>,
    peer: &mut impl Peer,
) -> Result<Option<(usize, FirstLine)>, Stop> {
    loop {
        if !input.bytes().is_empty()
            && let Some(found) = parse(input.bytes(), fields)?
        {
            return Ok(Some(found));
        }
        if input.bytes().len() >= HEAD_MAX {
            return Err(Malformed::HeaderFieldsTooLarge.into());
        }
        if input.fill(peer)? == 0 {
            return match input.bytes() {
                [] => Ok(None),
                _ => Err(Stop::Io(ErrorKind::UnexpectedEof.into())),
            };
        }
    }
}

/// Finds the parts of a request head, if all of it is there. Returns its length and first line.
fn parse(
    bytes: &[u8],
    fields: &mut Vec<Field>,
) -> Result<Option<(usize, FirstLine)>, Malformed> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let len = match parsed.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_MAX => len,
        Ok(httparse::Status::Complete(_)) => return Err(Malformed::HeaderFieldsTooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::HeaderFieldsTooLarge),
        Err(httparse::Error::Version) => return Err(Malformed::VersionNotSupported),
        Err(_) => return Err(Malformed::BadRequest),
    };
    // A head is no longer than `HEAD_MAX`.
    let place = |part: &[u8]| {
        let start = part.as_ptr().addr() - bytes.as_ptr().addr();
        start as u16..(start + part.len()) as u16
    };
    fields.clear();
    fields.extend(parsed.headers.iter().map(|header| Field {
        name: place(header.name.as_bytes()),
        value: place(header.value),
    }));
    let line = FirstLine {
        method: place(parsed.method.unwrap_or_default().as_bytes()),
        target: place(parsed.path.unwrap_or_default().as_bytes()),
        http_1_1: parsed.version == Some(1),
    };
    Ok(Some((len, line)))
}

/// Returns what a head asks for, as far as all routes must know it (RFC 9112).
fn understand<'a>(
    head: &'a [u8],
    fields: &'a [Field],
    line: &FirstLine,
) -> Result<Head<'a>, Malformed> {
    let head = core::str::from_utf8(head).map_err(|_| Malformed::BadRequest)?;
    let http_1_1 = line.http_1_1;
    let request = Request {
        method: &head[wide(&line.method)],
        path: path::decode(&head[wide(&line.target)]).ok_or(Malformed::BadRequest)?,
        keep_alive: http_1_1,
        head,
        fields,
    };
    // RFC 9112 §3.2: exactly one Host field in HTTP/1.1.
    let hosts = request.fields("host").count();
    if hosts > 1 || (http_1_1 && hosts == 0) {
        return Err(Malformed::BadRequest);
    }
    let body = body_length(&request)?;
    let expects_continue = match request.field("expect") {
        Some(value) if value.eq_ignore_ascii_case("100-continue") => http_1_1,
        Some(_) => return Err(Malformed::ExpectationFailed),
        None => false,
    };
    let keep_alive = request.fields("connection").fold(http_1_1, wants_keep_alive);
    Ok(Head { request: Request { keep_alive, ..request }, body, expects_continue })
}

fn wide(place: &Range<u16>) -> Range<usize> {
    place.start.into()..place.end.into()
}

/// Returns how long the body is (RFC 9112 §6.3).
fn body_length(request: &Request) -> Result<Length, Malformed> {
    let mut codings = request.fields("transfer-encoding");
    let mut lengths = request.fields("content-length");
    match (codings.next(), lengths.next()) {
        // Who sends both may want to smuggle a request past somebody.
        (Some(_), Some(_)) => Err(Malformed::BadRequest),
        (Some(coding), None) => {
            let known = coding.eq_ignore_ascii_case("chunked") && codings.next().is_none();
            match known && request.keep_alive {
                true => Ok(Length::Chunked),
                false => Err(Malformed::NotImplemented),
            }
        }
        (None, Some(value)) => {
            let len = content_length(value)?;
            for other in lengths {
                if content_length(other)? != len {
                    return Err(Malformed::BadRequest);
                }
            }
            Ok(Length::Known(len))
        }
        (None, None) => Ok(Length::Known(0)),
    }
}

fn content_length(value: &str) -> Result<u64, Malformed> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::BadRequest);
    }
    let len = value.parse().ok().filter(|len| *len <= BODY_MAX);
    len.ok_or(Malformed::ContentTooLarge)
}

fn wants_keep_alive(default: bool, value: &str) -> bool {
    let has = |option: &str| value.split(',').any(|v| v.trim().eq_ignore_ascii_case(option));
    !has("close") && (default || has("keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use core::net::IpAddr;
    use denali_rt::io::{Read, Write};

    /// A client that has sent everything beforehand.
    struct Sent<'a> {
        bytes: &'a [u8],
        /// Whether it is silent after that, instead of leaving.
        stays: bool,
        received: Vec<u8>,
    }

    impl io::ErrorType for Sent<'_> {
        type Error = io::Error;
    }

    impl Read for Sent<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.bytes.is_empty() && self.stays {
                return Err(ErrorKind::TimedOut.into());
            }
            // A few bytes at a time, so that every boundary is met.
            let len = buffer.len().min(self.bytes.len()).min(7);
            let (now, later) = self.bytes.split_at(len);
            buffer[..len].copy_from_slice(now);
            self.bytes = later;
            Ok(len)
        }
    }

    impl Write for Sent<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.received.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Peer for Sent<'_> {
        fn wait_at_most(&mut self, _: Duration) {}
        fn set_idle(&mut self, _: bool) {}
        fn finish(&mut self) {}
        fn address(&self) -> IpAddr {
            IpAddr::from([10, 0, 0, 1])
        }
    }

    fn sent(bytes: &[u8], stays: bool) -> Sent<'_> {
        Sent { bytes, stays, received: Vec::new() }
    }

    /// Returns the paths of all requests, and whether they want the connection kept.
    fn read_all(input: &[u8]) -> Vec<(String, bool)> {
        let mut client = sent(input, false);
        let mut reader = RequestReader::default();
        let mut all = Vec::new();
        while let Ok(Incoming::Request(request)) = reader.next(&mut client) {
            all.push((request.path.into_owned(), request.keep_alive));
        }
        all
    }

    fn only<'a>(input: &str, reader: &'a mut RequestReader) -> Incoming<'a> {
        reader.next(&mut sent(input.as_bytes(), false)).expect("no error")
    }

    #[test]
    fn pipelined_requests_come_out_one_by_one() {
        let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\
            POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789\
            HEAD /y?z=1 HTTP/1.0\r\n\r\n";
        let expected = [("/", true), ("/x", true), ("/y", false)];
        assert_eq!(read_all(input), expected.map(|(path, kept)| (path.into(), kept)));
    }

    #[test]
    fn a_client_decides_whether_the_connection_stays() {
        for (version, field, kept) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: upgrade, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
        ] {
            let input = alloc::format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n");
            assert_eq!(read_all(input.as_bytes()), [("/".into(), kept)], "{input}");
        }
    }

    #[test]
    fn each_malformed_request_gets_its_own_answer() {
        let long = "a".repeat(HEAD_MAX);
        let many = "A: b\r\n".repeat(HEADERS_MAX + 1);
        for (input, malformed) in [
            ("nonsense\r\n\r\n".into(), Malformed::BadRequest),
            ("GET / HTTP/1.1\r\n\r\n".into(), Malformed::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), Malformed::BadRequest),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n".into(), Malformed::BadRequest),
            ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n".into(), Malformed::BadRequest),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), Malformed::VersionNotSupported),
            (alloc::format!("GET /{long} HTTP/1.1\r\n\r\n"), Malformed::HeaderFieldsTooLarge),
            (
                alloc::format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
                Malformed::HeaderFieldsTooLarge,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n".into(),
                Malformed::ContentTooLarge,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n".into(),
                Malformed::ContentTooLarge,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n".into(),
                Malformed::BadRequest,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                    .into(),
                Malformed::BadRequest,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(),
                Malformed::NotImplemented,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\
                 Transfer-Encoding: chunked\r\n\r\n"
                    .into(),
                Malformed::BadRequest,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".into(),
                Malformed::BadRequest,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n".into(),
                Malformed::ContentTooLarge,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n".into(),
                Malformed::ExpectationFailed,
            ),
        ] {
            let input: String = input;
            let mut reader = RequestReader::default();
            assert_eq!(only(&input, &mut reader), Incoming::Malformed(malformed), "{input}");
            assert!(input.as_bytes().starts_with(reader.line()), "{input}");
        }
    }

    #[test]
    fn a_chunked_body_is_skipped_with_its_trailers() {
        let input = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
            5;name=value\r\nhello\r\nC\r\nhello\r\nworld\r\n0\r\nTrailer: x\r\n\r\n\
            GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(read_all(input), [("/a".into(), true), ("/b".into(), true)]);
    }

    #[test]
    fn what_was_long_is_followed_by_another_request() {
        let (long, body) = ("a".repeat(2000), "b".repeat(20_000));
        // Where reads end differs, so that one ends where the request does.
        for padding in 0..7 {
            let padding = "c".repeat(padding);
            let input = alloc::format!(
                "GET /a HTTP/1.1\r\nHost: a\r\nX: {long}{padding}\r\n\r\n\
                 PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{body}\
                 GET /c HTTP/1.1\r\nHost: a\r\n\r\n"
            );
            let expected = ["/a", "/b", "/c"].map(|path| (path.into(), true));
            assert_eq!(read_all(input.as_bytes()), expected);
        }
    }

    #[test]
    fn a_client_that_waits_is_told_to_go_on() {
        let input = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\
            Expect: 100-Continue\r\n\r\nok";
        let mut client = sent(input, false);
        let mut reader = RequestReader::default();
        let incoming = reader.next(&mut client).expect("a request");
        assert!(matches!(incoming, Incoming::Request(_)), "{incoming:?}");
    }

    #[test]
    fn a_client_that_stops_in_the_middle_is_told_so() {
        let body = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfour";
        let timeout = Incoming::Malformed(Malformed::RequestTimeout);
        for (bytes, expected) in [
            (b"".as_slice(), Incoming::Closed),
            (b"GET /", timeout.clone()),
            (body, timeout),
        ] {
            let mut reader = RequestReader::default();
            assert_eq!(reader.next(&mut sent(bytes, true)), Ok(expected));
        }
    }

    #[test]
    fn fields_are_found_by_name() {
        let request = Request::with("X-A:  1 \r\nx-a: 2");
        assert_eq!(request.fields("x-A").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((request.field("X-a"), request.field("x-b")), (Some("1"), None));
    }
}
