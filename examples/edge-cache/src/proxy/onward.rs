//! Heads of requests to the origin.

use super::NAME;
use crate::caching::Entry;
use crate::http::{Fields, Framing, Request};
use crate::origin::request_line;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Times a request may have come through a proxy like this before it counts as going round.
const PASSAGES_MAX: usize = 4;

/// Fields that ask for less than the whole response.
const PARTIAL: [&str; 4] = ["range", "if-range", "if-none-match", "if-modified-since"];

/// Returns whether a request goes round in circles.
pub(super) fn goes_round(request: &Request) -> bool {
    let ours = request
        .fields
        .list("via")
        .filter(|via| via.split(' ').nth(1) == Some(NAME));
    ours.count() >= PASSAGES_MAX
}

/// Writes `Via`, after what others have written there.
pub(super) fn via(fields: &mut Fields, is_1_1: bool) {
    let protocol = if is_1_1 { "1.1" } else { "1.0" };
    fields.push("Via", format!("{protocol} {NAME}").as_bytes());
}

/// Returns the head of a request for the whole response, or, if there is one already, for whether
/// it is still the same.
pub(super) fn whole(request: &Request, address: &str, stored: Option<&Entry>) -> Vec<u8> {
    let mut fields = end_to_end(request, address);
    PARTIAL.iter().for_each(|name| fields.remove(name));
    if let Some(stored) = stored {
        let validators = &stored.response.fields;
        if let Some(tag) = validators.get("etag") {
            fields.push("If-None-Match", tag);
        }
        if let Some(date) = validators.get("last-modified") {
            fields.push("If-Modified-Since", date);
        }
    }
    encode(request, "GET", &fields, None)
}

/// Returns the head of a request as it came, with a body framed like this.
pub(super) fn as_it_is(request: &Request, address: &str, framing: Framing) -> Vec<u8> {
    let fields = end_to_end(request, address);
    let framing = match framing {
        Framing::Length(0) if !request.fields.has("content-length") => None,
        Framing::Length(len) => Some(format!("Content-Length: {len}\r\n")),
        Framing::Chunked | Framing::UntilClose => Some("Transfer-Encoding: chunked\r\n".into()),
    };
    encode(request, &request.method, &fields, framing)
}

fn end_to_end(request: &Request, address: &str) -> Fields {
    let mut fields = request.fields.clone();
    fields.remove_hop_by_hop();
    for name in ["host", "content-length", "expect"] {
        fields.remove(name);
    }
    via(&mut fields, request.is_1_1);
    let forwarded: Vec<&str> = request
        .fields
        .list("x-forwarded-for")
        .chain([address])
        .collect();
    fields.set("X-Forwarded-For", forwarded.join(", ").as_bytes());
    fields
}

fn encode(request: &Request, method: &str, fields: &Fields, framing: Option<String>) -> Vec<u8> {
    let mut head = request_line(method, &request.target).into_bytes();
    head.extend_from_slice(format!("Host: {}\r\n", request.host).as_bytes());
    for (name, value) in fields.iter() {
        head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend_from_slice(framing.unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}
