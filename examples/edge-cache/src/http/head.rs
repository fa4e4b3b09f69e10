//! Heads of requests and responses.

use super::body::Framing;
use super::fields::Fields;
use alloc::borrow::ToOwned as _;
use alloc::string::String;

/// Longest head in bytes.
pub(crate) const HEAD_MAX: usize = 16 * 1024;

/// Most fields of a message.
const FIELDS_MAX: usize = 64;

/// Why a message cannot be dealt with, and the status that says so to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// 400: not HTTP, or HTTP that contradicts itself.
    BadRequest,
    /// 431: the head is too long, or has too many fields.
    TooLarge,
    /// 501: a transfer coding other than `chunked`.
    NotImplemented,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    Version,
}

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooLarge,
            httparse::Error::Version => Self::Version,
            _ => Self::BadRequest,
        }
    }
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query; an absolute form has been taken apart.
    pub(crate) target: String,
    pub(crate) host: String,
    /// Whether the client speaks HTTP/1.1 and not 1.0.
    pub(crate) is_1_1: bool,
    pub(crate) fields: Fields,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) is_1_1: bool,
    pub(crate) fields: Fields,
}

impl Request {
    /// Parses the head that `bytes` begin with. Returns it and its length; `None` if it is not
    /// complete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(len) = parsed.parse(bytes)? else {
            return incomplete(bytes);
        };
        let fields = fields(parsed.headers);
        let is_1_1 = parsed.version == Some(1);
        let target = parsed.path.unwrap_or_default();
        let (authority, target) = split_target(target).ok_or(Malformed::BadRequest)?;
        // One Host, and it has to be there in HTTP/1.1 (RFC 9112 §3.2).
        let hosts = fields.all("host").count();
        if hosts > 1 || (hosts == 0 && is_1_1) {
            return Err(Malformed::BadRequest);
        }
        let host = match authority {
            Some(authority) => authority,
            None if hosts == 0 => "",
            None => fields.text("host").ok_or(Malformed::BadRequest)?,
        };
        let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
        if !host.bytes().all(is_host_byte) {
            return Err(Malformed::BadRequest);
        }
        let request = Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: target.to_owned(),
            host: host.to_ascii_lowercase(),
            is_1_1,
            fields,
        };
        Ok(Some((request, len)))
    }

    /// Returns how the body is framed (RFC 9112 §6.3). Contradictions are how requests are
    /// smuggled, so there are none.
    pub(crate) fn framing(&self) -> Result<Framing, Malformed> {
        match (self.fields.has("transfer-encoding"), length(&self.fields)?) {
            (true, Some(_)) => Err(Malformed::BadRequest),
            (true, None) if !self.is_1_1 => Err(Malformed::BadRequest),
            (true, None) => chunked(&self.fields),
            (false, len) => Ok(Framing::Length(len.unwrap_or(0))),
        }
    }

    /// Returns whether the client wants the connection kept.
    pub(crate) fn keeps_alive(&self) -> bool {
        keeps_alive(&self.fields, self.is_1_1)
    }

    /// Returns whether this method changes nothing.
    pub(crate) fn is_safe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }
}

impl Response {
    /// Parses the head that `bytes` begin with; as [`Request::parse`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = parsed.parse(bytes)? else {
            return incomplete(bytes);
        };
        let status = parsed.code.unwrap_or_default();
        if !(100..600).contains(&status) {
            return Err(Malformed::BadRequest);
        }
        let response = Self {
            status,
            reason: parsed.reason.unwrap_or_default().to_owned(),
            is_1_1: parsed.version == Some(1),
            fields: fields(parsed.headers),
        };
        Ok(Some((response, len)))
    }

    /// Returns how the body is framed, of an answer to `method`.
    pub(crate) fn framing(&self, method: &str) -> Result<Framing, Malformed> {
        if method == "HEAD" || matches!(self.status, 100..200 | 204 | 304) {
            return Ok(Framing::Length(0));
        }
        match (self.fields.has("transfer-encoding"), length(&self.fields)?) {
            (true, Some(_)) => Err(Malformed::BadRequest),
            (true, None) => chunked(&self.fields),
            (false, Some(len)) => Ok(Framing::Length(len)),
            (false, None) => Ok(Framing::UntilClose),
        }
    }

    /// Returns whether the origin keeps the connection.
    pub(crate) fn keeps_alive(&self) -> bool {
        keeps_alive(&self.fields, self.is_1_1)
    }
}

fn incomplete<T>(bytes: &[u8]) -> Result<Option<T>, Malformed> {
    match bytes.len() {
        0..HEAD_MAX => Ok(None),
        _ => Err(Malformed::TooLarge),
    }
}

