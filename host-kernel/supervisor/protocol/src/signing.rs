//! What a deployer signs: which package is to run on which host as which release of which service.
//!
//! So a signature is good for one deployment. Taken from elsewhere, or a second time, it is refused.

use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Length of a signature in bytes (Ed25519, RFC 8032).
pub const SIGNATURE_LEN: usize = 64;

/// A signature as it is kept with its release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signature {
    /// The key, as OpenSSH prints it: `ssh-ed25519 AAAA…`.
    pub key: String,
    /// The number of the release that was signed: this one, or the one it takes up again.
    pub release: u32,
    /// The signature in hexadecimal digits.
    pub value: String,
}

/// Returns the text that is signed; `host` is the host's key as OpenSSH prints it, `package` the
/// SHA-256 of the package in hexadecimal digits.
#[must_use]
pub fn message(host: &str, service: &str, release: u32, package: &str) -> String {
    format!(
        "denali deployment 1\nhost {host}\nservice {service}\nrelease {release}\npackage {package}\n"
    )
}
