//! Errors that decide the exit status and name the next command.
//!
//! Everything else is an `anyhow` chain, which ends in [`Status::Failed`].

use std::fmt;

/// The exit status of a command that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It failed.
    Failed = 1,
    /// Wrong usage, a wrong manifest, or something missing on this machine.
    Usage = 2,
    /// The service does not build, or cannot run as a guest.
    Build = 3,
    /// The host is unreachable or does not let us in.
    Unreachable = 4,
    /// Refused by the gatekeeper, or in conflict with something that exists.
    Refused = 5,
    /// The service crashed, or its new release is not healthy and the last one serves on.
    Crashed = 7,
    /// A test failed.
    TestFailed = 101,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl Status {
    /// Returns the number the process exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// The table of exit statuses, as `--help` prints it.
pub const EXIT_STATUSES: &str = "\
Exit status:
  0    done
  1    failed
  2    wrong usage, wrong manifest, or something is missing on this machine
  3    the service does not build or cannot run as a guest
  4    the host is unreachable or does not let us in
  5    refused: no room on the host, or a name, port or address is taken
  7    the service crashed, or its new release is not healthy and the last one serves on
  101  a test failed
  130  ended by Ctrl-C";

/// An error with an exit status and a hint.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// Creates an error; `message` is lower case without a full stop.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            help: None,
        }
    }

    /// Returns the same error in other words.
    #[must_use]
    pub fn reworded(mut self, words: impl FnOnce(&str) -> String) -> Self {
        self.message = words(&self.message);
        self
    }

    /// Adds what to do next, ideally a command to type.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the exit status.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Returns the exit status and the text `main` prints for `error`.
#[must_use]
pub fn describe(error: &anyhow::Error) -> (Status, String) {
    let mut text = format!("error: {error:#}");
    let Some(failure) = error.downcast_ref::<Failure>() else {
        return (Status::Failed, text);
    };
    if let Some(help) = failure.hint() {
        text.push_str("\n  help: ");
        text.push_str(help);
    }
    (failure.status(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_chain_is_printed_once_with_the_hint_below() {
        let error = Err::<(), _>(Failure::new(Status::Unreachable, "no answer").help("try again"))
            .context("deploying `web`")
            .unwrap_err();
        let (status, text) = describe(&error);
        assert_eq!(status, Status::Unreachable);
        assert_eq!(text, "error: deploying `web`: no answer\n  help: try again");
    }

    #[test]
    fn every_status_is_in_the_table() {
        for code in [0, 1, 2, 3, 4, 5, 7, 101, 130] {
            assert!(
                EXIT_STATUSES.contains(&format!("\n  {code:<3}  ")),
                "{code}"
            );
        }
    }
}
