//! What the server answers: the part to change first.

use crate::assets::{self, Asset};
use crate::request::{Malformed, Request};
use crate::response::{Response, Status};
use alloc::borrow::Cow;
use alloc::format;

const OK: Status = Status(200, "OK");
const NOT_MODIFIED: Status = Status(304, "Not Modified");
const NOT_FOUND: Status = Status(404, "Not Found");
const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");

/// Answers a request.
pub fn answer(request: &Request) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response { allow: Some("GET, HEAD"), ..Response::bare(METHOD_NOT_ALLOWED) };
    }
    match request.path.as_str() {
        "/healthz" => Response::text(OK, "ok"),
        path => match path.strip_prefix("/hello/") {
            Some(name) if !name.is_empty() => hello(name),
            _ => match assets::find(path) {
                Some(asset) => file(asset, request),
                None => Response::bare(NOT_FOUND),
            },
        },
    }
}

/// Answers something that is no request.
pub fn answer_malformed(malformed: Malformed) -> Response {
    Response::bare(match malformed {
        Malformed::BadRequest => Status(400, "Bad Request"),
        Malformed::ContentTooLarge => Status(413, "Content Too Large"),
        Malformed::HeaderFieldsTooLarge => Status(431, "Request Header Fields Too Large"),
        Malformed::NotImplemented => Status(501, "Not Implemented"),
        Malformed::VersionNotSupported => Status(505, "HTTP Version Not Supported"),
    })
}

fn hello(name: &str) -> Response {
    let uptime = denali_rt::time::Instant::now().as_ns() / 1_000_000_000;
    Response::text(OK, &format!("Hello, {name}! This host has been up for {uptime} s."))
}

fn file(asset: &'static Asset, request: &Request) -> Response {
    let fresh = request.if_none_match.as_deref().is_some_and(|tags| matches(tags, asset.etag));
    Response {
        status: if fresh { NOT_MODIFIED } else { OK },
        media_type: asset.media_type,
        etag: Some(asset.etag),
        allow: None,
        body: Cow::Borrowed(asset.contents),
    }
}

/// Returns whether an `If-None-Match` field names `etag` (weak comparison, RFC 9110 §13.1.2).
fn matches(field: &str, etag: &str) -> bool {
    field.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        Request { method: method.into(), path: path.into(), ..Request::default() }
    }

    #[test]
    fn each_route_has_its_status() {
        for (method, path, code) in [
            ("GET", "/", 200),
            ("HEAD", "/style.css", 200),
            ("GET", "/healthz", 200),
            ("GET", "/hello/", 404),
            ("GET", "/../Cargo.toml", 404),
            ("POST", "/", 405),
        ] {
            assert_eq!(answer(&request(method, path)).status.0, code, "{method} {path}");
        }
    }

    /// `cargo denali test` runs this inside a VM.
    #[denali_rt::test]
    fn a_greeting_tells_how_long_the_host_has_been_up() {
        let response = answer(&request("GET", "/hello/VM"));
        let text = core::str::from_utf8(&response.body).expect("text");
        assert!(text.starts_with("Hello, VM! This host has been up for "), "{text}");
    }

    #[test]
    fn a_fresh_copy_is_not_sent_again() {
        let etag = answer(&request("GET", "/")).etag.expect("files have one");
        for (field, code) in [
            (etag.into(), 304),
            ("*".into(), 304),
            (format!("\"other\", W/{etag}"), 304),
            ("\"other\"".into(), 200),
        ] {
            let conditional = Request { if_none_match: Some(field), ..request("GET", "/") };
            assert_eq!(answer(&conditional).status.0, code);
        }
    }
}
