//! `wait-for` and `sleep`: time in scripts.

use super::{Stop, Words};
use crate::health::{self, Examination};
use crate::service::has_ended;
use crate::shared::Shared;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use denali_protocol::{ServiceState, status};

/// How long `wait-for` waits unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest time either takes.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// How often to look.
const PAUSE: Duration = Duration::from_millis(100);

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It runs and passes its check.
    Healthy,
    /// It runs.
    Running,
    /// It is in this state.
    State(ServiceState),
    /// There is no such service.
    Gone,
}

pub(super) fn sleep(mut words: Words<'_>, terminal: &mut dyn Terminal) -> Result<(), Stop> {
    let text = words.take();
    words.end()?;
    let duration = text.and_then(duration);
    let duration =
        duration.ok_or_else(|| Stop::usage("sleep takes a time such as 500ms or 10s"))?;
    Ok(terminal.pause(duration)?)
}

pub(super) fn wait_for(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let (name, state, patience) = (words.take(), words.take(), words.take());
    words.end()?;
    let usage = || {
        Stop::usage(
            "wait-for takes a service, healthy, running, idle, dormant, paged, stopped, exited, \
             crashed or gone, and a time: wait-for web healthy 10s",
        )
    };
    let name = name.ok_or_else(usage)?;
    let wanted = state.and_then(wanted).ok_or_else(usage)?;
    let patience = match patience {
        None => PATIENCE,
        Some(text) => duration(text).ok_or_else(usage)?,
    };
    let mut examination = Examination::default();
    let mut waited = Duration::ZERO;
    loop {
        match is_so(name, wanted, &mut examination, shared) {
            Ok(()) => return Ok(()),
            Err(why) if waited >= patience => {
                let message = format!("{name}: {why} after {} ms", patience.as_millis());
                let status = status::FAILED;
                return Err(Stop::Failed { status, message });
            }
            Err(_) => {}
        }
        let pause = PAUSE.min(patience - waited);
        terminal.pause(pause)?;
        waited += pause;
    }
}

/// Checks whether a service is as it is wanted.
fn is_so(
    name: &str,
    wanted: Wanted,
    examination: &mut Examination,
    shared: &Shared,
) -> Result<(), String> {
    let Some(service) = shared.with(|supervisor| supervisor.view(name)) else {
        let gone = (wanted == Wanted::Gone).then_some(());
        return gone.ok_or_else(|| "there is no such service".into());
    };
    // One that has not begun yet may be neither.
    let runs = service.state.is_alive() && service.state != ServiceState::Dormant;
    let is_so = match wanted {
        Wanted::Healthy if runs => return is_healthy(name, examination, shared),
        Wanted::Running => runs,
        Wanted::State(state) => service.state == state,
        Wanted::Gone | Wanted::Healthy => false,
    };
    is_so
        .then_some(())
        .ok_or_else(|| format!("is {}", service.state))
}

fn is_healthy(name: &str, examination: &mut Examination, shared: &Shared) -> Result<(), String> {
    let found = shared.with(|supervisor| {
        let service = supervisor.service(name)?.clone();
        let vm = service.vm?;
        let status = supervisor.kernel().vm_status(vm).ok()?;
        Some((service, vm, status))
    });
    let (service, vm, status) = found.ok_or("is gone")?;
    if has_ended(&status) {
        return Err("has ended".into());
    }
    match health::check_of_service(&service) {
        Some(check) => examination.try_once(shared, vm, &status, &check),
        None => Ok(()),
    }
}

fn wanted(name: &str) -> Option<Wanted> {
    match name {
        "healthy" => Some(Wanted::Healthy),
        "running" => Some(Wanted::Running),
        "gone" => Some(Wanted::Gone),
        _ => ServiceState::from_name(name).map(Wanted::State),
    }
}

/// Reads a time: `500ms`, `10s`, `2m`, `1h`, or a number of seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits);
    let number: u64 = digits.parse().ok()?;
    let ms = match unit {
        "ms" => number,
        "" | "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(ms)).filter(|duration| *duration <= TIME_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("3", 3000),
            ("2m", 120_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "25h", "1.5s", "99999999999999999999"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
