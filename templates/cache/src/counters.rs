//! What clients have asked for, and what came of it; named as memcached's `stats` names them.

/// Hits and misses of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The item was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, hit: bool) {
        if hit {
            self.hits += 1
        } else {
            self.misses += 1
        }
    }
}

/// All counters. `stats reset` clears them, but for the number of open connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub curr_connections: u64,
    pub total_connections: u64,
    pub rejected_connections: u64,
    pub idle_kicks: u64,
    pub cmd_set: u64,
    pub cmd_flush: u64,
    pub cmd_meta: u64,
    pub get: Tally,
    pub delete: Tally,
    pub incr: Tally,
    pub decr: Tally,
    pub cas: Tally,
    pub touch: Tally,
    pub cas_badval: u64,
    pub store_too_large: u64,
    pub store_no_memory: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

impl Counters {
    /// Starts counting anew.
    pub fn reset(&mut self) {
        *self = Self {
            curr_connections: self.curr_connections,
            ..Self::default()
        };
    }
}
