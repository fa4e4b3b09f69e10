//! How much the broker takes on, by the memory its VM has and the operator's wishes.

use crate::topic;
use alloc::string::String;
use denali_rt::io::{Error, ErrorKind, Result};

/// What a connection takes at most in bytes: socket, task, what waits to be sent, what came in.
const CONNECTION_LEN: usize = 24 * 1024;

/// What a session takes beside its messages and subscriptions, in bytes.
const SESSION_LEN: usize = 1024;

/// What stays for everything else: stacks, the network's rings, what the allocator cannot use.
const RESERVE_LEN: usize = 1024 * 1024;

/// Who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// Returns whether a client shows these, taking as long for a wrong password as for the right.
    pub(crate) fn fit(&self, username: Option<&str>, password: Option<&[u8]>) -> bool {
        let same = |left: &[u8], right: &[u8]| {
            let differences = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
            left.len() == right.len() && differences == 0
        };
        let username = same(
            username.unwrap_or_default().as_bytes(),
            self.username.as_bytes(),
        );
        let password = same(password.unwrap_or_default(), self.password.as_bytes());
        username & password
    }
}

/// What the broker runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// Clients remembered, connected or not.
    pub(crate) sessions_max: usize,
    /// Bytes of messages and subscriptions.
    pub(crate) messages_len: usize,
    /// Longest packet of a client in bytes.
    pub(crate) packet_max: usize,
    /// Messages that wait for one client.
    pub(crate) queue_max: usize,
    /// Subscriptions of one client.
    pub(crate) subscriptions_max: usize,
    /// Seconds after which a client that stays away is forgotten.
    pub(crate) session_expiry: u64,
    /// Seconds between two publications of statistics.
    pub(crate) system_interval: u64,
    /// Who may connect; `None` is everybody.
    pub(crate) credentials: Option<Credentials>,
}

impl Limits {
    /// Divides `memory` bytes, as arguments and environment want it.
    ///
    /// # Errors
    ///
    /// A message for the operator: an argument is wrong, or the memory is too small.
    pub(crate) fn new<'a>(
        memory: usize,
        arguments: impl IntoIterator<Item = &'a str>,
        variable: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self> {
        let usable = memory.saturating_sub(RESERVE_LEN);
        let mut limits = Self {
            connections_max: usable * 3 / 4 / CONNECTION_LEN,
            sessions_max: 0,
            messages_len: 0,
            packet_max: 256 * 1024,
            queue_max: 1000,
            subscriptions_max: 100,
            session_expiry: 7 * 24 * 60 * 60,
            system_interval: 10,
            credentials: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let number = arguments
                .next()
                .and_then(number)
                .filter(|number| *number > 0);
            let number = number.ok_or(wrong("each argument wants a number above 0 behind it"))?;
            match argument {
                "--connections" => limits.connections_max = limits.connections_max.min(number),
                "--packet" => limits.packet_max = number,
                "--queue" => limits.queue_max = number,
                "--subscriptions" => limits.subscriptions_max = number,
                "--session-expiry" => limits.session_expiry = number as u64,
                "--sys-interval" => limits.system_interval = number as u64,
                _ => {
                    return Err(wrong(
                        "the arguments are --connections, --packet, --queue, --subscriptions, \
                         --session-expiry and --sys-interval",
                    ));
                }
            }
        }
        limits.sessions_max = limits.connections_max * 2;
        let people = limits.connections_max * CONNECTION_LEN + limits.sessions_max * SESSION_LEN;
        limits.messages_len = usable.saturating_sub(people);
        // A packet is held once as it comes in and once as a message.
        limits.packet_max = limits.packet_max.min(limits.messages_len / 4);
        if limits.connections_max == 0 || limits.packet_max < topic::LEN_MAX {
            return Err(wrong(
                "too little memory: raise `memory` in Cargo.toml, to 4M for example",
            ));
        }
        limits.credentials = match (variable("MQTT_USERNAME"), variable("MQTT_PASSWORD")) {
            (None, None) => None,
            (username, password) => Some(Credentials {
                username: username.unwrap_or_default().into(),
                password: password.unwrap_or_default().into(),
            }),
        };
        Ok(limits)
    }
}

const fn wrong(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
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

    fn limits(memory: usize, arguments: &[&'static str]) -> Result<Limits> {
        Limits::new(memory, arguments.iter().copied(), |_| None)
    }

    #[test]
    fn the_shares_never_exceed_the_memory() {
        for memory in (2 << 20..512 << 20).step_by(777_777) {
            let limits = limits(memory, &[]).expect("2 MiB are enough");
            let people =
                limits.connections_max * CONNECTION_LEN + limits.sessions_max * SESSION_LEN;
            assert!(people + limits.messages_len + RESERVE_LEN <= memory);
            assert!(limits.packet_max * 4 <= limits.messages_len);
        }
    }

    #[test]
    fn arguments_are_numbers_with_names() {
        let given = limits(
            32 << 20,
            &["--connections", "10", "--packet", "64k", "--queue", "5"],
        );
        let given = given.expect("right arguments");
        assert_eq!(
            (given.connections_max, given.packet_max, given.queue_max),
            (10, 65_536, 5)
        );
        for wrong in [
            &["--queue"][..],
            &["--queue", "0"],
            &["--queue", "x"],
            &["-x", "1"],
        ] {
            assert!(limits(32 << 20, wrong).is_err(), "{wrong:?}");
        }
        assert!(limits(100_000, &[]).is_err());
    }

    #[test]
    fn credentials_fit_as_a_whole_or_not_at_all() {
        let variable = |name: &str| match name {
            "MQTT_USERNAME" => Some("me"),
            _ => Some("secret"),
        };
        let limits = Limits::new(32 << 20, [], variable).expect("right arguments");
        let credentials = limits.credentials.expect("they were given");
        assert!(credentials.fit(Some("me"), Some(b"secret")));
        for (username, password) in [
            (None, None),
            (Some("me"), None),
            (Some("me"), Some(&b"secre"[..])),
            (Some("me"), Some(b"secret!")),
            (Some("you"), Some(b"secret")),
        ] {
            assert!(!credentials.fit(username, password));
        }
    }
}
