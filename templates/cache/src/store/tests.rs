//! The store against simple models of what it promises.

use super::arena::HEAD_BYTES;
use super::*;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

const LIMITS: Limits = Limits {
    segments_max: 3,
    item_len_max: 20_000,
};

/// Random numbers from a seed (Marsaglia's xorshift), which failures print.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

/// Returns the seeds to try: the one in `CACHE_SEED`, or a few.
fn seeds() -> Vec<u64> {
    match std::env::var("CACHE_SEED") {
        Ok(seed) => vec![seed.parse().expect("CACHE_SEED is a number")],
        Err(_) => (1..=20).collect(),
    }
}

fn store() -> Store {
    Store::new(LIMITS, [1, 2])
}

fn set(store: &mut Store, key: &[u8], value: &[u8], expiry: Expiry, tick: u32) -> PutOutcome {
    put(store, key, value, expiry, Put::default(), tick)
}

fn put(
    store: &mut Store,
    key: &[u8],
    value: &[u8],
    expiry: Expiry,
    put: Put,
    tick: u32,
) -> PutOutcome {
    match store.draft(key, value.len(), 0, expiry, tick) {
        Ok(mut draft) => {
            value
                .chunks(77)
                .for_each(|chunk| store.fill(&mut draft, chunk));
            store.put(draft, put, tick)
        }
        Err(refused) => PutOutcome::Refused(refused),
    }
}

fn value(store: &Store, id: ItemId) -> Vec<u8> {
    let mut value = Vec::new();
    store.read_all(id, |piece| value.extend_from_slice(piece));
    value
}

fn get(store: &mut Store, key: &[u8], tick: u32) -> Option<Vec<u8>> {
    let id = store.find(key, tick)?;
    store.bump(id, tick);
    Some(value(store, id))
}

/// Checks that every block is accounted for: by an item of the list, or as free.
#[track_caller]
fn check_accounts(store: &Store) {
    let (mut blocks, mut items) = (0, 0);
    let mut link = store.lru.oldest();
    while let Some(id) = link {
        let item = store.arena.item(id);
        blocks += item.blocks();
        items += 1;
        link = item.newer;
    }
    assert_eq!(blocks, store.arena.used(), "blocks in use");
    assert_eq!(items, store.counters.items, "items");
    assert!(store.arena.used() <= store.arena.limit());
    let linked = (0..store.arena.touched()).filter_map(|index| store.arena.item_at(index));
    assert_eq!(linked.count() as u64, items, "items in memory");
}

/// A cache of so many blocks: keys in the order of their use, the newest last.
struct Model {
    order: VecDeque<(Vec<u8>, Vec<u8>)>,
    blocks_max: usize,
}

impl Model {
    fn blocks(key: &[u8], value: &[u8]) -> usize {
        Arena::blocks_for(key.len() + value.len())
    }

    fn used(&self) -> usize {
        self.order
            .iter()
            .map(|(key, value)| Self::blocks(key, value))
            .sum()
    }

    fn take(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let place = self.order.iter().position(|(known, _)| known == key)?;
        self.order.remove(place).map(|(_, value)| value)
    }

    fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let value = self.take(key)?;
        self.order.push_back((key.to_vec(), value.clone()));
        Some(value)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        // The new one is complete before the old one goes.
        while self.used() + Self::blocks(key, value) > self.blocks_max {
            self.order.pop_front();
        }
        self.take(key);
        self.order.push_back((key.to_vec(), value.to_vec()));
    }
}

#[test]
fn without_expiry_it_is_exactly_a_least_recently_used_cache() {
    for seed in seeds() {
        let mut random = Random(seed);
        let mut store = store();
        let mut model = Model {
            order: VecDeque::new(),
            blocks_max: store.arena.limit(),
        };
        for step in 0..3_000 {
            let key = format!("key-{}", random.below(300)).into_bytes();
            match random.below(10) {
                0..=4 => assert_eq!(
                    get(&mut store, &key, 1),
                    model.get(&key),
                    "seed {seed}, step {step}"
                ),
                5..=8 => {
                    let len_max = [40, 200, 1_000, 9_000][random.below(4)];
                    let len = random.below(len_max);
                    let value = random.bytes(len);
                    let outcome = set(&mut store, &key, &value, Expiry::NEVER, 1);
                    assert!(matches!(outcome, PutOutcome::Stored { .. }), "seed {seed}");
                    model.set(&key, &value);
                }
                _ => {
                    let found = store.find(&key, 1);
                    assert_eq!(found.is_some(), model.take(&key).is_some(), "seed {seed}");
                    found.into_iter().for_each(|id| store.remove(id));
                }
            }
            assert_eq!(store.arena.used(), model.used(), "seed {seed}, step {step}");
        }
        check_accounts(&store);
        assert!(store.counters.evicted > 0, "the test fills the store");
    }
}

