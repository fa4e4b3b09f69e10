//! `limits`: what a service may take of CPU and network.

use super::{Format, Stop, Words, allow, print, print_json};
use crate::access::Wish;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::Terminal;
use alloc::format;
use denali_protocol::Limits;
use denali_protocol::limits::{parse_cap, parse_rate, parse_weight};

/// What takes a bound away.
const NONE: &str = "none";

/// What the command line changes; `Some(None)` takes a bound away.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    weight: Option<u32>,
    cap: Option<Option<u32>>,
    packets: Option<Option<u64>>,
    bytes: Option<Option<u64>>,
}

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let change = Change::take(&mut words)?;
    let name = words.name()?;
    if change.is_any() {
        allow(Wish::Change(name), shared, terminal)?;
    }
    let service = shared.with(|supervisor| {
        if change.is_any() {
            supervisor.set_limits(name, |limits| change.apply(limits))?;
        }
        supervisor.view(name).ok_or(Failure::NoSuchService)
    });
    let service = service.map_err(|failure| Stop::of_service(name, failure))?;
    match format {
        Format::Json => print_json(terminal, &service),
        Format::Human => print(terminal, &format!("{name}: {}\n", service.limits)),
    }
}

impl Change {
    fn take(words: &mut Words<'_>) -> Result<Self, Stop> {
        let weight = words.option("--weight")?.map(|text| {
            parse_weight(text).ok_or_else(|| wrong("--weight", text, "a number from 1 to 10000"))
        });
        Ok(Self {
            weight: weight.transpose()?,
            cap: bound(words, "--cap", "a part of a CPU such as 0.5", parse_cap)?,
            packets: bound(words, "--packets", "a rate such as 10k/s", parse_rate)?,
            bytes: bound(words, "--bytes", "a rate such as 1M/s", parse_rate)?,
        })
    }

    const fn is_any(&self) -> bool {
        self.weight.is_some()
            || self.cap.is_some()
            || self.packets.is_some()
            || self.bytes.is_some()
    }

    fn apply(&self, limits: &mut Limits) {
        *limits = Limits {
            cpu_weight: self.weight.unwrap_or(limits.cpu_weight),
            cpu_cap: self.cap.unwrap_or(limits.cpu_cap),
            packets_per_second: self.packets.unwrap_or(limits.packets_per_second),
            bytes_per_second: self.bytes.unwrap_or(limits.bytes_per_second),
        };
    }
}

/// Takes an option that sets a bound, or takes it away with `none`.
fn bound<T>(
    words: &mut Words<'_>,
    option: &str,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Option<T>>, Stop> {
    match words.option(option)? {
        None => Ok(None),
        Some(NONE) => Ok(Some(None)),
        Some(text) => match parse(text) {
            Some(value) => Ok(Some(Some(value))),
            None => Err(wrong(option, text, &format!("{what}, or {NONE}"))),
        },
    }
}

fn wrong(option: &str, text: &str, what: &str) -> Stop {
    Stop::usage(format!("{option} `{}` is not {what}", text.escape_debug()))
}
