//! Scripts that a host keeps, as `script ls --json` shows them.

use alloc::format;
use alloc::string::{String, ToString as _};
use serde::{Deserialize, Serialize};

/// A script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Script {
    /// What it says.
    pub text: String,
    /// When it runs.
    pub on: Trigger,
    /// The fingerprint of the key that put it there.
    pub by: String,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
}

/// When a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// When somebody says so.
    Order,
    /// When the host has booted and its services are back.
    Boot,
    /// When a service ended by itself or fell ill.
    Crash,
    /// When the host becomes nearly full.
    Full,
    /// Every so many seconds.
    Every(u32),
}

impl Trigger {
    /// Returns its name on a command line.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Order => "order".to_string(),
            Self::Boot => "boot".to_string(),
            Self::Crash => "crash".to_string(),
            Self::Full => "full".to_string(),
            Self::Every(seconds) => format!("every-{seconds}s"),
        }
    }

    /// Returns what has this name; `every-30s` has a number from 1.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "order" => Some(Self::Order),
            "boot" => Some(Self::Boot),
            "crash" => Some(Self::Crash),
            "full" => Some(Self::Full),
            _ => {
                let digits = name.strip_prefix("every-")?.strip_suffix('s')?;
                let seconds = digits.parse().ok().filter(|seconds| *seconds > 0)?;
                Some(Self::Every(seconds))
            }
        }
    }
}

/// A script as a list shows it: without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub on: String,
    /// Its length in bytes.
    pub length: u64,
    /// The fingerprint of the key that put it there.
    pub by: String,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
}
