//! Bodies with a length, in chunks, or until the end of the connection (RFC 9112 §6, §7).

use super::input::Input;
use denali_rt::io::{self, Error, ErrorKind, Read};

/// Longest line between chunks, and longest trailer section, in bytes.
const LINE_MAX: usize = 4 * 1024;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks with their lengths.
    Chunked,
    /// Everything until the peer closes.
    UntilClose,
}

/// A body that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes are left.
    Rest(u64),
    /// A line with the length of a chunk comes.
    ChunkLen,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// The line end behind a chunk comes.
    ChunkEnd,
    /// Trailers come, of which so many bytes have been dropped.
    Trailers(usize),
    UntilClose,
    Done,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(len) => State::Rest(len),
            Framing::Chunked => State::ChunkLen,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Returns whether all of it has been read.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Waits for more of the body. Returns how many bytes at the start of `input` are of it, which
    /// the caller consumes; 0 is the end.
    ///
    /// # Errors
    ///
    /// What reading returns, `UnexpectedEof` if the peer ends it early, `InvalidData` if chunks are
    /// wrong.
    pub(crate) fn next<S: Read<Error = Error>>(
        &mut self,
        input: &mut Input,
        stream: &mut S,
    ) -> io::Result<usize> {
        loop {
            match self.state {
                State::Done => return Ok(0),
                State::Rest(left) | State::Chunk(left) => {
                    if input.unread().is_empty() {
                        more(input, stream)?;
                    }
                    let here = input.unread().len();
                    let len = usize::try_from(left).map_or(here, |left| left.min(here));
                    let left = left - len as u64;
                    self.state = match (self.state, left) {
                        (State::Rest(_), 0) => State::Done,
                        (State::Rest(_), left) => State::Rest(left),
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::Chunk(left),
                    };
                    return Ok(len);
                }
                State::UntilClose => {
                    if input.unread().is_empty() && input.fill(stream)? == 0 {
                        self.state = State::Done;
                    } else {
                        return Ok(input.unread().len());
                    }
                }
                State::ChunkLen | State::ChunkEnd | State::Trailers(_) => {
                    self.between_chunks(input, stream)?;
                }
            }
        }
    }

    /// Reads a line between chunks.
    fn between_chunks<S: Read<Error = Error>>(
        &mut self,
        input: &mut Input,
        stream: &mut S,
    ) -> io::Result<()> {
        let end = loop {
            match input.unread().iter().position(|byte| *byte == b'\n') {
                Some(end) => break end,
                None if input.unread().len() >= LINE_MAX => return Err(invalid("a line too long")),
                None => more(input, stream)?,
            }
        };
        // A line feed alone is how chunks are read one way here and another way there.
        let line = input.unread()[..end].strip_suffix(b"\r");
        let line = line.ok_or(invalid("a line without a carriage return"))?;
        self.state = match self.state {
            State::ChunkLen => match chunk_len(line)? {
                0 => State::Trailers(0),
                len => State::Chunk(len),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkLen,
            State::ChunkEnd => return Err(invalid("a chunk that is longer than it said")),
            State::Trailers(_) if line.is_empty() => State::Done,
            State::Trailers(dropped) if dropped + end < LINE_MAX => State::Trailers(dropped + end),
            _ => return Err(invalid("trailers too long")),
        };
        input.consume(end + 1);
        Ok(())
    }
}

/// Returns the length in a line such as `1a;extension`.
fn chunk_len(line: &[u8]) -> io::Result<u64> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    let text = core::str::from_utf8(digits).ok();
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let len = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    len.ok_or(invalid("a chunk without a length"))
}

fn more<S: Read<Error = Error>>(input: &mut Input, stream: &mut S) -> io::Result<()> {
    match input.fill(stream)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

const fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Pieces, Random};
    use alloc::vec::Vec;

    fn read(framing: Framing, bytes: &[u8], random: &mut Random) -> io::Result<Vec<u8>> {
        let mut stream = Pieces::new(bytes, random.clone());
        let (mut body, mut input) = (Body::new(framing), Input::default());
        let mut read = Vec::new();
        loop {
            let len = body.next(&mut input, &mut stream)?;
            if len == 0 {
                assert!(body.is_done());
                return Ok(read);
            }
            read.extend_from_slice(&input.unread()[..len]);
            input.consume(len);
        }
    }

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        let mut random = Random::new(1);
        for round in 0..500 {
            let contents: Vec<u8> = (0..random.below(5_000)).map(|_| random.byte()).collect();
            let mut chunked = Vec::new();
            for chunk in contents.chunks(1 + random.below(700)) {
                let len = alloc::format!("{:X};a=\"b\"\r\n", chunk.len());
                chunked.extend_from_slice(&[len.as_bytes(), chunk, b"\r\n"].concat());
            }
            chunked.extend_from_slice(b"0\r\nTrailer: x\r\n\r\nnext");
            let len = contents.len() as u64;
            for (framing, bytes) in [
                (Framing::Length(len), &contents),
                (Framing::UntilClose, &contents),
                (Framing::Chunked, &chunked),
            ] {
                assert_eq!(
                    read(framing, bytes, &mut random),
                    Ok(contents.clone()),
                    "{round}"
                );
            }
            let cut = &chunked[..random.below(chunked.len() - 6)];
            assert!(read(Framing::Chunked, cut, &mut random).is_err(), "{round}");
        }
    }

    #[test]
    fn wrong_chunks_are_refused() {
        for bytes in [
            &b"x\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b"+1\r\na\r\n0\r\n\r\n",
            b"0x1\r\na\r\n0\r\n\r\n",
            b"1\na\r\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"11111111111111111\r\n",
            &[b'1'; LINE_MAX + 1],
        ] {
            let result = read(Framing::Chunked, bytes, &mut Random::new(1));
            assert!(result.is_err(), "{bytes:?}");
        }
    }
}
