//! Metrics over HTTP, for whoever reaches the supervisor's address: nothing there is secret, and
//! nothing can be changed.
//!
//! One client at a time, with a bound on what it sends and on how long that takes.

use super::write;
use crate::shared::Shared;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use denali_rt::io::{Error, Write as _};
use denali_rt::net::{TcpListener, TcpStream};
use denali_rt::thread;

/// Longest head of a request in bytes.
const HEAD_LEN_MAX: usize = 2048;

/// How long a client may be silent, or take nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads of one head, at most: a client that sends it byte by byte is slow on purpose.
const READS_MAX: usize = 64;

/// How long to wait before the next try when a connection cannot be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves metrics on `port` for ever.
///
/// # Errors
///
/// The port cannot be bound.
pub fn serve(port: u16, shared: &Shared) -> Result<(), String> {
    let listener = TcpListener::bind(port)
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                if let Err(error) = answer(stream, shared) {
                    log::debug!("{peer}: {error}");
                }
            }
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                thread::sleep(PAUSE);
            }
        }
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) -> Result<(), Error> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = [0; HEAD_LEN_MAX];
    let mut filled = 0;
    for _ in 0..READS_MAX {
        let Some(room) = head.get_mut(filled..).filter(|room| !room.is_empty()) else {
            break;
        };
        let read = stream.read(room)?;
        filled += read;
        let so_far = head.get(..filled).unwrap_or_default();
        if read == 0 || so_far.windows(4).any(|it| it == b"\r\n\r\n") {
            break;
        }
    }
    let head = head.get(..filled).unwrap_or_default();
    let status = status_of(head);
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(response.as_bytes())?;
    if status != OK {
        return stream.write_all(b"metrics are at /metrics\n");
    }
    write(shared, &mut |text| {
        let written = stream.write_all(text.as_bytes());
        thread::yield_now();
        written
    })
}

const OK: &str = "200 OK";

/// Returns the status of the answer to a request (RFC 9112 §3).
fn status_of(head: &[u8]) -> &'static str {
    if !head.ends_with(b"\r\n\r\n") {
        return "400 Bad Request";
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(b"GET"), Some(b"/metrics"), Some(b"HTTP/1.1" | b"HTTP/1.0"), None) => OK,
        (Some(b"GET"), Some(_), Some(_), None) => "404 Not Found",
        (Some(_), Some(_), Some(_), None) => "405 Method Not Allowed",
        _ => "400 Bad Request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metrics_are_told() {
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", "200"),
            ("GET /metrics HTTP/1.0\r\n\r\n", "200"),
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET /metrics\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1 x\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\n", "400"),
            ("", "400"),
            ("\r\n\r\n", "400"),
        ] {
            assert!(status_of(head.as_bytes()).starts_with(expected), "{head:?}");
        }
    }
}
