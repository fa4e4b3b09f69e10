//! One fetch for all who ask for the same meanwhile.

use crate::caching::Entry;
use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use denali_rt::interrupt;
use denali_rt::sync::{GuestCell, WaitQueue};
use denali_rt::time::Instant;

/// Targets remembered whose responses are for nobody else.
const UNSHARED_MAX: usize = 256;

/// What a fetch brought for those who waited.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    /// A response that was stored.
    Entry(Arc<Entry>),
    /// Nothing for others: each has to ask for itself.
    Nothing,
    /// The origin failed, and was asked often enough.
    Failed,
}

/// A fetch under way.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    landing: GuestCell<Option<Landing>>,
    landed: WaitQueue,
}

impl Flight {
    /// Waits for its end; `None` if that does not come before `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> Option<Landing> {
        // Whoever fetches must not land between the test and the wait.
        let _masked = interrupt::mask();
        loop {
            if let Some(landing) = self.landing.with(|landing| landing.clone()) {
                return Some(landing);
            }
            if self.landed.wait_until(deadline) {
                return None;
            }
        }
    }
}

/// All fetches under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    under_way: BTreeMap<String, Arc<Flight>>,
    /// Targets whose last response was not stored: waiting for each other would be in vain.
    unshared: VecDeque<String>,
}

/// Whether to fetch, or to wait for somebody who does.
#[derive(Debug)]
pub(crate) enum Boarding {
    /// Fetch, and tell the others with [`Flights::land`].
    Leader(Arc<Flight>),
    /// Wait for somebody else's.
    Follower(Arc<Flight>),
    /// Fetch for oneself alone.
    Alone,
}

impl Flights {
    /// Joins the fetch of a target, or begins one.
    pub(crate) fn board(&mut self, key: &str) -> Boarding {
        if let Some(flight) = self.under_way.get(key) {
            return Boarding::Follower(Arc::clone(flight));
        }
        if self.unshared.iter().any(|unshared| unshared == key) {
            return Boarding::Alone;
        }
        let flight = Arc::new(Flight::default());
        self.under_way.insert(key.to_owned(), Arc::clone(&flight));
        Boarding::Leader(flight)
    }

    /// Returns whether a fetch of this target is under way.
    pub(crate) fn is_under_way(&self, key: &str) -> bool {
        self.under_way.contains_key(key)
    }

    /// Ends a fetch.
    pub(crate) fn land(&mut self, key: &str, flight: &Flight, landing: Landing) {
        self.under_way.remove(key);
        match landing {
            Landing::Nothing => self.mark_unshared(key),
            Landing::Entry(_) | Landing::Failed => {}
        }
        flight.landing.with(|slot| *slot = Some(landing));
        flight.landed.wake_all();
    }

    /// Notes that responses of a target can be shared after all.
    pub(crate) fn mark_shared(&mut self, key: &str) {
        self.unshared.retain(|unshared| unshared != key);
    }

    fn mark_unshared(&mut self, key: &str) {
        if self.unshared.len() == UNSHARED_MAX {
            self.unshared.pop_front();
        }
        self.unshared.push_back(key.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fetches_and_the_others_wait_unless_it_is_in_vain() {
        let mut flights = Flights::default();
        let Boarding::Leader(flight) = flights.board("k") else {
            panic!("the first leads");
        };
        let Boarding::Follower(followed) = flights.board("k") else {
            panic!("the second follows");
        };
        assert!(matches!(flights.board("other"), Boarding::Leader(_)));
        assert!(followed.wait(Instant::now()).is_none());
        flights.land("k", &flight, Landing::Nothing);
        assert!(matches!(
            followed.wait(Instant::MAX),
            Some(Landing::Nothing)
        ));
        assert!(matches!(flights.board("k"), Boarding::Alone));
        flights.mark_shared("k");
        assert!(matches!(flights.board("k"), Boarding::Leader(_)));
        for n in 0..UNSHARED_MAX + 10 {
            flights.mark_unshared(&alloc::format!("{n}"));
        }
        assert_eq!(flights.unshared.len(), UNSHARED_MAX);
    }
}
