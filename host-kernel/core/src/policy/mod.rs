//! Policies: what may be decided one way or another, chosen on the kernel's command line.
//!
//! A policy knows ids, numbers and time, and calls nothing. The mechanism asks it, checks the answer
//! and counts those it did not follow: a bad policy may be slow, it cannot break isolation.

pub mod gatekeeper;
pub mod queue;
pub mod replacement;
pub mod scheduler;

use alloc::boxed::Box;
use core::fmt;
use gatekeeper::Gatekeeper;
use gatekeeper::fifo::Fifo;
use gatekeeper::strict::Strict;
use gatekeeper::working_set::WorkingSet;
use queue::{DeficitRoundRobin, DropTail, QueueDiscipline};
use replacement::Replacement;
use replacement::clock::Clock;
use replacement::ws_clock::WsClock;
use scheduler::Scheduler;
use scheduler::fair::Fair;
use scheduler::round_robin::RoundRobin;

/// The policies of one kernel.
#[derive(Debug)]
pub struct Policies {
    /// Who is admitted.
    pub gatekeeper: Box<dyn Gatekeeper>,
    /// Who leaves memory when it is short.
    pub replacement: Box<dyn Replacement>,
    /// Who runs.
    pub scheduler: Box<dyn Scheduler>,
    /// Which frame goes.
    pub queue: Box<dyn QueueDiscipline>,
    /// What comes back with a VM.
    pub working_sets: WorkingSets,
    /// Blocks of a VM that are read and written together.
    pub cluster: u32,
    /// Whether guests are offered to leave checksums and segmentation to others.
    pub net_offload: NetOffload,
}

/// Whether guests are offered to leave checksums and segmentation to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetOffload {
    /// They are.
    On,
    /// They compute and cut themselves.
    Off,
}

impl NetOffload {
    /// Returns the flags of [`denali_abi::net::flags`] that a guest may use.
    #[must_use]
    pub const fn features(self) -> u16 {
        match self {
            Self::On => crate::net::ring::FEATURES,
            Self::Off => 0,
        }
    }
}

/// What comes back with a VM that was on swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkingSets {
    /// All that was in memory when it left; the rest when it is touched.
    On,
    /// What it cannot be without; all else when it is touched.
    Off,
}

/// Blocks of 4 KiB in a cluster, if the command line says nothing.
const CLUSTER_DEFAULT: u32 = 4;

/// A policy the command line names but nobody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy<'a> {
    /// What is to be chosen.
    pub key: &'static str,
    /// The name given.
    pub value: &'a str,
    /// What there is; the first is taken.
    pub known: &'static str,
}

impl fmt::Display for UnknownPolicy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, known } = self;
        write!(
            f,
            "command line: no {key} called '{value}', taking the first of: {known}"
        )
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            gatekeeper: Box::<Strict>::default(),
            replacement: Box::<WsClock>::default(),
            scheduler: Box::<Fair>::default(),
            queue: Box::<DeficitRoundRobin>::default(),
            working_sets: WorkingSets::On,
            cluster: CLUSTER_DEFAULT,
            net_offload: NetOffload::On,
        }
    }
}

impl Policies {
    /// Chooses policies by the words `gatekeeper=…`, `replacement=…`, `working-set=…`, `cluster=…`,
    /// `scheduler=…`, `queue=…` and `net-offload=…`; of several words the last counts, and other words
    /// are none of its business. Each unknown name is passed to `complain`.
    pub fn from_command_line<'a>(
        command_line: &'a str,
        mut complain: impl FnMut(UnknownPolicy<'a>),
    ) -> Self {
        let mut policies = Self::default();
        for word in command_line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("gatekeeper", "strict")) => policies.gatekeeper = Box::<Strict>::default(),
                Some(("gatekeeper", "fifo")) => policies.gatekeeper = Box::<Fifo>::default(),
                Some(("gatekeeper", "working-set")) => {
                    policies.gatekeeper = Box::<WorkingSet>::default();
                }
                Some(("gatekeeper", value)) => {
                    complain(UnknownPolicy {
                        key: "gatekeeper",
                        value,
                        known: "strict, fifo, working-set",
                    });
                }
                Some((key @ ("replacement" | "working-set" | "cluster"), value)) => {
                    if let Err(unknown) = policies.choose_paging(key, value) {
                        complain(unknown);
                    }
                }
                Some(("scheduler", "fair")) => policies.scheduler = Box::<Fair>::default(),
                Some(("scheduler", "round-robin")) => {
                    policies.scheduler = Box::<RoundRobin>::default();
                }
                Some(("scheduler", value)) => {
                    complain(UnknownPolicy {
                        key: "scheduler",
                        value,
                        known: "fair, round-robin",
                    });
                }
                Some(("queue", "drr")) => policies.queue = Box::<DeficitRoundRobin>::default(),
                Some(("queue", "drop-tail")) => policies.queue = Box::new(DropTail),
                Some(("queue", value)) => {
                    complain(UnknownPolicy {
                        key: "queue",
                        value,
                        known: "drr, drop-tail",
                    });
                }
                Some(("net-offload", "on")) => policies.net_offload = NetOffload::On,
                Some(("net-offload", "off")) => policies.net_offload = NetOffload::Off,
                Some(("net-offload", value)) => {
                    complain(UnknownPolicy {
                        key: "net-offload",
                        value,
                        known: "on, off",
                    });
                }
                _ => {}
            }
        }
        policies
    }

    /// Chooses what concerns paging alone.
    fn choose_paging<'a>(&mut self, key: &str, value: &'a str) -> Result<(), UnknownPolicy<'a>> {
        let unknown = |key, known| Err(UnknownPolicy { key, value, known });
        match (key, value) {
            ("replacement", "ws-clock") => self.replacement = Box::<WsClock>::default(),
            ("replacement", "clock") => self.replacement = Box::new(Clock),
            ("replacement", _) => return unknown("replacement", "ws-clock, clock"),
            ("working-set", "on") => self.working_sets = WorkingSets::On,
            ("working-set", "off") => self.working_sets = WorkingSets::Off,
            ("working-set", _) => return unknown("working-set", "on, off"),
            (_, "16") => self.cluster = 4,
            (_, "4") => self.cluster = 1,
            (_, "64") => self.cluster = 16,
            _ => return unknown("cluster", "16, 4, 64"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    #[test]
    fn an_unknown_policy_is_named_and_the_default_taken() {
        let mut complaints = Vec::new();
        let line = "console=ttyS0 scheduler=lottery gatekeeper=fifo queue=drop-tail";
        let policies = Policies::from_command_line(line, |unknown| complaints.push(unknown));
        assert_eq!(complaints.len(), 1);
        assert_eq!(
            format!("{}", complaints[0]),
            "command line: no scheduler called 'lottery', taking the first of: fair, round-robin"
        );
        assert!(format!("{policies:?}").contains("Fifo"));
    }
}
