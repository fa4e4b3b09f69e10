//! The wheel against a sorted map that does the same slowly.

use super::*;
use alloc::collections::BTreeMap;

/// A small generator (Marsaglia 2003, xorshift64*); the seed is all there is to repeat a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns a duration whose magnitude is as random as its digits.
    fn distance(&mut self) -> u64 {
        let bits = self.below(64);
        self.next() >> bits
    }
}

/// Does the same to a wheel and to a model, and compares all that can be seen.
struct Pair {
    wheel: Wheel<u64>,
    /// Live timers by deadline and number.
    model: BTreeMap<(u64, u64), TimerKey>,
    now: u64,
    numbers: u64,
}

impl Pair {
    fn new() -> Self {
        Self {
            wheel: Wheel::new(),
            model: BTreeMap::new(),
            now: 0,
            numbers: 0,
        }
    }

    fn insert(&mut self, deadline: u64) {
        let number = self.numbers;
        self.numbers += 1;
        let key = self.wheel.insert(Instant::from_ns(deadline), number);
        self.model.insert((deadline, number), key);
    }

    fn cancel(&mut self, random: &mut Random) {
        let nth = usize::try_from(random.below(1 + self.model.len() as u64)).unwrap();
        let Some((&timer, &key)) = self.model.iter().nth(nth) else {
            return;
        };
        self.model.remove(&timer);
        assert_eq!(self.wheel.cancel(key), Some(timer.1));
        assert_eq!(self.wheel.cancel(key), None);
    }

    fn advance(&mut self, ns: u64) {
        self.now = self.now.saturating_add(ns);
        let mut last = 0;
        while let Some(number) = self.wheel.expire(Instant::from_ns(self.now)) {
            let timer = *self.model.keys().find(|timer| timer.1 == number).unwrap();
            assert!(
                timer.0 <= self.now && timer.0 >= last,
                "{timer:?} at {}",
                self.now
            );
            last = timer.0;
            let key = self.model.remove(&timer).unwrap();
            assert_eq!(self.wheel.cancel(key), None);
        }
        assert!(
            self.model
                .keys()
                .next()
                .is_none_or(|timer| timer.0 > self.now)
        );
    }

    fn compare(&self) {
        assert_eq!(self.wheel.len(), self.model.len());
        let earliest = self
            .model
            .keys()
            .next()
            .map(|timer| Instant::from_ns(timer.0));
        assert_eq!(self.wheel.next_deadline(), earliest);
    }
}

#[test]
fn agrees_with_a_sorted_map() {
    for seed in 1..=64 {
        let mut random = Random(seed);
        let mut pair = Pair::new();
        for _ in 0..600 {
            match random.below(8) {
                0..=3 => {
                    let deadline = pair.now.saturating_add(random.distance());
                    pair.insert(deadline);
                }
                4 | 5 => pair.cancel(&mut random),
                6 => {
                    let distance = random.distance() >> random.below(32);
                    pair.advance(distance);
                }
                _ => {
                    let next = pair.wheel.next_deadline().map_or(0, Instant::as_ns);
                    pair.advance(next.saturating_sub(pair.now));
                }
            }
            pair.compare();
        }
    }
}

#[test]
fn a_hundred_thousand_timers_fire_in_order() {
    let mut random = Random(7);
    let mut wheel = Wheel::new();
    let keys: Vec<_> = (0..100_000_u64)
        .map(|number| {
            let deadline = random.below(60_000_000_000);
            (
                wheel.insert(Instant::from_ns(deadline), (deadline, number)),
                number,
            )
        })
        .collect();
    for (key, number) in keys.iter().filter(|(_, number)| number % 3 == 0) {
        assert_eq!(wheel.cancel(*key).map(|timer| timer.1), Some(*number));
    }
    let mut fired = 0;
    let mut last = 0;
    while let Some(next) = wheel.next_deadline() {
        assert_eq!(wheel.expire(Instant::from_ns(next.as_ns() - 1)), None);
        let (deadline, _) = wheel.expire(next).unwrap();
        assert!(deadline == next.as_ns() && deadline >= last);
        last = deadline;
        fired += 1;
    }
    assert_eq!(fired, 66_666);
}