fn fields(headers: &[httparse::Header<'_>]) -> Fields {
    let mut fields = Fields::default();
    headers
        .iter()
        .for_each(|header| fields.push(header.name, header.value));
    fields
}

/// Returns authority and path of a target; one that is neither absolute nor a path is none.
fn split_target(target: &str) -> Option<(Option<&str>, &str)> {
    if target.starts_with('/') || target == "*" {
        return Some((None, target));
    }
    let scheme = target.get(..7)?;
    if !scheme.eq_ignore_ascii_case("http://") {
        return None;
    }
    let rest = &target[7..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let path = if rest[end..].starts_with('/') {
        &rest[end..]
    } else {
        "/"
    };
    Some((Some(&rest[..end]), path))
}

/// Returns the length that the fields tell, which is the same in all of them.
fn length(fields: &Fields) -> Result<Option<u64>, Malformed> {
    let mut known = None;
    for value in fields.all("content-length") {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = core::str::from_utf8(value).ok().filter(|_| is_number);
        let len = text
            .and_then(|text| text.parse().ok())
            .ok_or(Malformed::BadRequest)?;
        if known.is_some_and(|known| known != len) {
            return Err(Malformed::BadRequest);
        }
        known = Some(len);
    }
    Ok(known)
}

fn chunked(fields: &Fields) -> Result<Framing, Malformed> {
    let mut codings = fields.list("transfer-encoding");
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(Malformed::NotImplemented),
    }
}

fn keeps_alive(fields: &Fields, is_1_1: bool) -> bool {
    let says = |wanted: &str| {
        fields
            .list("connection")
            .any(|said| said.eq_ignore_ascii_case(wanted))
    };
    match is_1_1 {
        true => !says("close"),
        false => says("keep-alive") && !says("close"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn request(fields: &str) -> Result<Request, Malformed> {
        let head = format!("GET / HTTP/1.1\r\nHost: A\r\n{fields}\r\n");
        Request::parse(head.as_bytes()).map(|parsed| parsed.expect("complete").0)
    }

    #[test]
    fn a_target_is_a_path_whatever_its_form() {
        for (target, host, path) in [
            ("/a?b", "h:80", "/a?b"),
            ("http://Other/x", "other", "/x"),
            ("HTTP://other:81", "other:81", "/"),
            ("*", "h:80", "*"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: h:80\r\n\r\n");
            let (request, len) = Request::parse(head.as_bytes()).unwrap().unwrap();
            assert_eq!(
                (request.host.as_str(), request.target.as_str()),
                (host, path)
            );
            assert_eq!(len, head.len());
        }
        for head in [
            "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert_eq!(
                Request::parse(head.as_bytes()),
                Err(Malformed::BadRequest),
                "{head:?}"
            );
        }
        assert_eq!(
            Request::parse(b"GET / HTTP/2.0\r\n\r\n"),
            Err(Malformed::Version)
        );
    }

    #[test]
    fn contradictions_about_the_length_are_refused() {
        for (fields, expected) in [
            ("", Ok(Framing::Length(0))),
            ("Content-Length: 5\r\n", Ok(Framing::Length(5))),
            (
                "Content-Length: 5\r\nContent-Length: 5\r\n",
                Ok(Framing::Length(5)),
            ),
            (
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                Err(Malformed::BadRequest),
            ),
            ("Content-Length: +5\r\n", Err(Malformed::BadRequest)),
            ("Content-Length: 5, 5\r\n", Err(Malformed::BadRequest)),
            (
                "Content-Length: 99999999999999999999\r\n",
                Err(Malformed::BadRequest),
            ),
            ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            (
                "Transfer-Encoding: gzip, chunked\r\n",
                Err(Malformed::NotImplemented),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                Err(Malformed::BadRequest),
            ),
        ] {
            assert_eq!(
                request(fields).and_then(|request| request.framing()),
                expected,
                "{fields}"
            );
        }
        assert!(request("Content-Length : 5\r\n").is_err());
        assert!(request("A: b\r\n c\r\n").is_err(), "a folded line");
    }

    #[test]
    fn a_head_without_end_is_refused_in_the_end() {
        let endless = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(HEAD_MAX));
        assert_eq!(Request::parse(endless.as_bytes()), Err(Malformed::TooLarge));
        assert_eq!(Request::parse(&endless.as_bytes()[..100]), Ok(None));
        let many = "A: b\r\n".repeat(FIELDS_MAX);
        assert_eq!(request(&many), Err(Malformed::TooLarge));
    }

    #[test]
    fn answers_without_bodies_have_none() {
        let parse = |head: &str| Response::parse(head.as_bytes()).unwrap().unwrap().0;
        let ok = parse("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
        assert_eq!(ok.framing("GET"), Ok(Framing::Length(7)));
        assert_eq!(ok.framing("HEAD"), Ok(Framing::Length(0)));
        let endless = parse("HTTP/1.0 200 OK\r\n\r\n");
        assert_eq!(endless.framing("GET"), Ok(Framing::UntilClose));
        assert!(!endless.keeps_alive() && ok.keeps_alive());
        let same = parse("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
        assert_eq!(same.framing("GET"), Ok(Framing::Length(0)));
    }
}
