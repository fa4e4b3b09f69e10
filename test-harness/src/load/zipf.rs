//! Numbers whose frequencies follow Zipf's law.

/// Draws ranks from 0: rank `r` in proportion to `1 / (r + 1)^alpha`.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Sums of all weights up to each rank.
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    /// Makes a source of `ranks` ranks; what it draws follows from `seed`.
    #[must_use]
    pub fn new(ranks: u32, alpha: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=ranks).map(|rank| {
            sum += f64::from(rank).powf(-alpha);
            sum
        });
        Self {
            sums: sums.collect(),
            state: seed,
        }
    }

    /// Draws a rank.
    pub fn draw(&mut self) -> usize {
        let all = self.sums.last().copied().unwrap_or(0.0);
        let at = self.uniform() * all;
        let rank = self.sums.partition_point(|sum| *sum <= at);
        rank.min(self.sums.len().saturating_sub(1))
    }

    /// Puts `items` into an order that follows from `seed` alone.
    pub fn shuffle<T>(items: &mut [T], seed: u64) {
        let ranks = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let mut even = Self::new(ranks, 0.0, seed);
        for index in 0..items.len() {
            items.swap(index, even.draw());
        }
    }

    /// Draws from 0 inclusive to 1 exclusive (`SplitMix64`; Steele, Lea, Flood 2014).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let [a, b, c, d, ..] = mixed.to_le_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_the_law() {
        let mut zipf = Zipf::new(1000, 1.0, 1);
        let mut counts = [0_u32; 1000];
        for _ in 0..100_000 {
            counts[zipf.draw()] += 1;
        }
        // The harmonic number of 1000 is 7.485.
        let first = f64::from(counts[0]) / 100_000.0;
        assert!((first - 1.0 / 7.485).abs() < 0.01, "{first}");
        assert!(counts[0] > counts[9] && counts[9] > counts[99]);
    }

    #[test]
    fn without_a_slope_all_are_alike() {
        let mut zipf = Zipf::new(4, 0.0, 7);
        let mut counts = [0_u32; 4];
        for _ in 0..40_000 {
            counts[zipf.draw()] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)));
    }
}
