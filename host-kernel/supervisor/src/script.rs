//! Scripts that are kept on the host, and run by order, at boot, on events or from time to time.

use crate::commands;
use crate::keeper::Keeper;
use crate::shared::Shared;
use crate::terminal::{Closed, Flow, Stream, Terminal};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;
use denali_protocol::events::{Event, Kind};
use denali_protocol::scripts::{Script, Trigger};
use denali_rt::thread;

/// Scripts a host keeps, at most.
pub const SCRIPTS_MAX: usize = 32;

/// How often to look whether a script is to run.
pub const TURN: Duration = Duration::from_millis(500);

/// Runs for events in one turn, at most; the others wait.
const TURN_RUNS: usize = 16;

/// How long a script that nobody waits for may pause, all pauses together.
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes of output of such a script that go to the host's log.
const OUTPUT_LEN_MAX: usize = 4096;

/// The host is nearly full when less than this part of its memory can be promised, and is not any
/// more when it is twice that.
const NEARLY_FULL: u64 = 16;

/// The scripts of a host.
#[derive(Debug, Default)]
pub struct Scripts {
    by_name: BTreeMap<String, Script>,
}

impl Scripts {
    /// Takes over what is kept.
    pub fn load(&mut self, keeper: &Keeper) {
        self.by_name = keeper.scripts().into_iter().take(SCRIPTS_MAX).collect();
    }

    /// Returns the script `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Script> {
        self.by_name.get(name)
    }

    /// Returns all scripts in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Script)> {
        self.by_name
            .iter()
            .map(|(name, script)| (name.as_str(), script))
    }

    /// Puts a script in. Returns whether there was room.
    pub fn insert(&mut self, name: &str, script: Script) -> bool {
        let fits = self.by_name.len() < SCRIPTS_MAX || self.by_name.contains_key(name);
        if fits {
            self.by_name.insert(name.to_string(), script);
        }
        fits
    }

    /// Takes a script out. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }
}

/// When scripts ran last.
#[derive(Debug)]
pub struct Schedule {
    booted: bool,
    /// The last event that was looked at.
    event: u64,
    was_full: bool,
    /// When those that run from time to time ran last, in nanoseconds since the host's boot.
    ran_ns: BTreeMap<String, u64>,
}

/// A script that is to run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// What it finds in its variables.
    pub variables: Vec<(&'static str, String)>,
}

impl Schedule {
    /// Begins with the events that are to come.
    #[must_use]
    pub const fn new(event: u64) -> Self {
        Self {
            booted: false,
            event,
            was_full: false,
            ran_ns: BTreeMap::new(),
        }
    }

    /// Returns what is to run now. Services come back before scripts run at boot.
    pub fn due(&mut self, shared: &Shared) -> Vec<Due> {
        if shared.restoring() > 0 {
            return Vec::new();
        }
        let now_ns = shared.with(|supervisor| supervisor.kernel().host_status().now_ns);
        let events = self.new_events(shared);
        let is_boot = !core::mem::replace(&mut self.booted, true);
        let full = self.becomes_full(shared);
        let mut due = Vec::new();
        let scripts = shared.scripts().lock();
        self.ran_ns.retain(|name, _| scripts.get(name).is_some());
        for (name, script) in scripts.iter() {
            let mut add = |variables: Vec<(&'static str, String)>| {
                due.push(Due {
                    name: name.to_string(),
                    text: script.text.clone(),
                    variables,
                });
            };
            match script.on {
                Trigger::Boot if is_boot => add(Vec::new()),
                Trigger::Full if full => add(Vec::new()),
                Trigger::Crash => events.iter().for_each(|event| add(variables_of(event))),
                Trigger::Every(seconds) => {
                    let last_ns = *self.ran_ns.entry(name.to_string()).or_insert(now_ns);
                    let period_ns = u64::from(seconds).saturating_mul(1_000_000_000);
                    if now_ns.saturating_sub(last_ns) >= period_ns {
                        self.ran_ns.insert(name.to_string(), now_ns);
                        add(Vec::new());
                    }
                }
                Trigger::Order | Trigger::Boot | Trigger::Full => {}
            }
        }
        due
    }

    fn new_events(&mut self, shared: &Shared) -> Vec<Event> {
        let mut events = shared.with(|supervisor| supervisor.events().behind(self.event));
        events.truncate(TURN_RUNS);
        if let Some(last) = events.last() {
            self.event = last.number;
        }
        let is_end = |event: &Event| {
            matches!(
                event.kind,
                Kind::Crashed | Kind::Unhealthy | Kind::CrashLoop
            )
        };
        events.retain(is_end);
        events
    }

    fn becomes_full(&mut self, shared: &Shared) -> bool {
        let host = shared.with(crate::supervisor::Supervisor::host);
        let part = if self.was_full {
            NEARLY_FULL / 2
        } else {
            NEARLY_FULL
        };
        let is_full = host.memory_available < host.memory_total / part;
        let was_full = core::mem::replace(&mut self.was_full, is_full);
        is_full && !was_full
    }
}

fn variables_of(event: &Event) -> Vec<(&'static str, String)> {
    let service = event.service.clone().unwrap_or_default();
    alloc::vec![
        ("EVENT", event.kind.name().to_string()),
        ("SERVICE", service),
        ("DETAIL", event.detail.clone()),
    ]
}

/// Runs what is due.
pub fn turn(schedule: &mut Schedule, shared: &Shared) {
    for due in schedule.due(shared) {
        let mut terminal = Unattended {
            name: &due.name,
            output: Vec::new(),
            patience: PATIENCE,
        };
        let status = commands::run_with(&due.text, &due.variables, shared, &mut terminal);
        let Unattended { name, output, .. } = terminal;
        let output = String::from_utf8_lossy(&output);
        let output = output.trim_end().escape_debug();
        match status {
            Ok(0) => log::info!("script {name}: done: {output}"),
            Ok(status) => {
                let detail = format!("script {name} ended with status {status}: {output}");
                log::warn!("{detail}");
                shared.with(|it| it.events().note(Kind::ScriptFailed, None, &detail));
            }
            Err(Closed) => {
                let detail = format!("script {name} took too long: {output}");
                log::warn!("{detail}");
                shared.with(|it| it.events().note(Kind::ScriptFailed, None, &detail));
            }
        }
    }
}

/// What a script writes to when nobody watches.
struct Unattended<'n> {
    name: &'n str,
    output: Vec<u8>,
    patience: Duration,
}

impl Terminal for Unattended<'_> {
    fn write(&mut self, _: Stream, bytes: &[u8]) -> Result<(), Closed> {
        let room = OUTPUT_LEN_MAX - self.output.len();
        self.output
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Ok(())
    }

    fn receive(&mut self, _: &mut dyn FnMut(&[u8]) -> Flow) -> Result<(), Closed> {
        Ok(())
    }

    fn who(&self) -> String {
        format!("{}{}", commands::script::OWN, self.name)
    }

    fn pause(&mut self, duration: Duration) -> Result<(), Closed> {
        self.patience = self.patience.checked_sub(duration).ok_or(Closed)?;
        thread::sleep(duration);
        Ok(())
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
