//! Reads one request after the other from a connection (RFC 9112).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use denali_rt::io::{self, Read};

/// Longest request head in bytes.
pub const HEAD_MAX: usize = 8 * 1024;

/// Most header fields in a request.
pub const HEADERS_MAX: usize = 64;

/// Longest request body in bytes. Bodies are read and dropped, as no route takes one.
pub const BODY_MAX: u64 = 64 * 1024;

const READ_LEN: usize = 1024;

/// What routes need to know of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, as sent.
    pub method: String,
    /// The path, percent-decoded, without the query.
    pub path: String,
    /// The `If-None-Match` field.
    pub if_none_match: Option<String>,
    /// Whether the client wants the connection kept.
    pub keep_alive: bool,
}

/// Why a request cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// 400: not HTTP, or HTTP that contradicts itself.
    BadRequest,
    /// 413: the body is longer than [`BODY_MAX`].
    ContentTooLarge,
    /// 431: the head is longer than [`HEAD_MAX`] or has more than [`HEADERS_MAX`] fields.
    HeaderFieldsTooLarge,
    /// 501: a transfer coding this server does not know.
    NotImplemented,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}

/// What came of reading a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// Something to answer with an error and to hang up on.
    Malformed(Malformed),
    /// The client closed the connection between two requests.
    Closed,
}

/// Reads requests; keeps what a pipelining client sent ahead.
#[derive(Debug, Default)]
pub struct RequestReader {
    buffer: Vec<u8>,
}

struct Head {
    request: Request,
    len: usize,
    body_len: u64,
}

impl RequestReader {
    /// Reads the next request, its body included.
    ///
    /// # Errors
    ///
    /// What reading from `stream` returns, for one that the client left in the middle of a request
    /// [`io::ErrorKind::UnexpectedEof`].
    pub fn next<S: Read<Error = io::Error>>(&mut self, stream: &mut S) -> io::Result<Incoming> {
        loop {
            match parse(&self.buffer) {
                Ok(Some(head)) => {
                    self.buffer.drain(..head.len);
                    self.skip_body(head.body_len, stream)?;
                    return Ok(Incoming::Request(head.request));
                }
                Ok(None) if self.buffer.len() < HEAD_MAX => {}
                Ok(None) => return Ok(Incoming::Malformed(Malformed::HeaderFieldsTooLarge)),
                Err(malformed) => return Ok(Incoming::Malformed(malformed)),
            }
            if self.fill(stream)? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(Incoming::Closed),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Returns whether another request has already begun to arrive.
    pub fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn fill<S: Read<Error = io::Error>>(&mut self, stream: &mut S) -> io::Result<usize> {
        let len = self.buffer.len();
        self.buffer.resize(len + READ_LEN, 0);
        let read = stream.read(&mut self.buffer[len..]);
        self.buffer.truncate(len + read.as_ref().copied().unwrap_or(0));
        read
    }

    fn skip_body<S: Read<Error = io::Error>>(
        &mut self,
        mut left: u64,
        stream: &mut S,
    ) -> io::Result<()> {
        while left > 0 {
            if self.buffer.is_empty() && self.fill(stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let skipped = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.drain(..skipped);
            left -= skipped as u64;
        }
        // An idle connection keeps no buffer.
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        Ok(())
    }
}

/// Returns the head at the start of `bytes`, or `None` if it is not complete yet.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let len = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_MAX => len,
        Ok(httparse::Status::Complete(_)) => return Err(Malformed::HeaderFieldsTooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::HeaderFieldsTooLarge),
        Err(httparse::Error::Version) => return Err(Malformed::VersionNotSupported),
        Err(_) => return Err(Malformed::BadRequest),
    };
    let http_1_1 = parsed.version == Some(1);
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: decode_path(parsed.path.unwrap_or_default()).ok_or(Malformed::BadRequest)?,
        if_none_match: None,
        keep_alive: http_1_1,
    };
    let (mut hosts, mut body_len) = (0, None);
    for header in parsed.headers.iter() {
        let value = core::str::from_utf8(header.value).map_err(|_| Malformed::BadRequest)?;
        match header.name {
            name if name.eq_ignore_ascii_case("host") => hosts += 1,
            name if name.eq_ignore_ascii_case("content-length") => {
                let len = content_length(value)?;
                if body_len.is_some_and(|other| other != len) {
                    return Err(Malformed::BadRequest);
                }
                body_len = Some(len);
            }
            name if name.eq_ignore_ascii_case("transfer-encoding") => {
                return Err(Malformed::NotImplemented);
            }
            name if name.eq_ignore_ascii_case("connection") => {
                request.keep_alive = wants_keep_alive(value, request.keep_alive);
            }
            name if name.eq_ignore_ascii_case("if-none-match") => {
                request.if_none_match = Some(value.to_owned());
            }
            _ => {}
        }
    }
    // RFC 9112 §3.2: exactly one Host field in HTTP/1.1.
    if hosts > 1 || (http_1_1 && hosts == 0) {
        return Err(Malformed::BadRequest);
    }
    let body_len = body_len.unwrap_or(0);
    if body_len > BODY_MAX {
        return Err(Malformed::ContentTooLarge);
    }
    Ok(Some(Head { request, len, body_len }))
}

