//! Answers to a client.

use super::NAME;
use super::client::Keep;
use super::onward::via;
use crate::caching::{Entry, Moment};
use crate::http::{
    Body, Fields, Framing, Input, Request, Response, Stream, format_date, parse_date,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use denali_rt::io;

/// Returns the name of a status that this proxy answers with itself.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}

/// Says why there is no answer, after which the connection ends.
pub(crate) fn refuse<S: Stream>(stream: &mut S, status: u16) -> io::Result<()> {
    let reason = reason(status);
    let body = format!("{status} {reason}\n");
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}

/// Answers with text of our own.
pub(super) fn say<S: Stream>(
    stream: &mut S,
    request: &Request,
    status: u16,
    kind: &str,
    text: &str,
) -> io::Result<Keep> {
    let mut fields = Fields::default();
    fields.push("Content-Type", kind.as_bytes());
    fields.push("Cache-Control", b"no-store");
    fields.push("Content-Length", format!("{}", text.len()).as_bytes());
    write_head(stream, status, reason(status), &fields, connection(request))?;
    stream.write_all(text.as_bytes())?;
    Ok(Keep::Open)
}

/// Answers with a stored response, or what the client wants of it.
pub(super) fn serve<S: Stream>(
    stream: &mut S,
    request: &Request,
    entry: &Entry,
    how: &str,
    now: Moment,
) -> io::Result<Keep> {
    let response = &entry.response;
    let mut fields = response.fields.clone();
    fields.remove("content-length");
    fields.set("Age", format!("{}", entry.age(now)).as_bytes());
    let ttl = match entry.freshness(now) {
        Ok(left) => format!("{left}"),
        Err(stale) => format!("-{stale}"),
    };
    finish(
        &mut fields,
        response.is_1_1,
        &format!("{how}; ttl={ttl}"),
        now,
    );
    let len = entry.content.len();
    if response.status == 200 && is_known(request, &response.fields) {
        fields.remove("content-type");
        write_head(stream, 304, reason(304), &fields, connection(request))?;
        return Ok(Keep::Open);
    }
    let (status, range) = match wanted_range(request, &response.fields, len) {
        Wanted::All => (response.status, 0..len),
        Wanted::Part(range) if response.status == 200 => {
            let said = format!("bytes {}-{}/{len}", range.start, range.end - 1);
            fields.set("Content-Range", said.as_bytes());
            (206, range)
        }
        Wanted::Nothing if response.status == 200 => {
            fields.set("Content-Range", format!("bytes */{len}").as_bytes());
            (416, 0..0)
        }
        Wanted::Part(_) | Wanted::Nothing => (response.status, 0..len),
    };
    if response.status != 204 {
        fields.push("Content-Length", format!("{}", range.len()).as_bytes());
    }
    let reason = if status == response.status {
        &*response.reason
    } else {
        reason(status)
    };
    write_head(stream, status, reason, &fields, connection(request))?;
    if request.method != "HEAD" {
        for piece in entry.content.pieces(range) {
            stream.write_all(piece)?;
        }
    }
    Ok(Keep::Open)
}

/// What of a response goes through to a client.
#[derive(Debug)]
pub(super) struct Through<'a> {
    /// What has been read of the body already.
    pub(super) read: &'a crate::caching::Content,
    /// Bytes at the start of the input that are of the body.
    pub(super) pending: usize,
    pub(super) body: &'a mut Body,
    pub(super) framing: Framing,
}

/// Answers with a response that comes from the origin meanwhile.
pub(super) fn pass_through<S: Stream, O: Stream>(
    stream: &mut S,
    request: &Request,
    response: &Response,
    (how, now): (&str, Moment),
    (origin, input): (&mut O, &mut Input),
    through: Through<'_>,
) -> io::Result<Keep> {
    let Through {
        read,
        mut pending,
        body,
        framing,
    } = through;
    let mut fields = response.fields.clone();
    fields.remove_hop_by_hop();
    finish(&mut fields, response.is_1_1, how, now);
    let has_body = request.method != "HEAD" && !matches!(response.status, 204 | 304);
    let is_chunked = has_body && !matches!(framing, Framing::Length(_)) && request.is_1_1;
    let until_close = has_body && !matches!(framing, Framing::Length(_)) && !request.is_1_1;
    if is_chunked {
        fields.push("Transfer-Encoding", b"chunked");
    } else if has_body && let Framing::Length(len) = framing {
        fields.set("Content-Length", format!("{len}").as_bytes());
    }
    let (keep, connection) = match until_close {
        true => (Keep::Close, CLOSE),
        false => (Keep::Open, connection(request)),
    };
    write_head(
        stream,
        response.status,
        &response.reason,
        &fields,
        connection,
    )?;
    let write = |stream: &mut S, piece: &[u8]| {
        if is_chunked {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
        }
        stream.write_all(piece)?;
        if is_chunked {
            stream.write_all(b"\r\n")
        } else {
            Ok(())
        }
    };
    for piece in read.pieces(0..read.len()) {
        write(stream, piece)?;
    }
    loop {
        let len = match pending {
            0 => body.next(input, origin)?,
            pending => pending,
        };
        pending = 0;
        if len == 0 {
            break;
        }
        write(stream, &input.unread()[..len])?;
        input.consume(len);
    }
    if is_chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(keep)
}

