//! Writes responses (RFC 9112 §4, RFC 9110).

use crate::connection::{self, Peer};
use crate::date;
use crate::decimal;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use denali_rt::io::{self, ErrorKind};
use denali_rt::time::Instant;

/// Room for what is sent at once if it comes in parts: a usual head and a short body.
pub type Room = [u8; 1408];

/// Header fields most answers have at most.
const FIELDS: usize = 6;

/// A status code with its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16, pub &'static str);

/// One response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: Status,
    media_type: Cow<'static, str>,
    fields: Vec<(&'static str, Cow<'static, str>)>,
    body: Body,
}

/// What a response carries.
#[derive(Clone, Debug)]
pub enum Body {
    /// One piece.
    Whole(Cow<'static, [u8]>),
    /// Several, one behind the other.
    Pieces(Vec<Cow<'static, [u8]>>),
}

/// What goes into the answer besides the response itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Whether the request was `HEAD`: the head goes out as for `GET`, the body does not.
    pub head_only: bool,
    /// Whether the connection stays open.
    pub keep_alive: bool,
}

impl Response {
    /// Makes a response.
    pub fn new(
        status: Status,
        media_type: impl Into<Cow<'static, str>>,
        body: impl Into<Body>,
    ) -> Self {
        Self {
            status,
            media_type: media_type.into(),
            fields: Vec::with_capacity(FIELDS),
            body: body.into(),
        }
    }

    /// Makes a response with a plain-text body of one line.
    pub fn text(status: Status, line: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{line}\n"))
    }

    /// Makes a response that says no more than its status does.
    pub fn bare(status: Status) -> Self {
        Self::text(status, status.1)
    }

    /// Makes a response without a body.
    pub fn empty(status: Status) -> Self {
        Self::new(status, "", [].as_slice())
    }

    /// Adds a header field.
    pub fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Returns the pieces of the body.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let pieces = match &self.body {
            Body::Whole(whole) => core::slice::from_ref(whole),
            Body::Pieces(pieces) => pieces.as_slice(),
        };
        pieces.iter().map(|piece| &**piece)
    }

    /// Returns the value of a header field that was added.
    #[cfg(test)]
    pub fn value(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| *known == name);
        field.map(|(_, value)| &**value)
    }

    /// Writes the response, short parts joined in `room`. Returns how many bytes of the body it sent.
    ///
    /// # Errors
    ///
    /// What writing to `peer` returns, and [`ErrorKind::TimedOut`] if the peer takes it too slowly.
    pub fn write(
        &self,
        framing: Framing,
        room: &mut Room,
        peer: &mut impl Peer,
    ) -> io::Result<u64> {
        let len: usize = self.pieces().map(<[u8]>::len).sum();
        let deadline = connection::answer_deadline(len as u64);
        let mut out = Joined { peer, deadline, room, len: 0 };
        self.write_head(len, framing.keep_alive, &mut out)?;
        let sent = if framing.head_only { 0 } else { len };
        if sent > 0 {
            self.pieces().try_for_each(|piece| out.put(piece))?;
        }
        out.send()?;
        Ok(sent as u64)
    }

    fn write_head(
        &self,
        len: usize,
        keep_alive: bool,
        out: &mut Joined<'_, impl Peer>,
    ) -> io::Result<()> {
        let Status(code, reason) = self.status;
        let mut put = |parts: &[&str]| parts.iter().try_for_each(|part| out.put(part.as_bytes()));
        let mut digits = decimal::Buffer::default();
        put(&["HTTP/1.1 ", digits.write(code.into()), " ", reason])?;
        put(&["\r\nDate: ", &date::now(), "\r\nServer: denali\r\n"])?;
        // RFC 9110 §15.4.5: 304 carries the validators, but nothing about a body.
        if code != 304 {
            let length = digits.write(len as u64);
            put(&["Content-Type: ", &self.media_type, "\r\nContent-Length: ", length, "\r\n"])?;
        }
        for (name, value) in &self.fields {
            put(&[name, ": ", value, "\r\n"])?;
        }
        put(&["Connection: ", if keep_alive { "keep-alive" } else { "close" }, "\r\n\r\n"])
    }
}

/// Parts on their way to a peer; short ones go together.
struct Joined<'a, P> {
    peer: &'a mut P,
    /// By when the peer must have taken everything.
    deadline: Instant,
    room: &'a mut Room,
    /// How much of the room is taken.
    len: usize,
}

impl<P: Peer> Joined<'_, P> {
    /// Sends a part, perhaps together with those that follow.
    fn put(&mut self, part: &[u8]) -> io::Result<()> {
        if part.len() > self.room.len() - self.len {
            self.send()?;
        }
        match self.room[self.len..].get_mut(..part.len()) {
            Some(place) => {
                place.copy_from_slice(part);
                self.len += part.len();
                Ok(())
            }
            None => write_all(part, self.deadline, self.peer),
        }
    }

    /// Sends what is left.
    fn send(&mut self) -> io::Result<()> {
        let joined = &self.room[..core::mem::take(&mut self.len)];
        write_all(joined, self.deadline, self.peer)
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Whole(Cow::Borrowed(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Whole(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<Cow<'static, [u8]>>> for Body {
    fn from(pieces: Vec<Cow<'static, [u8]>>) -> Self {
        Self::Pieces(pieces)
    }
}

/// Writes all of `bytes` before `deadline`.
fn write_all(mut bytes: &[u8], deadline: Instant, peer: &mut impl Peer) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = deadline.duration_since(Instant::now());
        if left == Duration::ZERO {
            return Err(ErrorKind::TimedOut.into());
        }
        peer.wait_at_most(left);
        let written = peer.write(bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}
