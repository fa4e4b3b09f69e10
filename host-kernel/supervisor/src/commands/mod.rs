//! The command language: one line of words, one file per verb.

mod deploy;
mod fit;
mod help;
mod host;
mod limits;
mod logs;
mod ls;
mod releases;
mod rm;
mod rollback;
mod secret;
mod start;
mod stop;
pub mod table;
mod version;
mod words;

use crate::refusal::Refused;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::{Closed, Stream, Terminal};
use alloc::format;
use alloc::string::{String, ToString as _};
use denali_protocol::status;
use serde::Serialize;
use words::Words;

/// Longest command line in bytes.
pub const LINE_LEN_MAX: usize = 1024;

/// Whether data is printed for people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables and sentences.
    Human,
    /// JSON of the types in `denali-protocol`.
    Json,
}

/// Why a command ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stop {
    /// Nobody is there to read an answer.
    Closed,
    /// It failed, with an exit status and one line for standard error.
    Failed { status: u32, message: String },
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Failed {
            status: refused.status(),
            message: refused.message,
        }
    }
}

impl Stop {
    /// Returns the failure of something asked of the service `name`.
    fn of_service(name: &str, failure: Failure) -> Self {
        match failure {
            Failure::NoSuchService => Self::Failed {
                status: status::NOT_FOUND,
                message: format!("no service `{name}`: `ls` shows those there are"),
            },
            Failure::Refused(refused) => {
                let status = refused.status();
                Self::Failed {
                    status,
                    message: format!("{name} {}", refused.message),
                }
            }
            Failure::Other(message) => Self::Failed {
                status: status::FAILED,
                message: format!("{name}: {message}"),
            },
        }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::Failed {
            status: status::USAGE,
            message: message.into(),
        }
    }
}

/// Runs one command line. Returns its exit status.
///
/// # Errors
///
/// If the client went away.
pub fn run(line: &str, shared: &Shared, terminal: &mut dyn Terminal) -> Result<u32, Closed> {
    match dispatch(line, shared, terminal) {
        Ok(()) => Ok(status::OK),
        Err(Stop::Closed) => Err(Closed),
        Err(Stop::Failed { status, message }) => {
            terminal.write(Stream::Error, format!("error: {message}\n").as_bytes())?;
            Ok(status)
        }
    }
}

fn dispatch(line: &str, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    if line.len() > LINE_LEN_MAX {
        return Err(Stop::usage(format!(
            "command is longer than {LINE_LEN_MAX} bytes"
        )));
    }
    let words = Words::new(line);
    match words.verb() {
        None | Some("help") => help::exec(words, terminal),
        Some("ls" | "ps") => ls::exec(words, shared, terminal),
        Some("deploy") => deploy::exec(words, shared, terminal),
        Some("logs") => logs::exec(words, shared, terminal),
        Some("limits") => limits::exec(words, shared, terminal),
        Some("stop") => stop::exec(words, shared, terminal),
        Some("start") => start::exec(words, shared, terminal),
        Some("rm") => rm::exec(words, shared, terminal),
        Some("releases") => releases::exec(words, shared, terminal),
        Some("rollback") => rollback::exec(words, shared, terminal),
        Some("secret") => secret::exec(words, shared, terminal),
        Some("fit") => fit::exec(words, shared, terminal),
        Some("host") => host::exec(words, shared, terminal),
        Some("version") => version::exec(words, terminal),
        Some(verb) => Err(Stop::usage(format!(
            "no command `{}`: `help` lists those there are",
            verb.escape_debug()
        ))),
    }
}

/// Writes text to standard output.
fn print(terminal: &mut dyn Terminal, text: &str) -> Result<(), Stop> {
    Ok(terminal.write(Stream::Output, text.as_bytes())?)
}

/// Writes `value` as one line of JSON to standard output.
fn print_json(terminal: &mut dyn Terminal, value: &impl Serialize) -> Result<(), Stop> {
    let mut line = to_json(value)?;
    line.push('\n');
    print(terminal, &line)
}

/// Keeps whether a service is stopped, so that a reboot leaves it so.
fn keep_stopped(name: &str, stopped: bool, shared: &Shared) -> Result<(), Stop> {
    let Some(keeper) = shared.keeper() else {
        return Ok(());
    };
    let kept = keeper.lock().set_stopped(name, stopped);
    kept.map_err(|error| {
        let failure = Failure::Other(format!("what it is now cannot be kept: {error}"));
        Stop::of_service(name, failure)
    })
}

/// Returns `value` as JSON.
fn to_json(value: &impl Serialize) -> Result<String, Stop> {
    serde_json::to_string(value).map_err(|error| Stop::Failed {
        status: status::FAILED,
        message: error.to_string(),
    })
}

/// Prints what a service is now, after something was done to it.
fn print_service(
    name: &str,
    format: Format,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let service = shared
        .with(|supervisor| supervisor.view(name))
        .ok_or_else(|| Stop::of_service(name, Failure::NoSuchService))?;
    match format {
        Format::Json => print_json(terminal, &service),
        Format::Human => {
            let state = table::state_name(service.state);
            let address = service
                .address
                .map(|it| format!(" at {it}"))
                .unwrap_or_default();
            print(terminal, &format!("{name}: {state}{address}\n"))
        }
    }
}

#[cfg(test)]
mod tests;
