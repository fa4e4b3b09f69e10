//! Keys that open a host, as `key ls --json` shows them.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A key and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Key {
    /// Its fingerprint, as OpenSSH prints it.
    pub fingerprint: String,
    /// The key as OpenSSH prints it: `ssh-ed25519 AAAA…`.
    pub key: String,
    /// What it may do.
    pub role: Role,
    /// Whose it is, in words.
    pub comment: String,
    /// The fingerprint of the key that added it; empty if it is of the boot configuration.
    pub by: String,
    /// When it was added, in seconds since the Unix epoch.
    pub at: u64,
    /// Whether it opens nothing any more.
    pub revoked: bool,
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Whatever concerns services of these names, in which `*` stands for any text; and look.
    Deploy(Vec<String>),
    /// Look.
    Read,
}
