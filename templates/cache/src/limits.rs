//! How much the server takes on, by the memory its VM has.
//!
//! The store gets a fixed share of the memory and connections the rest, each connection reckoned
//! with all it can take. So the VM reaches its limit neither way, and whatever comes, the answer is
//! an eviction or a refusal.

use crate::store::{self, SEGMENT_LEN};
use core::time::Duration;

/// Longest item in bytes unless `-I` says otherwise.
const ITEM_LEN_MAX: usize = 1024 * 1024;

/// Most connections unless `-c` says otherwise.
const CONNECTIONS_MAX: usize = 1024;

/// How long a client may be silent between two commands unless `-o idle_timeout` says otherwise.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a client may be silent in the middle of a value, whose memory is taken already.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection takes at most in bytes: its socket with 16 KiB of buffers, and most of the stack
/// of its thread. Where this is too little, further connections wait instead of being refused.
const CONNECTION_LEN: usize = 64 * 1024;

/// What stays for everything else: the network's rings, and what the runtime leaves alone for them.
const RESERVE_LEN: usize = 512 * 1024;

/// Connections get at most this share of the memory: one in so many parts.
const CONNECTIONS_SHARE: usize = 3;

/// What the server runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How large the store may get.
    pub store: store::Limits,
    /// Connections served at once.
    pub connections_max: usize,
    /// How long clients may be silent.
    pub patience: Patience,
}

/// How long a client may be silent before its connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Between two commands; `None` is for ever.
    pub idle: Option<Duration>,
    /// In the middle of a value.
    pub stalled: Duration,
}

impl Limits {
    /// Divides `memory` bytes, as the service's arguments want it: `-I 2m`, `-c 100`,
    /// `-o idle_timeout=600`.
    ///
    /// # Errors
    ///
    /// A message for the operator: an argument is wrong, or the memory is too small.
    pub fn new<'a>(
        memory: usize,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, &'static str> {
        let mut item_len_max = ITEM_LEN_MAX;
        let mut connections_max = CONNECTIONS_MAX;
        let mut idle = Some(IDLE_TIMEOUT);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            let number = size(value).filter(|number| *number > 0);
            match (argument, number) {
                ("-I", Some(number)) => item_len_max = number,
                ("-c", Some(number)) => connections_max = number,
                ("-I" | "-c", None) => {
                    return Err("`-I` and `-c` want a number, as in `-I 2m -c 100`");
                }
                ("-o", _) => idle = idle_timeout(value)?,
                _ => {
                    return Err("the arguments are `-I LONGEST-ITEM`, `-c CONNECTIONS` and \
                                `-o idle_timeout=SECONDS`");
                }
            }
        }
        let usable = memory.saturating_sub(RESERVE_LEN);
        let connections_max = connections_max.min(usable / CONNECTIONS_SHARE / CONNECTION_LEN);
        let segments_max = usable.saturating_sub(connections_max * CONNECTION_LEN) / SEGMENT_LEN;
        if connections_max == 0 || segments_max == 0 {
            return Err("too little memory: raise `memory` in Cargo.toml, to 4M for example");
        }
        // Beyond half of the store, an item would evict all others.
        let half = segments_max * store::SEGMENT_BLOCKS * store::BLOCK_LEN / 2;
        let store = store::Limits {
            segments_max,
            item_len_max: item_len_max.min(half),
        };
        let patience = Patience {
            idle,
            stalled: idle.map_or(STALL_TIMEOUT, |idle| idle.min(STALL_TIMEOUT)),
        };
        Ok(Self {
            store,
            connections_max,
            patience,
        })
    }
}

/// Returns the timeout in `idle_timeout=SECONDS`; 0 is for ever, as with memcached.
fn idle_timeout(option: &str) -> Result<Option<Duration>, &'static str> {
    let seconds = option.strip_prefix("idle_timeout=");
    match seconds.and_then(|seconds| seconds.parse().ok()) {
        Some(0) => Ok(None),
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Err("`-o` wants a number of seconds, as in `-o idle_timeout=600`"),
    }
}

/// Returns a number of bytes, with `k` or `m` for its unit.
fn size(text: &str) -> Option<usize> {
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
        for memory in (1024 * 1024..300 * 1024 * 1024).step_by(777_777) {
            let limits = Limits::new(memory, []).expect("a MiB is enough");
            let store = limits.store.segments_max * SEGMENT_LEN;
            assert!(store + limits.connections_max * CONNECTION_LEN + RESERVE_LEN <= memory);
            assert!(limits.store.item_len_max <= store / 2);
        }
    }

    #[test]
    fn arguments_are_memcacheds() {
        let limits = Limits::new(64 << 20, ["-I", "2m", "-c", "10"]).expect("plenty of memory");
        assert_eq!(
            (limits.store.item_len_max, limits.connections_max),
            (2 << 20, 10)
        );
        for (option, idle) in [("idle_timeout=0", None), ("idle_timeout=7", Some(7))] {
            let limits = Limits::new(64 << 20, ["-o", option]).expect(option);
            assert_eq!(limits.patience.idle, idle.map(Duration::from_secs));
        }
        let by_default = Limits::new(64 << 20, []).expect("plenty of memory");
        assert_eq!(by_default.patience.idle, Some(IDLE_TIMEOUT));
        for wrong in [
            &["-I"][..],
            &["-I", "x"],
            &["-c", "0"],
            &["-m", "64"],
            &["-o"],
            &["-o", "idle_timeout=x"],
            &["-o", "modern"],
        ] {
            assert!(
                Limits::new(64 << 20, wrong.iter().copied()).is_err(),
                "{wrong:?}"
            );
        }
        assert!(Limits::new(100_000, []).is_err());
    }
}
