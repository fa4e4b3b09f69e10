//! Services that end or fall ill though nobody asked them to: run again, with ever longer pauses, and
//! left alone when that does not help.

use crate::health::Examination;
use crate::kernel::VmId;
use crate::service::{self, Service, has_ended};
use crate::shared::Shared;
use crate::supervisor::Supervisor;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use denali_abi::control::VmStatus;
use denali_protocol::events::Kind;
use denali_protocol::{self as protocol, Check, Restart, ServiceState};

/// How often to look after services.
pub const TURN: Duration = Duration::from_millis(250);

/// Services looked at in one turn, at most.
const TURN_SERVICES: usize = 512;

/// The pause before a service runs again for the first time; it doubles each time.
const PAUSE_NS: u64 = 250_000_000;

/// The longest pause.
const PAUSE_NS_MAX: u64 = 60_000_000_000;

/// How long a service has to run until its earlier ends are forgotten.
const STEADY_NS: u64 = 60_000_000_000;

/// Ends in a row after which a service is left alone.
pub const ENDS_MAX: u32 = 8;

/// How often a service with a check in its manifest is examined.
const EXAMINE_NS: u64 = 10_000_000_000;

/// Failed examinations in a row after which a service counts as ill.
const FAILURES_MAX: u32 = 3;

/// Services whose last words are kept beyond their VM.
const WORDS_MAX: usize = 64;

/// What is known of services that do not simply run.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// By name; a service that runs well and has no check is not in it.
    records: BTreeMap<Arc<str>, Record>,
    /// Where the next turn begins.
    behind: Option<Arc<str>>,
    /// The last lines of VMs that were replaced after their end, oldest first.
    words: VecDeque<(Arc<str>, Vec<u8>)>,
    /// Whose last lines are not kept across reboots yet.
    unsaved: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// Ends in a row.
    ends: u32,
    stage: Stage,
    /// Failed examinations in a row.
    failures: u32,
    examine_at_ns: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Runs,
    /// It ended and runs again at a point in time.
    Waits { again_at_ns: u64 },
    /// It is left alone.
    Left,
}

impl Record {
    /// Notes an end, and when the service runs again.
    fn note_end(&mut self, now_ns: u64, lived_ns: u64) {
        self.ends = if lived_ns >= STEADY_NS {
            1
        } else {
            self.ends + 1
        };
        self.failures = 0;
        self.stage = if self.ends > ENDS_MAX {
            Stage::Left
        } else {
            let doublings = self.ends.saturating_sub(1).min(16);
            let pause_ns = (PAUSE_NS << doublings).min(PAUSE_NS_MAX);
            let again_at_ns = now_ns.saturating_add(pause_ns);
            Stage::Waits { again_at_ns }
        };
    }
}

impl Watch {
    /// Forgets what was, as somebody gave an order for the service.
    pub(crate) fn forget(&mut self, name: &str) {
        self.records.remove(name);
    }

    /// Forgets a service.
    pub(crate) fn remove(&mut self, name: &str) {
        self.forget(name);
        self.words.retain(|(other, _)| **other != *name);
    }

    /// Adds to what clients see of a service how often in a row it ended, and what will happen.
    pub(crate) fn add_to(&self, view: &mut protocol::Service, now_ns: u64) {
        let Some(record) = self.records.get(&*view.name) else {
            return;
        };
        view.restarts = record.ends;
        let words = match record.stage {
            Stage::Runs if record.failures >= FAILURES_MAX => "fails its health check".into(),
            Stage::Runs => return,
            Stage::Waits { again_at_ns } => {
                let ms = again_at_ns.saturating_sub(now_ns) / 1_000_000;
                format!("runs again in {ms} ms")
            }
            Stage::Left => format!(
                "crash loop, left alone after {} ends in a row: `start` tries again",
                record.ends
            ),
        };
        let reason = view.reason.take();
        view.reason = Some(reason.map_or_else(|| words.clone(), |why| format!("{why}; {words}")));
    }

