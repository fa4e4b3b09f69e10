//! Responses by what was asked for; the least recently used go first.

use super::content::{Charge, Content, Ledger};
use super::directives::Directives;
use super::freshness::{Moment, initial_age, lifetime};
use crate::http::{Fields, Response};
use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// What an entry takes beside key, fields and body.
const OVERHEAD: usize = 512;

/// Most variants of one target; the least recently stored makes room.
const VARIANTS_MAX: usize = 16;

/// The request fields that a response depends on, and their values (RFC 9111 §4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variant(Vec<(Box<str>, Option<Box<str>>)>);

impl Variant {
    /// Returns what a response to this request depends on; `None` if it is no other request's.
    pub(crate) fn of(response: &Fields, request: &Fields) -> Option<Self> {
        let mut names: Vec<_> = response.list("vary").map(str::to_ascii_lowercase).collect();
        names.sort_unstable();
        names.dedup();
        if names.iter().any(|name| name == "*") {
            return None;
        }
        let pairs = names.into_iter().map(|name| {
            let value = value_of(request, &name);
            (name.into_boxed_str(), value)
        });
        Some(Self(pairs.collect()))
    }

    fn matches(&self, request: &Fields) -> bool {
        self.0
            .iter()
            .all(|(name, value)| value_of(request, name) == *value)
    }
}

/// Returns the members of a list field in one form, so that spaces and repeated lines do not matter.
fn value_of(fields: &Fields, name: &str) -> Option<Box<str>> {
    let members: Vec<_> = fields.list(name).collect();
    fields
        .has(name)
        .then(|| members.join(", ").into_boxed_str())
}

/// A stored response.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) variant: Variant,
    pub(crate) response: Response,
    pub(crate) directives: Directives,
    pub(crate) content: Arc<Content>,
    received_at: u64,
    initial_age: u64,
    lifetime: u64,
    /// Its place among the others by use.
    used: AtomicU64,
    _charge: Charge,
}

impl Entry {
    /// Returns its age in seconds (§4.2.3).
    pub(crate) fn age(&self, now: Moment) -> u64 {
        self.initial_age
            .saturating_add(now.tick.saturating_sub(self.received_at))
    }

    /// Returns for how many seconds it is fresh, or for how many it has not been any more.
    pub(crate) fn freshness(&self, now: Moment) -> Result<u64, u64> {
        let age = self.age(now);
        match self.lifetime.checked_sub(age) {
            Some(left @ 1..) => Ok(left),
            Some(0) | None => Err(age - self.lifetime),
        }
    }

    /// Returns whether it is an answer to a request for the same target.
    pub(crate) fn serves(&self, request: &Fields) -> bool {
        self.variant.matches(request)
    }

    /// Returns whether the origin can be asked if it is still the same.
    pub(crate) fn has_validator(&self) -> bool {
        let fields = &self.response.fields;
        fields.has("etag") || fields.has("last-modified")
    }
}

/// All stored responses.
#[derive(Debug)]
pub(crate) struct Store {
    entries: BTreeMap<String, Vec<Arc<Entry>>>,
    by_use: BTreeMap<u64, Arc<Entry>>,
    uses: u64,
    ledger: Arc<Ledger>,
    /// Entries that made room for others.
    pub(crate) evicted: u64,
}

