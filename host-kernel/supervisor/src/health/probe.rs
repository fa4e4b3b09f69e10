//! Asking a service over the network how it is.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;
use denali_protocol::Check;
use denali_rt::io::{Error, Write as _};
use denali_rt::net::TcpStream;
use denali_rt::thread;

/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(2);

/// Bytes of an answer that say how it is: `HTTP/1.1 200`.
const STATUS_LEN: usize = 12;

/// What asks, and waits between.
pub trait Probe: fmt::Debug {
    /// Asks once.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    fn ask(&self, address: Ipv4Addr, check: &Check) -> Result<(), String>;

    /// Waits.
    fn pause(&self, duration: Duration);
}

/// The network of this VM.
#[derive(Clone, Copy, Debug)]
pub struct Network;

impl Probe for Network {
    fn ask(&self, address: Ipv4Addr, check: &Check) -> Result<(), String> {
        match check {
            Check::Tcp { port } => connect(address, *port).map(drop),
            Check::Http { port, path } => {
                let stream = connect(address, *port)?;
                get(stream, path).map_err(|why| format!("GET {path}: {why}"))
            }
            Check::Ready => Err("it is asked for on its console".into()),
        }
    }

    fn pause(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

fn connect(address: Ipv4Addr, port: u16) -> Result<TcpStream, String> {
    let connected = TcpStream::connect_timeout((address, port), TRY_MAX);
    connected.map_err(|error| format!("port {port}: {error}"))
}

/// Asks for a path; any status from 200 to 399 is healthy.
fn get(mut stream: TcpStream, path: &str) -> Result<(), String> {
    let failed = |error: Error| error.to_string();
    stream.set_read_timeout(Some(TRY_MAX)).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: health\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut head = [0; STATUS_LEN];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest).map_err(failed)? {
            0 => return Err("the connection ended".into()),
            length => filled += length,
        }
    }
    if is_fine(head) {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&head).escape_debug().to_string())
}

/// Returns whether an answer begins with a status from 200 to 399 (RFC 9112 §4).
fn is_fine(head: [u8; STATUS_LEN]) -> bool {
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        _,
        b' ',
        status @ ..,
    ] = head
    else {
        return false;
    };
    matches!(status[0], b'2' | b'3') && status.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_from_200_to_399_is_fine() {
        for fine in [b"HTTP/1.1 200", b"HTTP/1.0 204", b"HTTP/1.1 399"] {
            assert!(is_fine(*fine));
        }
        for wrong in [
            b"HTTP/1.1 199",
            b"HTTP/1.1 404",
            b"HTTP/1.1 503",
            b"HTTP/1.1 2x0",
            b"HTTP/2.0 200",
            b"SSH-2.0-Open",
        ] {
            assert!(!is_fine(*wrong));
        }
    }
}
