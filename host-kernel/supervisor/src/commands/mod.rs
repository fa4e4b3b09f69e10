//! The command language: one line of words, one file per verb.

mod checkpoint;
mod clone;
mod deploy;
mod events;
mod fit;
mod help;
mod host;
mod key;
mod language;
mod limits;
mod logs;
mod ls;
mod releases;
mod restore;
mod rm;
mod rollback;
mod scale;
pub(crate) mod script;
mod secret;
mod start;
mod stop;
pub mod table;
mod version;
mod wait;
mod words;

use crate::access::Wish;
use crate::refusal::Refused;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::{Closed, Stream, Terminal};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use denali_protocol::events::Kind;
use denali_protocol::status;
use denali_shell::interpreter::Interpreter;
use denali_shell::limits::SCRIPT_LEN_MAX;
use serde::Serialize;
use words::Words;

pub use language::Commands;

/// Longest command line in bytes.
pub const LINE_LEN_MAX: usize = SCRIPT_LEN_MAX;

/// The verbs, as they are completed.
const VERBS: [&str; 34] = [
    "checkpoint",
    "clone",
    "deploy",
    "echo",
    "events",
    "exit",
    "false",
    "fit",
    "for",
    "help",
    "host",
    "if",
    "key",
    "limits",
    "logs",
    "ls",
    "metrics",
    "ps",
    "releases",
    "restore",
    "rm",
    "rollback",
    "scale",
    "script",
    "secret",
    "set",
    "sh",
    "sleep",
    "start",
    "stop",
    "test",
    "true",
    "version",
    "wait-for",
];

/// Services that are suggested, at most.
const SUGGESTIONS_MAX: usize = 256;

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

/// Runs a command line, which may be a script. Returns its exit status.
///
/// # Errors
///
/// If the client went away.
pub fn run(line: &str, shared: &Shared, terminal: &mut dyn Terminal) -> Result<u32, Closed> {
    run_with(line, &[], shared, terminal)
}

/// Runs a script with variables. Returns its exit status.
///
/// # Errors
///
/// If the client went away.
pub fn run_with(
    text: &str,
    variables: &[(&str, String)],
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<u32, Closed> {
    let mut shell = Interpreter::default();
    let mut commands = Commands::new(shared, terminal);
    for (name, value) in variables {
        if let Err(message) = shell.set(name, value) {
            log::warn!("{message}");
        }
    }
    match shell.run(text, &mut commands) {
        Ok(ended) => Ok(ended.status),
        Err(denali_shell::sink::Closed) => Err(Closed),
    }
}

/// Returns what could stand at the end of a line: verbs, and services.
#[must_use]
pub fn complete(before: &str, shared: &Shared) -> Vec<String> {
    let command = before.rsplit([';', '|', '&']).next().unwrap_or_default();
    let command = command.trim_start();
    let Some((_, word)) = command.rsplit_once(char::is_whitespace) else {
        return VERBS.map(String::from).to_vec();
    };
    let mut found = Vec::new();
    // The first that begins so is the one behind all that come before it.
    let services = shared.with(|supervisor| supervisor.names_from(word, SUGGESTIONS_MAX));
    found.extend(services.iter().map(|name| name.to_string()));
    found
}

fn dispatch(line: &[String], shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let words = Words::new(line);
    allow(Wish::Read, shared, terminal)?;
    match words.verb() {
        None | Some("help") => help::exec(words, terminal),
        Some("ls" | "ps") => ls::exec(words, shared, terminal),
        Some("deploy") => deploy::exec(words, shared, terminal),
        Some("logs") => logs::exec(words, shared, terminal),
        Some("key") => key::exec(words, shared, terminal),
        Some("limits") => limits::exec(words, shared, terminal),
        Some("stop") => stop::exec(words, shared, terminal),
        Some("scale") => scale::exec(words, shared, terminal),
        Some("metrics") => {
            words.end()?;
            crate::metrics::write(shared, &mut |text| print(terminal, text))
        }
        Some("script") => script::exec(words, shared, terminal),
        Some("sleep") => wait::sleep(words, terminal),
        Some("wait-for") => wait::wait_for(words, shared, terminal),
        Some("start") => start::exec(words, shared, terminal),
        Some("checkpoint") => checkpoint::exec(words, shared, terminal),
        Some("restore") => restore::exec(words, shared, terminal),
        Some("clone") => clone::exec(words, shared, terminal),
        Some("rm") => rm::exec(words, shared, terminal),
        Some("releases") => releases::exec(words, shared, terminal),
        Some("rollback") => rollback::exec(words, shared, terminal),
        Some("secret") => secret::exec(words, shared, terminal),
        Some("fit") => fit::exec(words, shared, terminal),
        Some("events") => events::exec(words, shared, terminal),
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

/// Checks that whoever gave the command may do something.
fn allow(wish: Wish<'_>, shared: &Shared, terminal: &dyn Terminal) -> Result<(), Stop> {
    let who = terminal.who();
    if script::is_own(&who) {
        // An administrator put it there.
        return Ok(());
    }
    let allowed = shared.access().lock().check(&who, wish);
    allowed.map_err(|message| {
        log::warn!("{who}: {message}");
        let status = status::NOT_ALLOWED;
        Stop::Failed { status, message }
    })
}

/// Notes that an order was carried out.
fn note(kind: Kind, name: &str, shared: &Shared, terminal: &dyn Terminal) {
    let detail = format!("by {}", terminal.who());
    shared.with(|supervisor| supervisor.events().note(kind, Some(name), &detail));
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
            let state = service.state;
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