impl Store {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            ledger,
            evicted: 0,
        }
    }

    /// Returns how many responses there are.
    pub(crate) fn len(&self) -> usize {
        self.by_use.len()
    }

    /// Finds memory, if need be by evicting.
    pub(crate) fn reserve(&mut self, len: usize) -> Option<Charge> {
        loop {
            if let Some(charge) = self.ledger.charge(len) {
                return Some(charge);
            }
            let (_, oldest) = self.by_use.first_key_value()?;
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
            self.evicted += 1;
        }
    }

    /// Returns the response to a request, fresh or not.
    pub(crate) fn find(&mut self, key: &str, request: &Fields) -> Option<Arc<Entry>> {
        let variants = self.entries.get(key)?;
        let entry = variants
            .iter()
            .rev()
            .find(|entry| entry.variant.matches(request))?;
        let entry = Arc::clone(entry);
        self.touch(&entry);
        Some(entry)
    }

    /// Stores a response that came at `now`, `delay` seconds after it was asked for, in the place
    /// of any that is for the same requests. `None` if there is no memory for it.
    pub(crate) fn insert(
        &mut self,
        key: &str,
        variant: Variant,
        response: Response,
        content: Arc<Content>,
        (now, delay): (Moment, u64),
    ) -> Option<Arc<Entry>> {
        let directives = Directives::of(&response.fields);
        let len = OVERHEAD + 2 * key.len() + response.fields.len_in_memory();
        let charge = self.reserve(len)?;
        let entry = Arc::new(Entry {
            key: key.to_owned(),
            variant,
            received_at: now.tick,
            initial_age: initial_age(&response.fields, now, delay),
            lifetime: lifetime(response.status, &response.fields, &directives, now),
            response,
            directives,
            content,
            used: AtomicU64::new(0),
            _charge: charge,
        });
        let variants = self.entries.entry(key.to_owned()).or_default();
        let same = variants
            .iter()
            .position(|other| other.variant == entry.variant);
        let full = (variants.len() >= VARIANTS_MAX).then_some(0);
        let replaced = same.or(full).map(|place| variants.remove(place));
        variants.push(Arc::clone(&entry));
        if let Some(replaced) = replaced {
            self.by_use.remove(&replaced.used.load(Ordering::Relaxed));
        }
        self.touch(&entry);
        Some(entry)
    }

    /// Removes all responses of a target. Returns how many.
    pub(crate) fn purge(&mut self, key: &str) -> usize {
        let variants = self.entries.remove(key).unwrap_or_default();
        for entry in &variants {
            self.by_use.remove(&entry.used.load(Ordering::Relaxed));
        }
        variants.len()
    }

    fn touch(&mut self, entry: &Arc<Entry>) {
        self.uses += 1;
        let before = entry.used.swap(self.uses, Ordering::Relaxed);
        self.by_use.remove(&before);
        self.by_use.insert(self.uses, Arc::clone(entry));
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        self.by_use.remove(&entry.used.load(Ordering::Relaxed));
        if let Some(variants) = self.entries.get_mut(&entry.key) {
            variants.retain(|other| !Arc::ptr_eq(other, entry));
            if variants.is_empty() {
                self.entries.remove(&entry.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use alloc::format;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        pairs
            .iter()
            .for_each(|(name, value)| fields.push(name, value.as_bytes()));
        fields
    }

    fn insert(store: &mut Store, key: &str, vary: &str, request: &Fields, len: usize) -> bool {
        let mut content = Content::default();
        let body = alloc::vec![7; len];
        if content.push(&body, |len| store.reserve(len)) < len {
            return false;
        }
        let response = Response {
            status: 200,
            reason: "OK".into(),
            is_1_1: true,
            fields: fields(&[("Vary", vary), ("Cache-Control", "max-age=10")]),
        };
        let variant = Variant::of(&response.fields, request).unwrap();
        let when = (Moment::default(), 0);
        store
            .insert(key, variant, response, Arc::new(content), when)
            .is_some()
    }

    #[test]
    fn a_response_is_for_requests_that_agree_in_what_it_varies_by() {
        let mut store = Store::new(Ledger::new(1 << 20));
        let (gzip, plain) = (
            fields(&[("Accept-Encoding", "gzip,  br")]),
            Fields::default(),
        );
        assert!(insert(&mut store, "k", "Accept-Encoding", &gzip, 1));
        assert!(store.find("k", &plain).is_none());
        assert!(insert(&mut store, "k", "accept-encoding", &plain, 2));
        let same = fields(&[("accept-encoding", "gzip"), ("accept-encoding", "br")]);
        assert_eq!(store.find("k", &same).unwrap().content.len(), 1);
        assert_eq!(store.find("k", &plain).unwrap().content.len(), 2);
        assert_eq!(Variant::of(&fields(&[("Vary", "a, *")]), &plain), None);
        assert_eq!((store.purge("k"), store.len()), (2, 0));
    }

    #[test]
    fn whatever_comes_the_memory_is_enough_and_the_books_agree() {
        let ledger = Ledger::new(300_000);
        let mut store = Store::new(Arc::clone(&ledger));
        let mut random = Random::new(3);
        let mut held = Vec::new();
        for round in 0..3_000 {
            let key = format!("k{}", random.below(60));
            let request = fields(&[("a", if random.below(2) == 0 { "x" } else { "y" })]);
            match random.below(8) {
                0 => drop(store.purge(&key)),
                1 | 2 => held.extend(store.find(&key, &request)),
                3 => held.clear(),
                _ => {
                    let len = random.below(40_000);
                    insert(&mut store, &key, ["", "a"][random.below(2)], &request, len);
                }
            }
            assert!(ledger.used() <= 300_000, "round {round}");
            let variants: usize = store.entries.values().map(Vec::len).sum();
            assert_eq!(variants, store.by_use.len());
            assert!(store.entries.values().all(|variants| !variants.is_empty()));
        }
        assert!(store.evicted > 100);
        drop((store, held));
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn what_was_used_last_goes_last() {
        let mut store = Store::new(Ledger::new(30_000));
        let none = Fields::default();
        for key in ["a", "b", "c"] {
            assert!(insert(&mut store, key, "", &none, 100));
        }
        assert!(store.find("a", &none).is_some());
        assert!(insert(&mut store, "d", "", &none, 100));
        let left = ["a", "b", "c", "d"].map(|key| store.entries.contains_key(key));
        assert_eq!(left, [true, false, true, true]);
    }
}
