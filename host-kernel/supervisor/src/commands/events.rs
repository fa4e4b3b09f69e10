//! `events`: what happened on the host.

use super::{Format, Stop, Words, print, print_json};
use crate::shared::Shared;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use denali_protocol::events::Event;

/// How often to look for more.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    // No short circuit: both spellings are taken.
    let follow = words.flag("-f") | words.flag("--follow");
    let service = words.option("--service")?;
    words.end()?;
    let mut number = 0;
    loop {
        let events = shared.with(|supervisor| supervisor.events().behind(number));
        for event in events {
            number = event.number;
            if service.is_some_and(|name| event.service.as_deref() != Some(name)) {
                continue;
            }
            match format {
                Format::Json => print_json(terminal, &event)?,
                Format::Human => print(terminal, &line(&event))?,
            }
        }
        if !follow {
            return Ok(());
        }
        terminal.pause(PAUSE)?;
    }
}

fn line(event: &Event) -> String {
    let Event {
        number,
        at,
        kind,
        service,
        detail,
    } = event;
    let (kind, service) = (kind.name(), service.as_deref().unwrap_or("-"));
    format!(
        "{number}  {at}  {kind}  {service}  {}\n",
        detail.escape_debug()
    )
}
