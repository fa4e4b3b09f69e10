//! What the operator wants, and how the memory is divided.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::time::Duration;
use denali_rt::io::{Error, ErrorKind, Result};

/// What a client's connection takes at most: sockets to it and to the origin, heads, and a stack.
const CONNECTION_LEN: usize = 112 * 1024;

/// What stays for everything else.
const RESERVE_LEN: usize = 1024 * 1024;

/// What the proxy runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Name or address of the origin.
    pub(crate) origin_host: String,
    pub(crate) origin_port: u16,
    /// Clients served at once; as many may wait.
    pub(crate) connections_max: usize,
    /// Bytes for stored responses.
    pub(crate) store_len: usize,
    /// Longest body that is stored, in bytes.
    pub(crate) object_max: usize,
    /// Connections to the origin that are kept.
    pub(crate) idle_max: usize,
    /// What purging and statistics take; `None` is that nobody may.
    pub(crate) token: Option<String>,
    pub(crate) patience: Patience,
}

/// How long others may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// The origin for a connection.
    pub(crate) connect: Duration,
    /// The origin for an answer, and for each part of it.
    pub(crate) response: Duration,
    /// A client for a head.
    pub(crate) head: Duration,
    /// A client between two requests.
    pub(crate) idle: Duration,
    /// A client for a part of its body, or for taking a part of an answer.
    pub(crate) client: Duration,
}

impl Settings {
    /// Reads arguments and environment, and divides `memory` bytes.
    ///
    /// # Errors
    ///
    /// A message for the operator.
    pub(crate) fn new(
        memory: usize,
        arguments: impl IntoIterator<Item = &'static str>,
        token: Option<&str>,
    ) -> Result<Self> {
        let usable = memory.saturating_sub(RESERVE_LEN);
        let mut settings = Self {
            origin_host: String::new(),
            origin_port: 80,
            connections_max: (usable / 2 / CONNECTION_LEN).min(512),
            store_len: 0,
            object_max: 1024 * 1024,
            idle_max: 16,
            token: token.filter(|token| !token.is_empty()).map(str::to_owned),
            patience: Patience {
                connect: Duration::from_secs(5),
                response: Duration::from_secs(30),
                head: Duration::from_secs(10),
                idle: Duration::from_secs(60),
                client: Duration::from_secs(30),
            },
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            settings.take(argument, arguments.next().unwrap_or_default())?;
        }
        if settings.origin_host.is_empty() {
            return Err(wrong("say where the origin is: --origin http://HOST:PORT"));
        }
        settings.store_len = usable.saturating_sub(settings.connections_max * CONNECTION_LEN);
        settings.object_max = settings.object_max.min(settings.store_len / 4);
        if settings.connections_max == 0 || settings.object_max < 64 * 1024 {
            return Err(wrong(
                "too little memory: raise `memory` in Cargo.toml, to 4M for example",
            ));
        }
        Ok(settings)
    }

    fn take(&mut self, argument: &str, value: &str) -> Result<()> {
        let number = number(value).filter(|number| *number > 0);
        let duration = number.map(|seconds| Duration::from_secs(seconds as u64));
        match (argument, number, duration) {
            ("--origin", ..) => {
                let origin =
                    origin(value).ok_or(wrong("an origin is http://HOST or http://HOST:PORT"))?;
                (self.origin_host, self.origin_port) = origin;
            }
            ("--connections", Some(number), _) => {
                self.connections_max = self.connections_max.min(number);
            }
            ("--object", Some(number), _) => self.object_max = number,
            ("--origin-idle", Some(number), _) => self.idle_max = number,
            ("--connect-timeout", _, Some(duration)) => self.patience.connect = duration,
            ("--response-timeout", _, Some(duration)) => self.patience.response = duration,
            ("--client-timeout", _, Some(duration)) => {
                self.patience.head = duration;
                self.patience.client = duration;
            }
            _ => {
                return Err(wrong(
                    "the arguments are --origin URL, and with a number behind them --connections, \
                     --object, --origin-idle, --connect-timeout, --response-timeout and --client-timeout",
                ));
            }
        }
        Ok(())
    }
}

const fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// Returns host and port of `http://HOST:PORT`.
fn origin(url: &str) -> Option<(String, u16)> {
    let authority = url.strip_prefix("http://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (authority, 80),
    };
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = !host.is_empty() && host.bytes().all(is_host_byte);
    is_host.then(|| (host.to_owned(), port))
}

/// Returns a number, with `k` or `m` for its unit.
fn number(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1024),
        b'm' | b'M' => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_never_exceed_the_memory() {
        for memory in (3 << 20..256 << 20).step_by(999_999) {
            let settings = Settings::new(memory, ["--origin", "http://h"], None).expect("enough");
            let taken =
                settings.connections_max * CONNECTION_LEN + settings.store_len + RESERVE_LEN;
            assert!(taken <= memory && settings.object_max * 4 <= settings.store_len);
        }
        assert!(Settings::new(1 << 20, ["--origin", "http://h"], None).is_err());
    }

    #[test]
    fn arguments_are_read_and_wrong_ones_refused() {
        let arguments = [
            "--origin",
            "http://10.0.0.1:8000/",
            "--object",
            "64k",
            "--response-timeout",
            "2",
        ];
        let settings = Settings::new(32 << 20, arguments, Some("t")).expect("right arguments");
        assert_eq!(
            (settings.origin_host.as_str(), settings.origin_port),
            ("10.0.0.1", 8000)
        );
        assert_eq!(
            (settings.object_max, settings.patience.response.as_secs()),
            (65_536, 2)
        );
        for wrong in [
            &[][..],
            &["--origin", "https://h"],
            &["--origin", "http://"],
            &["--origin", "http://h:0"],
            &["--origin", "http://h", "--object", "x"],
            &["--origin", "http://h", "--what", "1"],
        ] {
            assert!(
                Settings::new(32 << 20, wrong.iter().copied(), None).is_err(),
                "{wrong:?}"
            );
        }
    }
}
