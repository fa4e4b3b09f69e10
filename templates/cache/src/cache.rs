//! What all connections share: the store, the counters, and the limits.

use crate::clock::Moment;
use crate::counters::Counters;
use crate::limits::Limits;
use crate::store::{Draft, Reading, Store};
use denali_rt::sync::GuestCell;

/// The cache. A closure passed to [`Cache::with`] has it to itself as long as it does not wait.
#[derive(Debug)]
pub struct Cache {
    state: GuestCell<State>,
    clock: fn() -> Moment,
    /// What the server runs with.
    pub limits: Limits,
    /// When it was started.
    pub started: Moment,
}

/// What changes.
#[derive(Debug)]
pub struct State {
    /// The items.
    pub store: Store,
    /// What clients have asked for.
    pub counters: Counters,
}

impl Cache {
    /// Makes an empty cache. The seed should be unpredictable for its clients.
    pub fn new(limits: Limits, seed: [u64; 2], clock: fn() -> Moment) -> Self {
        let store = Store::new(limits.store, seed);
        let state = GuestCell::new(State {
            store,
            counters: Counters::default(),
        });
        Self {
            state,
            clock,
            limits,
            started: clock(),
        }
    }

    /// Returns the present.
    pub fn now(&self) -> Moment {
        (self.clock)()
    }

    /// Calls `f` with what changes.
    pub fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(f)
    }
}

/// A draft that is discarded unless it is taken: its client may go away half way.
#[derive(Debug)]
pub struct HeldDraft<'c> {
    cache: &'c Cache,
    draft: Option<Draft>,
}

impl<'c> HeldDraft<'c> {
    /// Holds a draft.
    pub fn new(cache: &'c Cache, draft: Draft) -> Self {
        Self {
            cache,
            draft: Some(draft),
        }
    }

    /// Returns how many bytes of the value are still missing.
    pub fn left(&self) -> usize {
        self.draft.as_ref().map_or(0, Draft::left)
    }

    /// Adds bytes to the value.
    pub fn fill(&mut self, bytes: &[u8]) {
        if let Some(draft) = &mut self.draft {
            self.cache.with(|state| state.store.fill(draft, bytes));
        }
    }

    /// Takes the draft.
    pub fn take(mut self) -> Option<Draft> {
        self.draft.take()
    }
}

impl Drop for HeldDraft<'_> {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.cache.with(|state| state.store.discard(draft));
        }
    }
}

/// A reading that is ended in any case.
#[derive(Debug)]
pub struct HeldReading<'c> {
    cache: &'c Cache,
    reading: Option<Reading>,
}

impl<'c> HeldReading<'c> {
    /// Holds a reading.
    pub fn new(cache: &'c Cache, reading: Reading) -> Self {
        Self {
            cache,
            reading: Some(reading),
        }
    }

    /// Hands up to `len` further bytes to `sink`. Returns how many are left then.
    pub fn read(&mut self, len: usize, sink: impl FnMut(&[u8])) -> usize {
        let Some(reading) = &mut self.reading else {
            return 0;
        };
        self.cache
            .with(|state| state.store.read(reading, len, sink));
        reading.left()
    }
}

impl Drop for HeldReading<'_> {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.take() {
            self.cache.with(|state| state.store.end_reading(reading));
        }
    }
}
