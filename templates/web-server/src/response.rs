//! Writes responses (RFC 9112 §4, RFC 9110).

use crate::date;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use denali_rt::io::{self, Write};

/// A body up to this length is sent together with its head.
const JOINED_BODY_MAX: usize = 1024;

/// A status code with its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16, pub &'static str);

/// One response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// The media type of the body.
    pub media_type: &'static str,
    /// The entity tag, if there is one.
    pub etag: Option<&'static str>,
    /// The methods allowed here, if the one asked for is not.
    pub allow: Option<&'static str>,
    /// The body.
    pub body: Cow<'static, [u8]>,
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
    /// Makes a response with a plain-text body of one line.
    pub fn text(status: Status, line: &str) -> Self {
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            etag: None,
            allow: None,
            body: Cow::Owned(format!("{line}\n").into_bytes()),
        }
    }

    /// Makes a response that says no more than its status does.
    pub fn bare(status: Status) -> Self {
        Self::text(status, status.1)
    }

    /// Writes the response.
    ///
    /// # Errors
    ///
    /// What writing to `stream` returns.
    pub fn write<S: Write<Error = io::Error>>(
        &self,
        framing: Framing,
        stream: &mut S,
    ) -> io::Result<()> {
        let mut head = self.head(framing.keep_alive).into_bytes();
        let body: &[u8] = match framing.head_only || self.status.0 == 304 {
            true => &[],
            false => &self.body,
        };
        if body.len() <= JOINED_BODY_MAX {
            head.extend_from_slice(body);
            return stream.write_all(&head);
        }
        stream.write_all(&head)?;
        stream.write_all(body)
    }

    fn head(&self, keep_alive: bool) -> String {
        let Status(code, reason) = self.status;
        let mut head = format!(
            "HTTP/1.1 {code} {reason}\r\nDate: {}\r\nServer: denali\r\n",
            date::now()
        );
        let mut field = |name: &str, value: &str| {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        };
        // RFC 9110 §15.4.5: 304 carries the validators, but nothing about a body.
        if code != 304 {
            field("Content-Type", self.media_type);
            field("Content-Length", &format!("{}", self.body.len()));
        }
        if let Some(etag) = self.etag {
            field("ETag", etag);
            field("Cache-Control", "no-cache");
        }
        if let Some(methods) = self.allow {
            field("Allow", methods);
        }
        field("Connection", if keep_alive { "keep-alive" } else { "close" });
        head.push_str("\r\n");
        head
    }
}
