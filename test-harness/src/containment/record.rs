//! The containment record: what was attempted and how it ended, as one JSON file.

use super::virtual_time::Latency;
use super::watch::Report;
use anyhow::{Context as _, Result};
use denali_attacks::Attack;
use denali_protocol::Service;
use serde::Serialize;
use std::path::Path;

/// One run of the suite.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The attacks in the order they ran.
    pub attacks: Vec<Entry>,
    /// Malformed packages, each with the host's answer.
    pub packages: Vec<(String, String)>,
    /// How often the running kernel audited itself and found every invariant hold.
    pub audits: u64,
    /// What the victim did meanwhile, by this machine's clock.
    pub victim: Report,
    /// What a client of the victim waited for beside each batch of them, in virtual time.
    pub latency: Vec<Latency>,
    /// Bytes not in use before and after.
    pub memory_free: [u64; 2],
    /// Bytes not promised before and after.
    pub memory_available: [u64; 2],
}

/// One attack.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The theme.
    pub theme: String,
    /// The attack.
    pub name: String,
    /// The end it had to come to.
    pub expected: String,
    /// The end it came to.
    pub end: String,
    /// Frames it got out.
    pub frames_sent: u64,
    /// Nanoseconds of CPU it used.
    pub cpu_ns: u64,
    /// What went wrong, if anything did.
    pub wrong: Option<String>,
}

impl Entry {
    /// Notes the end of an attack.
    #[must_use]
    pub fn new(theme: &str, attack: &Attack, service: &Service, wrong: Option<String>) -> Self {
        let state = format!("{:?}", service.state).to_lowercase();
        Self {
            theme: theme.to_owned(),
            name: attack.name.to_owned(),
            expected: format!("{:?}", attack.end),
            end: service.reason.clone().unwrap_or(state),
            frames_sent: service.tx_frames,
            cpu_ns: service.cpu_ns,
            wrong,
        }
    }
}

impl Record {
    /// Writes the record.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).context("the containment record")?;
        std::fs::write(path, json).with_context(|| format!("writing `{}`", path.display()))
    }
}
