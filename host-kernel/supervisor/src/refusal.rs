//! Why something asked of the supervisor is not done.

use alloc::string::String;
use denali_protocol::{Refusal, status};

/// A refusal: the rule it breaks and one line that says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The rule.
    pub kind: Refusal,
    /// The line, without a full stop.
    pub message: String,
}

impl Refused {
    /// Returns a refusal for the contents of a package.
    pub fn package(message: impl Into<String>) -> Self {
        Self {
            kind: Refusal::Package,
            message: message.into(),
        }
    }

    /// Returns a refusal for want of room.
    pub fn admission(message: impl Into<String>) -> Self {
        Self {
            kind: Refusal::Admission,
            message: message.into(),
        }
    }

    /// Returns a refusal for something that is taken.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self {
            kind: Refusal::Conflict,
            message: message.into(),
        }
    }

    /// Returns a refusal for the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Refusal::Usage,
            message: message.into(),
        }
    }

    /// Returns a refusal of a release that does not do what it is for.
    pub fn unhealthy(message: impl Into<String>) -> Self {
        Self {
            kind: Refusal::Unhealthy,
            message: message.into(),
        }
    }

    /// Returns the exit status of a command that ends with this refusal.
    #[must_use]
    pub const fn status(&self) -> u32 {
        match self.kind {
            Refusal::Package => status::FAILED,
            Refusal::Admission | Refusal::Conflict => status::REFUSED,
            Refusal::Usage => status::USAGE,
            Refusal::Unhealthy => status::UNHEALTHY,
        }
    }
}
