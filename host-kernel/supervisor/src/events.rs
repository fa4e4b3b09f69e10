//! What happened on the host, as far back as a bounded ring goes.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use denali_protocol::events::{Event, Kind};
use denali_rt::time;

/// Events that are kept.
pub const EVENTS_MAX: usize = 256;

/// Longest detail of an event, in bytes.
const DETAIL_LEN_MAX: usize = 512;

/// The last events.
#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<Event>,
    /// How many there ever were.
    count: u64,
}

impl Events {
    /// Keeps that something happened to a service, or to the host.
    pub fn note(&mut self, kind: Kind, service: Option<&str>, detail: &str) {
        self.count += 1;
        if self.ring.len() == EVENTS_MAX {
            self.ring.pop_front();
        }
        let mut len = detail.len().min(DETAIL_LEN_MAX);
        while !detail.is_char_boundary(len) {
            len -= 1;
        }
        self.ring.push_back(Event {
            number: self.count,
            at: time::wall().as_secs(),
            kind,
            service: service.map(String::from),
            detail: detail[..len].into(),
        });
    }

    /// Returns the events behind the one with this number, oldest first.
    #[must_use]
    pub fn behind(&self, number: u64) -> Vec<Event> {
        let events = self.ring.iter().filter(|event| event.number > number);
        events.cloned().collect()
    }

    /// Returns how many there ever were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn the_last_events_are_kept_in_order() {
        let mut events = Events::default();
        for number in 0..1000 {
            events.note(Kind::Crashed, Some("web"), &format!("{number}"));
        }
        let kept = events.behind(0);
        assert_eq!((kept.len(), events.count()), (EVENTS_MAX, 1000));
        assert_eq!(kept.last().unwrap().detail, "999");
        assert_eq!(events.behind(998).len(), 2);
        assert!(events.behind(1000).is_empty());
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let mut events = Events::default();
        events.note(Kind::Crashed, None, &"ä".repeat(1000));
        assert_eq!(events.behind(0)[0].detail.len(), DETAIL_LEN_MAX);
        events.note(Kind::Crashed, None, &format!("x{}", "ä".repeat(1000)));
        assert_eq!(events.behind(1)[0].detail.len(), DETAIL_LEN_MAX - 1);
    }
}