#[test]
fn nothing_expired_or_flushed_is_ever_found_and_all_memory_comes_back() {
    for seed in seeds() {
        let mut random = Random(seed);
        let mut store = store();
        let mut model: BTreeMap<Vec<u8>, (Vec<u8>, Expiry)> = BTreeMap::new();
        let mut tick = 1;
        for step in 0..3_000 {
            tick += u32::from(random.below(20) == 0);
            let now = crate::clock::Moment { tick, unix: 0 };
            let key = format!("{}-{}", "k".repeat(random.below(200)), random.below(8)).into_bytes();
            let context = format!("seed {seed}, step {step}");
            match random.below(100) {
                0..=39 => {
                    let found = get(&mut store, &key, tick);
                    let live = model.get(&key).filter(|(_, expiry)| !expiry.is_past(tick));
                    // An item may have been evicted, but never comes back changed.
                    assert!(
                        found.is_none() || found.as_ref() == live.map(|(v, _)| v),
                        "{context}"
                    );
                }
                40..=79 => {
                    let expiry = Expiry::requested(random.below(6) as i64 - 1, now);
                    let len = random.below(3_000);
                    let value = random.bytes(len);
                    set(&mut store, &key, &value, expiry, tick);
                    model.insert(key, (value, expiry));
                }
                80..=89 => {
                    let mode = [Mode::Append, Mode::Prepend][random.below(2)];
                    let live = get(&mut store, &key, tick);
                    let put_so = Put {
                        mode,
                        ..Put::default()
                    };
                    let outcome = put(&mut store, &key, b"more", Expiry::NEVER, put_so, tick);
                    assert_eq!(
                        matches!(outcome, PutOutcome::Stored { .. }),
                        live.is_some(),
                        "{context}"
                    );
                    if let (Some(live), Some((value, _))) = (live, model.get_mut(&key)) {
                        *value = match mode {
                            Mode::Append => [live.as_slice(), b"more"].concat(),
                            _ => [b"more", live.as_slice()].concat(),
                        };
                    }
                }
                90..=97 => {
                    if let Some(id) = store.find(&key, tick) {
                        store.remove(id);
                    }
                    model.remove(&key);
                }
                98 => {
                    store.flush();
                    model.clear();
                }
                _ => {
                    // A draft that is given up, and a reader that outlives its item.
                    let draft = store
                        .draft(&key, 500, 0, Expiry::NEVER, tick)
                        .expect("room");
                    if let Some(id) = store.find(&key, tick) {
                        let expected = value(&store, id);
                        let mut reading = store.begin_reading(id);
                        store.remove(id);
                        model.remove(&key);
                        let mut seen = Vec::new();
                        while reading.left() > 0 {
                            store.read(&mut reading, 100, |piece| seen.extend_from_slice(piece));
                        }
                        store.end_reading(reading);
                        assert_eq!(seen, expected, "{context}");
                    }
                    store.discard(draft);
                }
            }
        }
        check_accounts(&store);
        store.flush();
        for _ in 0..store.arena.limit() {
            store.sweep(tick);
        }
        check_accounts(&store);
        assert_eq!(store.arena.used(), 0, "seed {seed}");
    }
}