/// Adds what a proxy has to say.
fn finish(fields: &mut Fields, is_1_1: bool, how: &str, now: Moment) {
    if !fields.has("date") {
        fields.push("Date", format_date(now.unix).as_bytes());
    }
    via(fields, is_1_1);
    fields.push("Cache-Status", format!("{NAME}; {how}").as_bytes());
}

/// What tells a client that the connection ends.
const CLOSE: &str = "Connection: close\r\n";

/// Returns what a client has to be told of the connection; those of old take it for closed unless
/// told otherwise.
fn connection(request: &Request) -> &'static str {
    match (request.keeps_alive(), request.is_1_1) {
        (true, true) => "",
        (true, false) => "Connection: keep-alive\r\n",
        (false, _) => CLOSE,
    }
}

fn write_head<S: Stream>(
    stream: &mut S,
    status: u16,
    reason: &str,
    fields: &Fields,
    connection: &str,
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
    for (name, value) in fields.iter() {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(connection.as_bytes());
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head)
}

/// Returns whether the client has the same response already (RFC 9110 §13.2.2).
fn is_known(request: &Request, stored: &Fields) -> bool {
    if request.fields.has("if-none-match") {
        let tag = stored.text("etag").map(weak);
        let mut known = request.fields.list("if-none-match");
        return known.any(|known| known == "*" || tag == Some(weak(known)));
    }
    let date = |fields: &Fields, name| parse_date(fields.text(name)?);
    match (
        date(&request.fields, "if-modified-since"),
        date(stored, "last-modified"),
    ) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// What of a body a client wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<usize>),
    Nothing,
}

/// Returns the range that a request asks for (RFC 9110 §14.2). Several at once are answered with
/// everything, as a server may.
fn wanted_range(request: &Request, stored: &Fields, len: usize) -> Wanted {
    let is_current = match request.fields.text("if-range") {
        None => true,
        Some(tag) => !tag.starts_with("W/") && stored.text("etag") == Some(tag),
    };
    let spec = request
        .fields
        .text("range")
        .and_then(|range| range.strip_prefix("bytes="));
    match spec.and_then(|spec| spec.trim().split_once('-')) {
        Some((first, last)) if is_current && request.method == "GET" => part(first, last, len),
        _ => Wanted::All,
    }
}

fn part(first: &str, last: &str, len: usize) -> Wanted {
    let number = |text: &str| -> Option<usize> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(usize::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(count)) if first.is_empty() => len.saturating_sub(count)..len,
        _ => return Wanted::All,
    };
    if range.is_empty() {
        Wanted::Nothing
    } else {
        Wanted::Part(range)
    }
}

/// Returns statistics as JSON.
pub(super) fn json(numbers: &[(&str, u64)]) -> String {
    let members: Vec<_> = numbers
        .iter()
        .map(|(name, number)| format!("\"{name}\":{number}"))
        .collect();
    format!("{{{}}}\n", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_client_asked_for_and_there_is() {
        for (first, last, expected) in [
            ("0", "9", Wanted::Part(0..10)),
            ("90", "", Wanted::Part(90..100)),
            ("90", "1000", Wanted::Part(90..100)),
            ("", "5", Wanted::Part(95..100)),
            ("", "500", Wanted::Part(0..100)),
            ("0", "99999999999999999999999", Wanted::Part(0..100)),
            ("100", "", Wanted::Nothing),
            ("", "0", Wanted::Nothing),
            ("5", "4", Wanted::All),
            ("", "", Wanted::All),
            ("x", "", Wanted::All),
            ("0", "1,3-4", Wanted::All),
        ] {
            assert_eq!(part(first, last, 100), expected, "{first}-{last}");
        }
    }
}