#[test]
fn an_overdue_timer_fires_at_once_and_says_so() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.expire(Instant::from_ns(1_000)), None);
    wheel.insert(Instant::from_ns(2_000), 'b');
    wheel.insert(Instant::from_ns(10), 'a');
    assert_eq!(wheel.next_deadline(), Some(Instant::from_ns(10)));
    assert_eq!(wheel.expire(Instant::from_ns(1_000)), Some('a'));
    assert_eq!(wheel.expire(Instant::from_ns(1_000)), None);
    assert_eq!(wheel.next_deadline(), Some(Instant::from_ns(2_000)));
}

#[test]
fn a_key_names_nothing_after_its_place_is_used_again() {
    let mut wheel = Wheel::new();
    let old = wheel.insert(Instant::from_ns(5), 1);
    assert_eq!(wheel.cancel(old), Some(1));
    let new = wheel.insert(Instant::from_ns(5), 2);
    assert_eq!(wheel.cancel(old), None);
    assert_eq!(wheel.cancel(new), Some(2));
    assert!(wheel.is_empty());
}

#[test]
fn the_end_of_time_is_a_deadline_like_any_other() {
    let mut wheel = Wheel::new();
    wheel.insert(Instant::MAX, ());
    assert_eq!(wheel.next_deadline(), Some(Instant::MAX));
    assert_eq!(wheel.expire(Instant::from_ns(u64::MAX - 1)), None);
    assert_eq!(wheel.expire(Instant::MAX), Some(()));
}

#[test]
fn a_hundred_thousand_pending_timers_slow_neither_setting_nor_cancelling() {
    let cost = |pending: u64| {
        let mut random = Random(5);
        let mut wheel = Wheel::new();
        for number in 0..pending {
            wheel.insert(Instant::from_ns(random.below(60_000_000_000)), number);
        }
        // The best of several, for other processes run, too.
        let rounds = (0..9).map(|_| {
            let start = std::time::Instant::now();
            for number in 0..10_000 {
                let deadline = Instant::from_ns(random.below(60_000_000_000));
                let key = wheel.insert(deadline, number);
                assert_eq!(wheel.cancel(key), Some(number));
            }
            start.elapsed()
        });
        rounds.min().unwrap()
    };
    let (few, many) = (cost(100), cost(100_000));
    assert!(
        many < few * 8 + core::time::Duration::from_millis(5),
        "{few:?} became {many:?}"
    );
}

#[test]
fn a_timer_moves_at_most_once_a_level_before_it_fires() {
    let mut random = Random(11);
    let mut wheel = Wheel::new();
    let mut deadlines: Vec<u64> = (0..100_000)
        .map(|_| random.below(3_600_000_000_000))
        .collect();
    for deadline in &deadlines {
        wheel.insert(Instant::from_ns(*deadline), *deadline);
    }
    deadlines.sort_unstable();
    let (mut moves, mut fired) = (0_u64, Vec::new());
    while let Some(slot) = wheel.first_slot() {
        if slot >= LEVEL_SLOTS {
            let mut link = wheel.slots[slot];
            while let Some(current) = link {
                moves += 1;
                link = wheel.entries[index_of(current)].next;
            }
            wheel.elapsed = wheel.slot_start(slot);
            wheel.move_down(slot);
        } else {
            let now = Instant::from_ns(wheel.slot_start(slot));
            fired.extend(wheel.expire(now));
        }
    }
    assert_eq!(fired, deadlines);
    // An hour has seven digits to the base of 64.
    assert!(moves <= 6 * 100_000, "{moves}");
}
