//! Serves one connection: request after request, until either side has had enough.

use crate::request::{Incoming, RequestReader};
use crate::response::Framing;
use crate::routes;
use core::time::Duration;
use denali_rt::io::{self, Read, Write};

/// How long a connection may be silent.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests served on one connection before it is closed, so that none is held for ever.
const REQUESTS_MAX: u32 = 100_000;

/// Serves requests until the connection ends.
///
/// # Errors
///
/// What reading or writing returns.
pub fn serve<S>(stream: &mut S) -> io::Result<()>
where
    S: Read<Error = io::Error> + Write<Error = io::Error>,
{
    let mut reader = RequestReader::default();
    for served in 1..=REQUESTS_MAX {
        let request = match reader.next(stream)? {
            Incoming::Request(request) => request,
            Incoming::Malformed(malformed) => {
                let last = Framing { head_only: false, keep_alive: false };
                return routes::answer_malformed(malformed).write(last, stream);
            }
            Incoming::Closed => return Ok(()),
        };
        let keep_alive = request.keep_alive && served < REQUESTS_MAX;
        let framing = Framing { head_only: request.method == "HEAD", keep_alive };
        routes::answer(&request).write(framing, stream)?;
        // With pipelining the answers go out together.
        if !reader.has_more() {
            stream.flush()?;
        }
        if !keep_alive {
            break;
        }
    }
    Ok(())
}
