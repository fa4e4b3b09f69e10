//! `fit`: how many more VMs of an image there is room for, and what binds.

use super::{Format, Stop, Words, print, print_json};
use crate::shared::Shared;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let memory = bytes(&mut words, "--memory")?
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| Stop::usage("fit needs --memory with the limit of a VM in bytes"))?;
    let image = bytes(&mut words, "--image")?.unwrap_or(0);
    words.end()?;
    let fit = shared.with(|supervisor| supervisor.fit(memory, image));
    if format == Format::Json {
        return print_json(terminal, &fit);
    }
    let mut text = format!("{} more fit: {} binds\n", fit.vms, fit.binds);
    for bound in &fit.bounds {
        let vms = match bound.vms {
            u64::MAX => String::from("any number"),
            vms => format!("{vms}"),
        };
        text.push_str(&format!("{:<12} {vms}\n", bound.what));
    }
    print(terminal, &text)
}

fn bytes(words: &mut Words<'_>, option: &str) -> Result<Option<u64>, Stop> {
    let Some(digits) = words.option(option)? else {
        return Ok(None);
    };
    digits
        .parse()
        .map(Some)
        .map_err(|_| Stop::usage(format!("{option} takes a number of bytes")))
}