    /// Returns the last lines of the VM that a service had before, if it ended by itself.
    pub(crate) fn last_words(&self, name: &str) -> Option<&[u8]> {
        let mut words = self.words.iter();
        let found = words.find(|(other, _)| **other == *name);
        found.map(|(_, words)| &words[..])
    }

    fn keep_words(&mut self, name: &Arc<str>, words: Vec<u8>) {
        self.words.retain(|(other, _)| other != name);
        if self.words.len() == WORDS_MAX {
            self.words.pop_front();
        }
        self.words.push_back((Arc::clone(name), words));
    }

    /// Takes over last lines that were kept.
    pub(crate) fn load_words(&mut self, kept: Vec<(String, Vec<u8>)>) {
        for (name, words) in kept {
            self.keep_words(&name.into(), words);
        }
    }

    /// Returns last lines that are not kept across reboots yet.
    fn take_unsaved(&mut self) -> Vec<(Arc<str>, Vec<u8>)> {
        let names = core::mem::take(&mut self.unsaved);
        let words = names.into_iter();
        words
            .filter_map(|name| {
                let words = self.last_words(&name)?.to_vec();
                Some((name, words))
            })
            .collect()
    }
}

/// A service that is to be examined.
#[derive(Clone, Debug)]
struct Patient {
    name: Arc<str>,
    vm: VmId,
    status: VmStatus,
    check: Check,
}

/// Looks after services once; what takes time happens while others get their turn.
pub fn turn(shared: &Shared) {
    shared.with(Supervisor::see_off);
    let patients = shared.with(Supervisor::watch_over);
    save_words(shared);
    for patient in patients {
        let Patient {
            name,
            vm,
            status,
            check,
        } = patient;
        let examined = Examination::default().try_once(shared, vm, &status, &check);
        shared.with(|supervisor| supervisor.note_examination(&name, vm, examined));
    }
}

/// Keeps the last lines of services that ended, so that they outlive the host's reboot.
fn save_words(shared: &Shared) {
    let unsaved = shared.with(|supervisor| supervisor.watch.take_unsaved());
    let Some(keeper) = shared.keeper() else {
        return;
    };
    for (name, words) in unsaved {
        if let Err(error) = keeper.lock().set_words(&name, &words) {
            log::warn!("the last lines of {name} cannot be kept: {error}");
        }
    }
}

impl Supervisor {
    /// Runs services again whose time has come, notes who ended, and returns who is to be examined.
    fn watch_over(&mut self) -> Vec<Patient> {
        let now_ns = self.kernel.host_status().now_ns;
        let behind = self.watch.behind.take();
        let services = self.table.iter_behind(behind.as_deref());
        let mut looked = 0;
        let mut last = None;
        let mut wanted = Vec::new();
        for service in services.take(TURN_SERVICES) {
            looked += 1;
            last = Some(&service.name);
            if service.wants_watching() {
                wanted.push(Arc::clone(&service.name));
            }
        }
        self.watch.behind = last.filter(|_| looked == TURN_SERVICES).cloned();
        let patients = wanted.into_iter();
        patients
            .filter_map(|name| self.look_at(&name, now_ns))
            .collect()
    }

    fn look_at(&mut self, name: &Arc<str>, now_ns: u64) -> Option<Patient> {
        let service = self.table.get(name)?.clone();
        let record = self.watch.records.get(name).copied().unwrap_or_default();
        match record.stage {
            Stage::Left => return None,
            Stage::Waits { again_at_ns } => {
                if now_ns >= again_at_ns {
                    self.run_again(name, record, now_ns);
                }
                return None;
            }
            Stage::Runs => {}
        }
        let vm = service.vm?;
        let status = self.kernel.vm_status(vm).ok()?;
        if has_ended(&status) {
            self.note_end(&service, &status, record, now_ns);
            return None;
        }
        self.next_patient(&service, vm, status, record, now_ns)
    }

