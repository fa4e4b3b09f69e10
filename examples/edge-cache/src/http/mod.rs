//! HTTP/1.1 messages (RFC 9110, RFC 9112), between clients and origin.
//!
//! | file        | what                                                     |
//! |-------------|----------------------------------------------------------|
//! | `fields.rs` | header fields, and those that are for one hop alone      |
//! | `head.rs`   | heads of requests and responses                          |
//! | `body.rs`   | bodies with a length, in chunks, or until the end        |
//! | `input.rs`  | what a peer has sent and nobody has dealt with yet       |
//! | `date.rs`   | dates                                                    |

mod body;
mod date;
mod fields;
mod head;
mod input;

pub(crate) use body::{Body, Framing};
pub(crate) use date::{format_date, parse_date};
pub(crate) use fields::Fields;
pub(crate) use head::{HEAD_MAX, Malformed, Request, Response};
pub(crate) use input::Input;

use core::fmt::Debug;
use core::time::Duration;
use denali_rt::io::{self, Read, Write};
use denali_rt::net::TcpStream;

/// What messages come and go through.
pub(crate) trait Stream: Read<Error = io::Error> + Write<Error = io::Error> + Debug {
    /// Sets how long a read waits.
    ///
    /// # Errors
    ///
    /// What the stream says to it.
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        TcpStream::set_read_timeout(self, Some(timeout))
    }
}
