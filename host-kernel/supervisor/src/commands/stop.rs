//! `stop`: end a service, which stays listed with its log.
//!
//! It is asked to end by itself, and ended when the deadline has passed or the client is gone. What
//! it printed lies in its memory: one that sleeps on swap is called back for that first.

use super::{Stop, Words, allow, keep_stopped, note, print_service};
use crate::access::Wish;
use crate::shared::Shared;
use crate::terminal::Terminal;
use core::time::Duration;
use denali_abi::errno::Errno;
use denali_protocol::events::Kind;

/// How long a service may take to end by itself unless the command says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// The longest deadline, in seconds.
const DEADLINE_SECONDS_MAX: u64 = 3600;

/// How often to look whether it has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a service may take from swap into memory before it is ended without what it printed.
const CALL: Duration = Duration::from_secs(2);

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let deadline = match words.option("--deadline")? {
        None => DEADLINE,
        Some(digits) => deadline(digits)?,
    };
    let name = words.name()?;
    allow(Wish::Change(name), shared, terminal)?;
    let waited = match deadline {
        Duration::ZERO => call_in(name, shared, terminal),
        deadline => ask(name, deadline, shared, terminal),
    };
    shared
        .with(|supervisor| supervisor.stop(name))
        .map_err(|failure| Stop::of_service(name, failure))?;
    note(Kind::Stopped, name, shared, terminal);
    keep_stopped(name, true, shared)?;
    waited?;
    print_service(name, format, shared, terminal)
}

fn deadline(digits: &str) -> Result<Duration, Stop> {
    let seconds = digits.parse().ok();
    let seconds = seconds.filter(|seconds| *seconds <= DEADLINE_SECONDS_MAX);
    let wrong = || Stop::usage("--deadline needs a number of seconds up to 3600: see `help`");
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// Asks a service to end by itself and waits until it has, or the time is up.
fn ask(
    name: &str,
    grace: Duration,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let vm = shared
        .with(|supervisor| {
            supervisor.ask_to_stop(name, grace)?;
            supervisor.vm_of(name)
        })
        .map_err(|failure| Stop::of_service(name, failure))?;
    let Some(vm) = vm else { return Ok(()) };
    for _ in 0..grace.as_millis() / PAUSE.as_millis() {
        if shared.with(|supervisor| supervisor.has_ended(vm)) {
            break;
        }
        terminal.pause(PAUSE)?;
    }
    Ok(())
}

/// Waits until a service that sleeps on swap is in memory, where its console is kept when it ends.
fn call_in(name: &str, shared: &Shared, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let vm = shared
        .with(|supervisor| supervisor.vm_of(name))
        .map_err(|failure| Stop::of_service(name, failure))?;
    let Some(vm) = vm else { return Ok(()) };
    let mut byte = [0];
    for _ in 0..CALL.as_millis() / PAUSE.as_millis() {
        let read = shared.with(|supervisor| supervisor.kernel().console_read(vm, 0, &mut byte));
        if read != Err(Errno::Busy) {
            break;
        }
        terminal.pause(PAUSE)?;
    }
    Ok(())
}
