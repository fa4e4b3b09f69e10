//! Latencies as counts in buckets whose widths grow with what they count.
//!
//! Each octave from 16 microseconds on has four buckets, so a bound read from them is at most a
//! quarter above what was measured.

use crate::convert::{u32_to_usize, usize_to_u64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Octaves that are told apart: up to 16 s.
const OCTAVES: usize = 20;

/// Buckets of an octave.
const PARTS: usize = 4;

/// Where the first octave begins, as a power of two of nanoseconds.
const FIRST_OCTAVE: u32 = 14;

/// How many latencies there were of each length.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Latencies {
    /// Counts: the octave from `2^(14 + n)` nanoseconds on in four equal parts. What is shorter
    /// counts in the first bucket, what is longer in the last one.
    pub octaves: [[u32; PARTS]; OCTAVES],
}

const _: () = assert!(size_of::<Latencies>() == 320);

impl Latencies {
    /// Counts a latency of `ns` nanoseconds.
    pub fn count(&mut self, ns: u64) {
        let ns = ns.max(1 << FIRST_OCTAVE);
        let octave = u32_to_usize(ns.ilog2() - FIRST_OCTAVE);
        // The two bits behind the leading one.
        let part = u32_to_usize(u32::from(ns >> (ns.ilog2() - 1) & 1 != 0)) * 2
            + u32_to_usize(u32::from(ns >> (ns.ilog2() - 2) & 1 != 0));
        let bucket = match self.octaves.get_mut(octave) {
            Some(parts) => parts.get_mut(part),
            None => self.octaves.last_mut().and_then(|parts| parts.last_mut()),
        };
        if let Some(bucket) = bucket {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// Returns how many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.octaves
            .as_flattened()
            .iter()
            .map(|&n| u64::from(n))
            .sum()
    }

    /// Returns a bound in nanoseconds below which `thousandths` of all latencies are; `None` if there
    /// are none.
    #[must_use]
    pub fn percentile_ns(&self, thousandths: u32) -> Option<u64> {
        let total = self.total();
        let wanted = (total * u64::from(thousandths.min(1000)))
            .div_ceil(1000)
            .max(1);
        let mut seen = 0;
        for (bucket, &count) in (0..).zip(self.octaves.as_flattened()) {
            seen += u64::from(count);
            if seen >= wanted {
                return Some(Self::end_ns(bucket));
            }
        }
        None
    }

    /// Returns where a bucket ends, in nanoseconds.
    fn end_ns(bucket: usize) -> u64 {
        let (octave, part) = (bucket / PARTS, bucket % PARTS);
        let start = 1_u64 << FIRST_OCTAVE << octave;
        start + start / usize_to_u64(PARTS) * usize_to_u64(part + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_a_quarter_above_what_was_measured() {
        for ns in [20_000, 31_000, 33_000, 1_000_000, 7_654_321, 15_000_000_000] {
            let mut latencies = Latencies::default();
            latencies.count(ns);
            let bound = latencies.percentile_ns(500).expect("one was counted");
            assert!(ns <= bound && bound <= ns + ns / 4 + 1, "{ns}: {bound}");
        }
    }

    #[test]
    fn percentiles_are_in_order_and_extremes_are_counted() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile_ns(990), None);
        for ns in 1..=1000 {
            latencies.count(ns * 100_000);
        }
        latencies.count(0);
        latencies.count(u64::MAX);
        assert_eq!(latencies.total(), 1002);
        let [half, most, all] = [500, 990, 1000].map(|part| latencies.percentile_ns(part));
        assert!(half < most && most < all, "{half:?} {most:?} {all:?}");
        assert!((50_000_000..=63_000_000).contains(&half.expect("some")));
    }
}
