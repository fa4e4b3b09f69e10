//! What the server answers: the part to change first.

use crate::assets;
use crate::files;
use crate::request::{Malformed, Request};
use crate::response::{Response, Status};
use alloc::format;

const OK: Status = Status(200, "OK");
const NOT_FOUND: Status = Status(404, "Not Found");
const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");

/// Answers a request.
pub fn answer(request: &Request<'_>) -> Response {
    if !matches!(request.method, "GET" | "HEAD") {
        return Response::bare(METHOD_NOT_ALLOWED).field("Allow", "GET, HEAD");
    }
    match &*request.path {
        "/healthz" => Response::text(OK, "ok"),
        path => match path.strip_prefix("/hello/") {
            Some(name) if !name.is_empty() => hello(name),
            _ => match assets::find(path) {
                Some(asset) => files::answer(asset, request),
                None => Response::bare(NOT_FOUND),
            },
        },
    }
}

/// Answers something that is no request.
pub fn answer_malformed(malformed: Malformed) -> Response {
    Response::bare(match malformed {
        Malformed::BadRequest => Status(400, "Bad Request"),
        Malformed::RequestTimeout => Status(408, "Request Timeout"),
        Malformed::ContentTooLarge => Status(413, "Content Too Large"),
        Malformed::ExpectationFailed => Status(417, "Expectation Failed"),
        Malformed::HeaderFieldsTooLarge => Status(431, "Request Header Fields Too Large"),
        Malformed::NotImplemented => Status(501, "Not Implemented"),
        Malformed::VersionNotSupported => Status(505, "HTTP Version Not Supported"),
    })
}

fn hello(name: &str) -> Response {
    let uptime = denali_rt::time::Instant::now().as_ns() / 1_000_000_000;
    Response::text(OK, &format!("Hello, {name}! This host has been up for {uptime} s."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &'static str, path: &'static str) -> Request<'static> {
        let mut request = Request::with("");
        (request.method, request.path) = (method, path.into());
        request
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
        let text = response.pieces().next().and_then(|piece| core::str::from_utf8(piece).ok());
        assert!(text.is_some_and(|text| text.starts_with("Hello, VM! This host has been up for ")));
    }
}