#[test]
fn what_is_being_read_or_made_is_not_evicted() {
    let mut store = store();
    let len = 15_000;
    let old = vec![7; len];
    set(&mut store, b"read", &old, Expiry::NEVER, 1);
    let id = store.find(b"read", 1).expect("just stored");
    let mut reading = store.begin_reading(id);
    // More than fits: everything else is evicted, again and again.
    for round in 0..100_u8 {
        let outcome = set(
            &mut store,
            &[b'x', round],
            &vec![round; len],
            Expiry::NEVER,
            1,
        );
        assert!(matches!(outcome, PutOutcome::Stored { .. }), "{round}");
    }
    let mut seen = Vec::new();
    store.read(&mut reading, len, |piece| seen.extend_from_slice(piece));
    assert_eq!(seen, old);
    store.end_reading(reading);
    // Drafts that are not complete leave nothing to evict.
    let mut drafts = Vec::new();
    let refused = loop {
        match store.draft(b"draft", len, 0, Expiry::NEVER, 1) {
            Ok(draft) => drafts.push(draft),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused, store.counters.items), (Refused::NoMemory, 0));
    drafts.into_iter().for_each(|draft| store.discard(draft));
    assert_eq!(store.arena.used(), 0);
}

#[test]
fn an_item_beyond_the_limit_is_refused() {
    let mut store = store();
    let at_most = vec![0; LIMITS.item_len_max - 1];
    assert!(matches!(
        set(&mut store, b"k", &at_most, Expiry::NEVER, 1),
        PutOutcome::Stored { .. }
    ));
    let more = Put {
        mode: Mode::Append,
        ..Put::default()
    };
    let too_large = PutOutcome::Refused(Refused::TooLarge);
    assert_eq!(
        put(&mut store, b"k", b"x", Expiry::NEVER, more, 1),
        too_large
    );
    assert_eq!(get(&mut store, b"k", 1), Some(at_most), "it is as it was");
    check_accounts(&store);
}

#[test]
fn a_change_is_stored_only_over_the_one_it_saw() {
    let mut store = store();
    let over = |compare, stale_if_later| Put {
        compare: Some(compare),
        stale_if_later,
        ..Put::default()
    };
    let mut put = |how| put(&mut store, b"k", b"v", Expiry::NEVER, how, 1);
    assert_eq!(put(over(1, false)), PutOutcome::NotFound);
    assert_eq!(put(Put::default()), PutOutcome::Stored { cas: 1 });
    assert_eq!(put(over(1, false)), PutOutcome::Stored { cas: 2 });
    assert_eq!(put(over(1, false)), PutOutcome::Exists);
    assert_eq!(put(over(1, true)), PutOutcome::Stored { cas: 3 });
    let id = store.find(b"k", 1).expect("just stored");
    assert!(store.item(id).is_stale());
}

#[test]
fn a_flush_in_the_future_takes_what_is_there_by_then() {
    let mut store = store();
    store.flush_at(5);
    set(&mut store, b"a", b"1", Expiry::NEVER, 4);
    assert!(get(&mut store, b"a", 4).is_some());
    assert!(get(&mut store, b"a", 5).is_none());
    set(&mut store, b"a", b"1", Expiry::NEVER, 5);
    assert!(get(&mut store, b"a", 9).is_some());
}

#[test]
fn numbers_count_in_place_and_grow() {
    let mut store = store();
    for (text, direction, delta, after) in [
        ("10", Direction::Up, 5, Some("15")),
        ("10", Direction::Down, 1, Some("9 ")),
        ("10", Direction::Down, 11, Some("0 ")),
        ("99", Direction::Up, 1, Some("100")),
        (
            "18446744073709551615",
            Direction::Up,
            2,
            Some("1                   "),
        ),
        ("18446744073709551616", Direction::Up, 1, None),
        ("", Direction::Up, 1, None),
        ("-1", Direction::Up, 1, None),
        ("+1", Direction::Up, 1, None),
        ("1x", Direction::Up, 1, None),
    ] {
        set(&mut store, b"n", text.as_bytes(), Expiry::NEVER, 1);
        let id = store.find(b"n", 1).expect("just stored");
        let counted = store.count(id, direction, delta, None, 1);
        assert_eq!(counted.is_ok(), after.is_some(), "{text}");
        let now = get(&mut store, b"n", 1).expect("still there");
        assert_eq!(now, after.unwrap_or(text).as_bytes(), "{text}");
    }
    check_accounts(&store);
}

#[test]
fn values_of_all_lengths_around_a_block_come_back() {
    let mut store = store();
    for len in 0..3 * BLOCK_LEN + HEAD_BYTES {
        let value: Vec<u8> = (0..len).map(|n| n as u8).collect();
        set(&mut store, b"key", &value, Expiry::NEVER, 1);
        assert_eq!(get(&mut store, b"key", 1), Some(value));
        check_accounts(&store);
    }
}
