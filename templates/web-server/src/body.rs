//! Reads and drops the bodies of requests, as no route takes one (RFC 9112 §6, §7.1).

use crate::connection::Peer;
use crate::input::Input;
use crate::request::{Malformed, Stop};
use denali_rt::io::ErrorKind;

/// Longest body in bytes.
pub const BODY_MAX: u64 = 64 * 1024;

/// Longest line between chunks in bytes.
const LINE_MAX: usize = 1024;

/// Most trailer fields behind the last chunk.
const TRAILERS_MAX: usize = 64;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It has so many bytes; at most [`BODY_MAX`].
    Known(u64),
    /// Each chunk says how long it is.
    Chunked,
}

/// Drops a body.
///
/// # Errors
///
/// It is malformed or too long, or the peer does not send it.
pub fn skip(length: Length, input: &mut Input, peer: &mut impl Peer) -> Result<(), Stop> {
    match length {
        Length::Known(len) => Ok(input.skip(len, peer)?),
        Length::Chunked => skip_chunks(input, peer),
    }
}

fn skip_chunks(input: &mut Input, peer: &mut impl Peer) -> Result<(), Stop> {
    let mut total = 0_u64;
    loop {
        let (line, size) = loop {
            match httparse::parse_chunk_size(input.bytes()) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) => more(input, peer)?,
                Err(_) => return Err(Malformed::BadRequest.into()),
            }
        };
        input.consume(line);
        if size == 0 {
            return skip_trailers(input, peer);
        }
        total = total.saturating_add(size);
        if total > BODY_MAX {
            return Err(Malformed::ContentTooLarge.into());
        }
        input.skip(size, peer)?;
        while input.bytes().len() < 2 {
            more(input, peer)?;
        }
        if !input.bytes().starts_with(b"\r\n") {
            return Err(Malformed::BadRequest.into());
        }
        input.consume(2);
    }
}

/// Drops lines up to and with the empty one.
fn skip_trailers(input: &mut Input, peer: &mut impl Peer) -> Result<(), Stop> {
    for _ in 0..=TRAILERS_MAX {
        let end = loop {
            match input.bytes().iter().position(|byte| *byte == b'\n') {
                Some(end) => break end,
                None => more(input, peer)?,
            }
        };
        let empty = matches!(&input.bytes()[..end], b"" | b"\r");
        input.consume(end + 1);
        if empty {
            return Ok(());
        }
    }
    Err(Malformed::HeaderFieldsTooLarge.into())
}

/// Waits for more of a line.
fn more(input: &mut Input, peer: &mut impl Peer) -> Result<(), Stop> {
    if input.bytes().len() > LINE_MAX {
        return Err(Malformed::BadRequest.into());
    }
    match input.fill(peer)? {
        0 => Err(Stop::Io(ErrorKind::UnexpectedEof.into())),
        _ => Ok(()),
    }
}