fn content_length(value: &str) -> Result<u64, Malformed> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::BadRequest);
    }
    value.parse().map_err(|_| Malformed::ContentTooLarge)
}

fn wants_keep_alive(value: &str, default: bool) -> bool {
    let has = |option: &str| value.split(',').any(|v| v.trim().eq_ignore_ascii_case(option));
    !has("close") && (default || has("keep-alive"))
}

/// Returns the path of a request target, percent-decoded (RFC 3986 §2.1), without its query.
fn decode_path(target: &str) -> Option<String> {
    let path = match target.find("://") {
        Some(scheme) => &target[target[scheme + 3..].find('/')? + scheme + 3..],
        None => target,
    };
    let path = path.split(['?', '#']).next()?;
    if !path.starts_with('/') {
        return None;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok().filter(|path| !path.contains('\0'))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(mut input: &[u8]) -> Vec<Incoming> {
        struct Bytes<'a, 'b>(&'a mut &'b [u8]);
        impl denali_rt::io::ErrorType for Bytes<'_, '_> {
            type Error = io::Error;
        }
        impl Read for Bytes<'_, '_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                // A few bytes at a time, so that every boundary is met.
                let len = buffer.len().min(self.0.len()).min(7);
                let (now, later) = self.0.split_at(len);
                buffer[..len].copy_from_slice(now);
                *self.0 = later;
                Ok(len)
            }
        }
        let mut reader = RequestReader::default();
        let mut all = Vec::new();
        loop {
            match reader.next(&mut Bytes(&mut input)) {
                Ok(Incoming::Request(request)) => all.push(Incoming::Request(request)),
                Ok(last) => {
                    all.push(last);
                    return all;
                }
                Err(_) => return all,
            }
        }
    }

    fn only(input: &str) -> Incoming {
        read_all(input.as_bytes()).remove(0)
    }

    #[test]
    fn pipelined_requests_come_out_one_by_one() {
        let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\
            POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789\
            HEAD /y?z=1 HTTP/1.0\r\n\r\n";
        let paths: Vec<_> = read_all(input)
            .into_iter()
            .filter_map(|incoming| match incoming {
                Incoming::Request(request) => Some((request.path, request.keep_alive)),
                _ => None,
            })
            .collect();
        assert_eq!(paths, [("/".into(), true), ("/x".into(), true), ("/y".into(), false)]);
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
            let Incoming::Request(request) = only(&input) else { panic!("{input}") };
            assert_eq!(request.keep_alive, kept, "{input}");
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
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(),
                Malformed::BadRequest,
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
                Malformed::NotImplemented,
            ),
        ] {
            let input: String = input;
            assert_eq!(only(&input), Incoming::Malformed(malformed), "{input}");
        }
    }

    #[test]
    fn paths_are_decoded_and_queries_cut_off() {
        assert_eq!(decode_path("/a%20b/%C3%A9?q#f").as_deref(), Some("/a b/é"));
        assert_eq!(decode_path("http://host:80/x").as_deref(), Some("/x"));
        assert_eq!(decode_path("/%00"), None);
        assert_eq!(decode_path("/%ff"), None);
        assert_eq!(decode_path("*"), None);
    }
}
