//! How evenly ticks come.

use alloc::format;
use alloc::string::String;

/// Counts of delays by their size: 16 classes for each power of two, exact to 6 %.
#[derive(Clone, Debug)]
pub struct Delays {
    counts: [u32; CLASSES],
    sum: u64,
    count: u64,
    max: u32,
}

/// Classes of a power of two.
const STEPS: u32 = 16;

/// Classes for all delays of 32 bits.
const CLASSES: usize = (STEPS * 29) as usize;

impl Default for Delays {
    fn default() -> Self {
        Self {
            counts: [0; CLASSES],
            sum: 0,
            count: 0,
            max: 0,
        }
    }
}

impl Delays {
    /// Counts a delay, in microseconds.
    pub fn note(&mut self, delay: u32) {
        self.counts[class(delay)] += 1;
        self.sum += u64::from(delay);
        self.count += 1;
        self.max = self.max.max(delay);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum += other.sum;
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Returns how many have been counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the mean in microseconds.
    #[must_use]
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// Returns the longest in microseconds.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.max
    }

    /// Returns a delay, in microseconds, that `percent` of all do not exceed.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> u32 {
        let wanted = (self.count * percent).div_ceil(100);
        let mut passed = 0;
        for (class, count) in self.counts.iter().enumerate() {
            passed += u64::from(*count);
            if passed >= wanted {
                return upper_bound(class).min(self.max);
            }
        }
        self.max
    }

    /// Returns mean, 50th and 99th percentile and maximum as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (mean, p50, p99) = (self.mean(), self.percentile(50), self.percentile(99));
        format!(
            "{{\"count\":{},\"mean_us\":{mean},\"p50_us\":{p50},\"p99_us\":{p99},\"max_us\":{}}}",
            self.count, self.max
        )
    }
}

fn class(delay: u32) -> usize {
    let power = delay.max(STEPS).ilog2() - STEPS.ilog2();
    // Below twice `STEPS` a class is one microsecond wide.
    let class = if delay < 2 * STEPS {
        delay
    } else {
        power * STEPS + (delay >> power)
    };
    class as usize
}

/// Returns the longest delay of a class.
fn upper_bound(class: usize) -> u32 {
    let class = u32::try_from(class).unwrap_or(u32::MAX);
    if class < 2 * STEPS {
        return class;
    }
    let power = class / STEPS - 1;
    let start = u64::from(class % STEPS + STEPS) << power;
    u32::try_from(start + (1 << power) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use alloc::vec::Vec;

    #[test]
    fn every_delay_lies_within_its_class() {
        let mut random = Random::new(1);
        let samples = (0..100_000).map(|n| random.number() >> (n % 32));
        for delay in samples.chain([0, 1, 15, 16, 31, 32, 33, u32::MAX]) {
            let class = class(delay);
            assert!(upper_bound(class) >= delay, "{delay}");
            assert!(class == 0 || upper_bound(class - 1) < delay, "{delay}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list_to_six_percent() {
        let mut random = Random::new(2);
        let mut delays = Delays::default();
        let mut all: Vec<u32> = (0..9_999).map(|_| random.below(1_000_000)).collect();
        all.iter().for_each(|delay| delays.note(*delay));
        all.sort_unstable();
        for percent in [1_u32, 50, 90, 99] {
            let exact = all[(all.len() * percent as usize).div_ceil(100) - 1];
            let found = delays.percentile(percent.into());
            assert!(
                found >= exact && found - exact <= exact / 16 + 1,
                "{percent} %: {exact} {found}"
            );
        }
        assert_eq!(delays.max(), all[all.len() - 1]);
    }
}
