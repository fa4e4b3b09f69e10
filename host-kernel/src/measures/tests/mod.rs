//! Profiles of real processors, and a processor that refuses every register it does not have.

mod mock;
mod profiles;
mod requests;

use super::{CpuProfile, Finding, Measure, Measures, Request, Status, Vulnerability, decide};
use std::vec::Vec;

/// Decides without anything on the command line.
fn decide_automatically(cpu: &CpuProfile) -> Measures {
    decide(cpu, Request::default())
}

/// Lists what is on.
fn on(measures: &Measures) -> Vec<&'static str> {
    Measure::ALL
        .into_iter()
        .filter(|&measure| measures.has(measure))
        .map(Measure::name)
        .collect()
}

/// Lists what stays open, but for Spectre v1, which stays open everywhere.
fn open(measures: &Measures) -> Vec<Vulnerability> {
    measures
        .findings()
        .filter(|finding| matches!(finding.status, Status::Open(_)))
        .map(|Finding { vulnerability, .. }| vulnerability)
        .filter(|&vulnerability| vulnerability != Vulnerability::SpectreV1)
        .collect()
}
