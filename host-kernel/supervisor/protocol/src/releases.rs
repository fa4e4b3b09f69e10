//! Releases: what was deployed as a service, and what became of it.

use crate::signing::Signature;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// One release of a service, as `releases --json` shows it (an array of these, newest first).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Release {
    /// Its number, from 1; never used again while the service is there.
    pub number: u32,
    /// The SHA-256 of the package in hexadecimal digits.
    pub package: String,
    /// Version of the service's crate.
    pub version: String,
    /// The image's build-id in hexadecimal digits.
    pub build_id: String,
    /// The fingerprint of the key that deployed it, as OpenSSH prints it.
    pub by: String,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
    /// Which release it takes up again, if it is a rollback.
    pub of: Option<u32>,
    /// By whom its package was signed; `None` if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The host went down before it was known, or it is being started.
    Begun,
    /// It runs, or is what runs when the service is started.
    Current,
    /// It ran, and another took its place.
    Replaced,
    /// It did not start, and why; what ran before ran on.
    Failed(String),
}

/// The names of a service's secrets, as `secret ls --json` shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Secrets {
    /// The service.
    pub name: String,
    /// The keys of its environment whose values are secrets.
    pub keys: alloc::vec::Vec<String>,
}
