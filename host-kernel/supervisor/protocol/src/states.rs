//! What services are doing, as people read it.

use core::fmt;
use serde::{Deserialize, Serialize};

/// What a service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Its VM is runnable.
    Running,
    /// Its VM waits in memory for a packet or an alarm.
    Idle,
    /// Its VM has no memory yet: it has never run, or waits for the gatekeeper.
    Dormant,
    /// Its VM goes on when pages of it are back from swap: it sleeps there until a packet or an alarm
    /// calls it, is on its way, or waits for single pages.
    Paged,
    /// Stopped by order.
    Stopped,
    /// Ended by itself with exit code 0.
    Exited,
    /// Ended by a fault or with an exit code other than 0.
    Crashed,
}

impl ServiceState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Idle,
        Self::Dormant,
        Self::Paged,
        Self::Stopped,
        Self::Exited,
        Self::Crashed,
    ];

    /// Returns its name, as `ls` shows it and `--state` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Dormant => "dormant",
            Self::Paged => "paged",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
            Self::Crashed => "crashed",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Returns whether its VM has not ended: what comes for it is answered, now or when it is in
    /// memory.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        match self {
            Self::Running | Self::Idle | Self::Dormant | Self::Paged => true,
            Self::Stopped | Self::Exited | Self::Crashed => false,
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_are_those_of_json() {
        for state in ServiceState::ALL {
            assert_eq!(ServiceState::from_name(state.name()), Some(state));
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
        }
        assert_eq!(ServiceState::from_name("asleep"), None);
    }
}
