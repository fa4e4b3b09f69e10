//! Between clients and origin: what is asked for comes from memory, or from the origin.
//!
//! | file         | what                                                        |
//! |--------------|-------------------------------------------------------------|
//! | `client.rs`  | one client's connection: requests in, one after the other   |
//! | `get.rs`     | what may come from memory                                   |
//! | `fetch.rs`   | asking the origin for what may be stored                    |
//! | `pass.rs`    | what goes to the origin and back without being stored       |
//! | `onward.rs`  | heads of requests to the origin                             |
//! | `answer.rs`  | answers to a client                                         |
//! | `operate.rs` | purging and statistics, for those who have the token        |

mod answer;
mod client;
mod fetch;
mod get;
mod onward;
mod operate;
mod pass;
#[cfg(test)]
mod tests;

pub(crate) use answer::refuse;
pub(crate) use client::Client;

use crate::caching::{Ledger, Moment, Store};
use crate::flight::Flights;
use crate::origin::{Connect, Origin};
use crate::settings::Settings;
use alloc::sync::Arc;
use denali_rt::sync::GuestCell;

/// What this proxy calls itself in `Via` and `Cache-Status`.
pub(crate) const NAME: &str = "edge-cache";

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) requests: u64,
    /// Answers from memory, fresh.
    pub(crate) hits: u64,
    /// Answers from memory, stale, with the origin asked in the background.
    pub(crate) stale_hits: u64,
    /// Answers from memory because the origin failed.
    pub(crate) stale_after_error: u64,
    /// Answers from a fetch that somebody else began.
    pub(crate) collapsed: u64,
    /// Fetches that brought something new.
    pub(crate) fetched: u64,
    /// Fetches by which something in memory turned out to be the same still.
    pub(crate) revalidated: u64,
    /// Answers that went through without being stored.
    pub(crate) passed: u64,
    /// Times the origin failed.
    pub(crate) origin_failures: u64,
    /// Requests refused: malformed, too slow, too many.
    pub(crate) refused: u64,
    /// Responses purged.
    pub(crate) purged: u64,
    /// Clients served now.
    pub(crate) clients: u64,
}

/// What changes while requests are served. Nobody waits while it is looked at.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) flights: Flights,
    pub(crate) counters: Counters,
}

/// The proxy.
#[derive(Debug)]
pub(crate) struct Proxy<C: Connect> {
    pub(crate) settings: Settings,
    origin: Origin<C>,
    ledger: Arc<Ledger>,
    state: GuestCell<State>,
    now: fn() -> Moment,
}

impl<C: Connect> Proxy<C> {
    pub(crate) fn new(settings: Settings, connect: C, now: fn() -> Moment) -> Self {
        let ledger = Ledger::new(settings.store_len);
        Self {
            origin: Origin::new(connect, settings.idle_max, settings.patience),
            state: GuestCell::new(State {
                store: Store::new(Arc::clone(&ledger)),
                flights: Flights::default(),
                counters: Counters::default(),
            }),
            ledger,
            settings,
            now,
        }
    }

    /// Calls `f` with what changes.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(f)
    }

    /// Counts something.
    pub(crate) fn count(&self, f: impl FnOnce(&mut Counters)) {
        self.state.with(|state| f(&mut state.counters));
    }
}
