//! A plain HTTP client that sees every byte: what a test sends and gets is what is on the wire.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest silence of a server that is not yet an error.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of the first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(found, _)| found == name)?;
        Some(field.1.as_str())
    }

    /// Returns the body as text.
    ///
    /// # Panics
    ///
    /// If it is no UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }
}

/// Whether the response carries the body its head announces: not so for `HEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// It does.
    Sent,
    /// It ends with its head.
    Omitted,
}

/// A connection, for one to a published port of this machine.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nothing listens there.
    pub fn open(port: u16) -> io::Result<Self> {
        Self::to((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Connects to another machine.
    ///
    /// # Errors
    ///
    /// Nothing listens there.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn request(&mut self, method: &str, path: &str, fields: &[&str]) -> io::Result<()> {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
        ))
    }

    /// Receives one response.
    ///
    /// # Errors
    ///
    /// The connection ends or is silent too long, or what arrives is no response.
    pub fn receive(&mut self, body: Body) -> io::Result<Response> {
        let head_len = loop {
            match find(&self.received, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.fill()?,
            }
        };
        let head: Vec<u8> = self.received.drain(..head_len).collect();
        let mut response = parse_head(&head).ok_or_else(|| malformed(&head))?;
        let announced = response.field("content-length").map_or(Ok(0), str::parse);
        let len = match (body, response.status) {
            (Body::Omitted, _) | (_, 100 | 304) => 0,
            (Body::Sent, _) => announced.map_err(|_| malformed(&head))?,
        };
        while self.received.len() < len {
            self.fill()?;
        }
        response.body = self.received.drain(..len).collect();
        Ok(response)
    }

    /// Returns whether the server closed the connection without sending more.
    ///
    /// # Errors
    ///
    /// The server is silent too long.
    pub fn ends(&mut self) -> io::Result<bool> {
        if !self.received.is_empty() {
            return Ok(false);
        }
        match self.fill() {
            Ok(()) => Ok(false),
            Err(error) if is_end(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sends no more; what the server still sends can be received.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            len => {
                self.received.extend_from_slice(&bytes[..len]);
                Ok(())
            }
        }
    }
}

/// Sends one `GET` on a connection of its own.
///
/// # Errors
///
/// Nobody answers.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    let mut connection = Connection::open(port)?;
    connection.request("GET", path, &["Connection: close"])?;
    connection.receive(Body::Sent)
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
    )
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}

fn malformed(head: &[u8]) -> io::Error {
    let words = format!("no HTTP response: {}", String::from_utf8_lossy(head));
    io::Error::new(ErrorKind::InvalidData, words)
}

fn parse_head(head: &[u8]) -> Option<Response> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let fields = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    Some(Response {
        status,
        fields,
        body: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_taken_apart() {
        let response = parse_head(b"HTTP/1.1 404 Not Found\r\nETag: \"a:b\"\r\n\r\n").unwrap();
        assert_eq!(
            (response.status, response.field("etag")),
            (404, Some("\"a:b\""))
        );
        assert_eq!(parse_head(b"HTTP/1.1 2\r\n\r\n"), None);
        assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), None);
    }
}
