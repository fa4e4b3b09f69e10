//! HTTP/1.1, as much as notes need: one request after the other on a connection.

use crate::store::{Failure, Notes};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use denali_rt::io::Write;
use denali_rt::net::TcpStream;

/// Longest head of a request, and longest body, in bytes.
const HEAD_MAX: usize = 2048;
const BODY_MAX: usize = 1024;

/// How long a client may keep silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

/// An answer.
struct Response {
    status: &'static str,
    body: Vec<u8>,
}

impl Response {
    const fn empty(status: &'static str) -> Self {
        Self {
            status,
            body: Vec::new(),
        }
    }
}

/// Serves a client until it goes, or sends what is no request.
pub(crate) fn serve(mut stream: TcpStream, notes: &Notes) {
    if stream.set_read_timeout(Some(PATIENCE)).is_err() {
        return;
    }
    let mut buffer = Vec::new();
    loop {
        let response = match receive(&mut stream, &mut buffer) {
            Ok(Some(request)) => respond(&request, notes),
            Ok(None) => return,
            Err(status) => {
                // The client is gone after this either way.
                let _ = send(&mut stream, &Response::empty(status));
                return;
            }
        };
        if send(&mut stream, &response).is_err() {
            return;
        }
    }
}

/// Reads a request; what follows it stays in `buffer`. `None` if the client has no more.
fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Request>, &'static str> {
    loop {
        if let Some((request, length)) = parse(buffer)? {
            buffer.drain(..length);
            return Ok(Some(request));
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(length) => buffer.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
        if buffer.len() > HEAD_MAX + BODY_MAX {
            return Err("413 Content Too Large");
        }
    }
}

/// Returns the request in `bytes` and its length, if it is whole.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, &'static str> {
    const BAD: &str = "400 Bad Request";
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut fields);
    let start = match head.parse(bytes).map_err(|_| BAD)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let field = |name: &str| {
        let mut fields = head.headers.iter();
        fields.find(|field| field.name.eq_ignore_ascii_case(name))
    };
    if field("transfer-encoding").is_some() {
        return Err("411 Length Required");
    }
    let length = match field("content-length") {
        None => 0,
        Some(field) => {
            let digits = core::str::from_utf8(field.value).map_err(|_| BAD)?;
            digits.trim().parse::<usize>().map_err(|_| BAD)?
        }
    };
    if length > BODY_MAX {
        return Err("413 Content Too Large");
    }
    let Some(body) = bytes.get(start..start + length) else {
        return Ok(None);
    };
    let request = Request {
        method: head.method.unwrap_or_default().into(),
        path: head.path.unwrap_or_default().into(),
        body: body.to_vec(),
    };
    Ok(Some((request, start + length)))
}

fn respond(request: &Request, notes: &Notes) -> Response {
    let name = request.path.trim_start_matches('/');
    let done = match (request.method.as_str(), name) {
        ("GET", "") => notes.names().map(|names| Some(names.into_bytes())),
        ("GET", name) => match notes.get(name) {
            Ok(None) => return Response::empty("404 Not Found"),
            found => found,
        },
        ("PUT" | "POST" | "DELETE", "") => return Response::empty("400 Bad Request"),
        ("PUT" | "POST", name) => notes.set(name, Some(&request.body)).map(|()| None),
        ("DELETE", name) => notes.set(name, None).map(|()| None),
        _ => return Response::empty("405 Method Not Allowed"),
    };
    match done {
        Ok(Some(body)) => Response {
            status: "200 OK",
            body,
        },
        Ok(None) => Response::empty("204 No Content"),
        Err(Failure::TooLong) => Response::empty("414 URI Too Long"),
        Err(Failure::Full) => Response::empty("507 Insufficient Storage"),
        Err(failure) => {
            log::error!("{} {}: {failure:?}", request.method, request.path);
            Response::empty("500 Internal Server Error")
        }
    }
}

fn send(stream: &mut TcpStream, response: &Response) -> denali_rt::io::Result<()> {
    let Response { status, body } = response;
    let length = if status.starts_with("204") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let head = format!("HTTP/1.1 {status}\r\n{length}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<(String, usize)> {
        let parsed = parse(text.as_bytes()).expect("sound");
        parsed.map(|(request, length)| (request.path, length))
    }

    #[test]
    fn a_request_is_taken_when_it_is_whole() {
        let text = "PUT /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET";
        for end in 0..text.len() - 3 {
            assert_eq!(whole(&text[..end]), None, "{end}");
        }
        assert_eq!(whole(text), Some(("/a".into(), text.len() - 3)));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "nonsense\r\n\r\n",
            "PUT / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
            "PUT / HTTP/1.1\r\ncontent-length: 9999\r\n\r\n",
            "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