    /// Returns a service as a patient if its time has come.
    fn next_patient(
        &mut self,
        service: &Service,
        vm: VmId,
        status: VmStatus,
        mut record: Record,
        now_ns: u64,
    ) -> Option<Patient> {
        let age_ns = now_ns.saturating_sub(status.created_ns);
        let check = service.origin.as_ref()?.health.clone();
        let check = check.filter(|check| *check != Check::Ready);
        let Some(check) = check else {
            if age_ns >= STEADY_NS {
                self.watch.forget(&service.name);
            }
            return None;
        };
        if age_ns >= STEADY_NS {
            record.ends = 0;
        }
        let is_due = now_ns >= record.examine_at_ns && age_ns >= EXAMINE_NS;
        if is_due {
            record.examine_at_ns = now_ns.saturating_add(EXAMINE_NS);
        }
        self.watch.records.insert(Arc::clone(&service.name), record);
        is_due.then(|| Patient {
            name: Arc::clone(&service.name),
            vm,
            status,
            check,
        })
    }

    fn note_end(&mut self, service: &Service, status: &VmStatus, mut record: Record, now_ns: u64) {
        let (state, why) = service::end_of(status);
        let restart = service.restart();
        let again = match state {
            ServiceState::Exited => restart == Restart::Always,
            ServiceState::Crashed => restart != Restart::Never,
            _ => false,
        };
        if service.asked_to_stop || !again {
            return;
        }
        self.events.note(Kind::Crashed, Some(&service.name), &why);
        record.note_end(now_ns, now_ns.saturating_sub(status.created_ns));
        if record.stage == Stage::Left {
            let detail = format!("{} times in a row", record.ends);
            self.events
                .note(Kind::CrashLoop, Some(&service.name), &detail);
            log::warn!("{}: ends again and again and is left alone", service.name);
        }
        self.watch.records.insert(Arc::clone(&service.name), record);
    }

    fn run_again(&mut self, name: &Arc<str>, mut record: Record, now_ns: u64) {
        let vm = self.table.get(name).and_then(|service| service.vm);
        if let Some(vm) = vm {
            let words = crate::health::last_bytes(&mut *self.kernel, vm);
            self.watch.keep_words(name, words);
            self.watch.unsaved.push(Arc::clone(name));
        }
        match self.start_again(name) {
            Ok(()) => {
                record.stage = Stage::Runs;
                record.examine_at_ns = 0;
                let detail = format!("after {} ends in a row", record.ends);
                self.events.note(Kind::Restarted, Some(name), &detail);
            }
            Err(failure) => {
                log::warn!("{name} cannot run again: {failure:?}");
                record.note_end(now_ns, 0);
            }
        }
        self.watch.records.insert(Arc::clone(name), record);
    }

    /// Takes down what an examination found. A service that is ill is ended, to run again.
    fn note_examination(&mut self, name: &Arc<str>, vm: VmId, examined: Result<(), String>) {
        let Some(service) = self.table.get(name).cloned() else {
            return;
        };
        if service.vm != Some(vm) || self.has_ended(vm) {
            return;
        }
        let mut record = self.watch.records.get(name).copied().unwrap_or_default();
        let Err(why) = examined else {
            record.failures = 0;
            self.watch.records.insert(Arc::clone(name), record);
            return;
        };
        record.failures = record.failures.saturating_add(1);
        if record.failures == FAILURES_MAX {
            self.events.note(Kind::Unhealthy, Some(name), &why);
            log::warn!("{name}: fails its health check {FAILURES_MAX} times in a row: {why}");
            if service.restart() != Restart::Never {
                self.end_ill(vm, &mut record);
            }
        }
        self.watch.records.insert(Arc::clone(name), record);
    }

    fn end_ill(&mut self, vm: VmId, record: &mut Record) {
        let now_ns = self.kernel.host_status().now_ns;
        let status = self.kernel.vm_status(vm);
        let created_ns = status.map_or(now_ns, |status| status.created_ns);
        if let Err(error) = self.kernel.vm_stop(vm) {
            log::warn!("cannot end a service that is ill: {error}");
            return;
        }
        record.note_end(now_ns, now_ns.saturating_sub(created_ns));
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
