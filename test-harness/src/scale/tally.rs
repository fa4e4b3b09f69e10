//! What came of many requests.

use crate::load::Outcome;
use std::time::Duration;

/// What came of many requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) first_bytes: Vec<Duration>,
    pub(super) wrong: u32,
    pub(super) refused: u32,
    pub(super) silent: u32,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { first_byte, .. } => self.first_bytes.push(first_byte),
            Outcome::Wrong => self.wrong += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Silent => self.silent += 1,
        }
    }

    pub(super) fn all_right(&self) -> bool {
        self.wrong == 0 && self.refused == 0 && self.silent == 0
    }

    /// Returns the time from the first packet to the first byte that this part of the answers kept.
    pub(super) fn percentile(&self, part: f64) -> Duration {
        let mut sorted = self.first_bytes.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of a list"
        )]
        let at = (sorted.len() as f64 * part) as usize;
        sorted
            .get(at.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}
