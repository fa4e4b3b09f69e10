//! `rollback`: run an earlier release again.

use super::{Format, Stop, Words, allow, print, print_json};
use crate::access::Wish;
use crate::releases;
use crate::shared::Shared;
use crate::terminal::Terminal;
use alloc::format;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let number = match words.option("--to")? {
        None => None,
        Some(digits) => {
            let number = digits.parse().ok();
            Some(number.ok_or_else(|| Stop::usage("--to needs the number of a release"))?)
        }
    };
    let name = words.name()?;
    allow(Wish::Change(name), shared, terminal)?;
    let _slot = shared.wait_for_upload_slot();
    let by = terminal.who();
    let deployed = releases::rollback(shared, name, number, &by)
        .map_err(|failure| Stop::of_service(name, failure))?;
    match format {
        Format::Json => print_json(terminal, &deployed.service),
        Format::Human => {
            let release = deployed.release.unwrap_or_default();
            let version = &deployed.service.version;
            print(
                terminal,
                &format!("{name}: {version} runs as release {release}\n"),
            )
        }
    }
}
