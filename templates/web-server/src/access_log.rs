//! The access log: a line for each request in the Common Log Format, on the service's console.
//!
//! `environment = { ACCESS_LOG = "on" }` in the manifest switches it on.

use crate::date;
use crate::response::Status;
use alloc::string::String;
use core::net::IpAddr;
use denali_rt::env;
use denali_rt::sync::OnceLock;

/// The environment variable that switches the log on.
const VARIABLE: &str = "ACCESS_LOG";

/// Notes a request; `line` is its first line as it was sent, `sent` the bytes of the body.
pub fn note(peer: IpAddr, line: &[u8], status: Status, sent: u64) {
    static ON: OnceLock<bool> = OnceLock::new();
    if *ON.get_or_init(|| env::var(VARIABLE) == Some("on")) {
        let (date, code, line) = (date::log_now(), status.0, String::from_utf8_lossy(line));
        denali_rt::println!("{peer} - - [{date}] \"{}\" {code} {sent}", Quoted(&line));
    }
}

/// Text between quotation marks, in which no client can end the quotation or the line.
struct Quoted<'a>(&'a str);

impl core::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.escape_debug().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn a_client_cannot_forge_lines() {
        let quoted = Quoted("GET /\"\r\n\x1b[31m HTTP/1.1").to_string();
        assert_eq!(quoted, "GET /\\\"\\r\\n\\u{1b}[31m HTTP/1.1");
    }
}
