//! `releases`: what was deployed as a service.

use super::{Format, Stop, Words, print, print_json};
use crate::releases::nothing_kept;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use denali_protocol::releases::{Outcome, Release};

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let name = words.name()?;
    let keeper = shared
        .keeper()
        .ok_or_else(|| Stop::of_service(name, nothing_kept()))?;
    let releases = keeper.lock().releases(name);
    if releases.is_empty() {
        return Err(Stop::of_service(name, Failure::NoSuchService));
    }
    match format {
        Format::Json => print_json(terminal, &releases),
        Format::Human => {
            for release in &releases {
                print(terminal, &line(release))?;
            }
            Ok(())
        }
    }
}

fn line(release: &Release) -> String {
    let Release {
        number,
        version,
        by,
        at,
        of,
        outcome,
        ..
    } = release;
    let outcome = match outcome {
        Outcome::Begun => "not finished".into(),
        Outcome::Current => "current".into(),
        Outcome::Replaced => "replaced".into(),
        Outcome::Failed(why) => format!("failed: {}", why.escape_debug()),
    };
    let of = of.map(|of| format!(" (of {of})")).unwrap_or_default();
    format!("{number}{of}  {version}  {at}  {by}  {outcome}\n")
}
