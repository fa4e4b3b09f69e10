//! Which attacks run side by side.

use denali_attacks::{Attack, End};
use std::env;

/// Attacks that run at the same time, unless `DENALI_BATCH` says how many.
const BATCH: usize = 12;

/// Of them, those that never end.
const HOGS: usize = 2;

/// Returns batches of those that come to an end, and of the others, fewer at a time.
pub(super) fn batches<'a>(attacks: impl IntoIterator<Item = &'a Attack>) -> Vec<Vec<&'a Attack>> {
    let (hogs, others): (Vec<&Attack>, Vec<&Attack>) =
        attacks.into_iter().partition(|attack| is_hog(attack));
    let wanted = env::var("DENALI_BATCH").ok();
    let wanted = wanted.and_then(|text| text.parse().ok());
    let size = wanted.unwrap_or(BATCH).max(1);
    let others = others.chunks(size);
    let hogs = hogs.chunks(size.min(HOGS));
    others.chain(hogs).map(<[_]>::to_vec).collect()
}

/// Returns whether an attack never ends by itself.
pub(super) fn is_hog(attack: &Attack) -> bool {
    attack.end == End::Throttled
}
