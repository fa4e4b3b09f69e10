//! Attacks on the isolation kernel, each with the end it must come to.
//!
//! One image carries them all: the first argument of a service chooses. The guest and the harness
//! share the table [`THEMES`], so that what is attempted and what is expected cannot disagree. An
//! attack that the kernel must survive checks by itself that it had no effect, and returns an error
//! if it had one.
//!
//! | module           | what is attacked                                                |
//! |------------------|-----------------------------------------------------------------|
//! | [`instructions`] | privileged and sensitive instructions                            |
//! | [`ports`]        | I/O ports                                                       |
//! | [`rings`]        | segments, gates and returns to other privilege levels            |
//! | [`flags`]        | flags around `syscall` and traps                                |
//! | [`addresses`]    | addresses that are not the VM's                                 |
//! | [`memory`]       | page permissions, guards, limits, residue                        |
//! | [`hypercalls`]   | numbers that mean nothing, arguments that lie                    |
//! | [`control`]      | calls that only the supervisor may make                          |
//! | [`upcalls`]      | entries, stacks and storms of upcalls                            |
//! | [`queues`]       | indices and descriptors of the shared page                       |
//! | [`network`]      | other people's addresses and frames                              |
//! | [`floods`]       | too much of everything                                           |
//! | [`fuzz`]         | hypercalls and rings at random                                  |
//! | [`vector_state`] | what others left in registers                                    |
//!
//! [`victim`] is no attack: it is whom the attacks must not touch. [`client`] asks it from a VM
//! beside, and [`director`] has all of them play where time is counted in instructions.

#![no_std]
#![expect(unsafe_code, reason = "misbehaves on purpose")]

extern crate alloc;

pub mod addresses;
pub mod client;
pub mod control;
pub mod director;
pub mod flags;
pub mod floods;
pub mod forge;
pub mod fuzz;
pub mod hypercalls;
pub mod instructions;
pub mod memory;
pub mod network;
pub mod ports;
pub mod queues;
pub mod raw;
pub mod rings;
pub mod upcalls;
pub mod vector_state;
pub mod victim;

use alloc::string::String;
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;

/// The argument that makes a victim of the image.
pub const VICTIM: &str = "victim";

/// What an attack noticed: an error is a hole.
pub type Outcome = Result<(), String>;

/// The end an attack must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The kernel ends the VM for one of these reasons. There are several where processors differ.
    Killed(&'static [EndReason]),
    /// The kernel answers with this error, and the VM goes on.
    Refused(Errno),
    /// It has no effect, as it checks itself.
    Harmless,
    /// It sends frames, and the kernel lets none of them out.
    Silenced,
    /// It ends by itself, or the kernel ends it.
    Either,
    /// It never ends by itself, and others hardly notice.
    Throttled,
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name: an argument and the name of a service.
    pub name: &'static str,
    /// The end it must come to.
    pub end: End,
    /// What it does.
    pub run: fn() -> Outcome,
}

impl Attack {
    const fn new(name: &'static str, end: End, run: fn() -> Outcome) -> Self {
        Self { name, end, run }
    }

    const fn killed(
        name: &'static str,
        reasons: &'static [EndReason],
        run: fn() -> Outcome,
    ) -> Self {
        Self::new(name, End::Killed(reasons), run)
    }

    const fn harmless(name: &'static str, run: fn() -> Outcome) -> Self {
        Self::new(name, End::Harmless, run)
    }
}

/// All attacks by theme.
pub const THEMES: [(&str, &[Attack]); 14] = [
    ("instructions", instructions::ATTACKS),
    ("ports", ports::ATTACKS),
    ("rings", rings::ATTACKS),
    ("flags", flags::ATTACKS),
    ("addresses", addresses::ATTACKS),
    ("memory", memory::ATTACKS),
    ("hypercalls", hypercalls::ATTACKS),
    ("control", control::ATTACKS),
    ("upcalls", upcalls::ATTACKS),
    ("queues", queues::ATTACKS),
    ("network", network::ATTACKS),
    ("floods", floods::ATTACKS),
    ("vector-state", vector_state::ATTACKS),
    ("fuzz", fuzz::ATTACKS),
];

/// Returns the attack of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Attack> {
    THEMES
        .iter()
        .flat_map(|(_, attacks)| *attacks)
        .find(|attack| attack.name == name)
}

/// Fails with a formatted message unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(alloc::format!($($message)+));
        }
    };
}
pub(crate) use ensure;

#[cfg(test)]
mod tests {
    extern crate std;

    use super::THEMES;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_at_least_a_hundred_attacks_with_names_of_their_own() {
        let names: std::vec::Vec<_> = THEMES
            .iter()
            .flat_map(|(_, attacks)| attacks.iter().map(|attack| attack.name))
            .collect();
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.len() >= 100, "{}", names.len());
        assert!(names.iter().all(|name| name.len() <= 32));
    }
}
