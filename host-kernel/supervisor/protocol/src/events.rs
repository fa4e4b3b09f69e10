//! What happened on a host, as `events --json` shows it: one JSON value a line.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Event {
    /// Events are numbered since the supervisor began.
    pub number: u64,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
    /// What.
    pub kind: Kind,
    /// To which service; `None` if to the host.
    pub service: Option<String>,
    /// More of it in words.
    pub detail: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A release took over.
    Deployed,
    /// A release did not, and why; the last one serves on.
    Refused,
    /// A service was started by order.
    Started,
    /// A service was stopped by order.
    Stopped,
    /// A service was removed.
    Removed,
    /// A service ended though nobody asked it to.
    Crashed,
    /// A service fails its health check again and again.
    Unhealthy,
    /// A service that had ended runs again.
    Restarted,
    /// A service ends again and again and is left so.
    CrashLoop,
    /// A script failed that nobody waited for.
    ScriptFailed,
    /// A key was added, or given another role.
    KeyAdded,
    /// A key was revoked.
    KeyRevoked,
    /// A service has another number of copies.
    Scaled,
    /// The state of a service was read by order.
    Checkpointed,
    /// A service goes on from a checkpoint.
    Restored,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Deployed,
        Self::Refused,
        Self::Started,
        Self::Stopped,
        Self::Removed,
        Self::Crashed,
        Self::Unhealthy,
        Self::Restarted,
        Self::CrashLoop,
        Self::ScriptFailed,
        Self::KeyAdded,
        Self::KeyRevoked,
        Self::Scaled,
        Self::Checkpointed,
        Self::Restored,
    ];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Refused => "refused",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
            Self::Crashed => "crashed",
            Self::Unhealthy => "unhealthy",
            Self::Restarted => "restarted",
            Self::CrashLoop => "crash-loop",
            Self::ScriptFailed => "script-failed",
            Self::KeyAdded => "key-added",
            Self::KeyRevoked => "key-revoked",
            Self::Scaled => "scaled",
            Self::Checkpointed => "checkpointed",
            Self::Restored => "restored",
        }
    }
}
