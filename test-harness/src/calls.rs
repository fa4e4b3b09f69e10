//! What each hypercall costs, counted by a guest that is booted in place of the supervisor.

use crate::guest::Guest;
use crate::host::Host;
use crate::machine::{Board, boot_files, count};
use denali_tidy::hypercalls::Costs;

/// Returns a machine that boots the guest that counts.
///
/// # Panics
///
/// If the guest does not build.
#[must_use]
pub fn board(host: &Host) -> Board {
    let [kernel, _] = boot_files(host.status().pid);
    let image = Guest::new("costs").memory("8M").image(host.home());
    Board::new("q35", "max").kernel(&kernel, &image)
}

/// Counts the calls on a machine.
///
/// # Panics
///
/// If the guest does not count them.
#[must_use]
pub fn count_calls(host: &Host, board: &Board) -> Costs {
    let log = count(host.home(), board, "counted").expect("the guest counts");
    log.lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("cost ")?.split(' ');
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect()
}
