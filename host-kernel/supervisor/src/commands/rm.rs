//! `rm`: end a service and free everything it had.

use super::{Format, Stop, Words, allow, note, print, print_json};
use crate::access::Wish;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::Terminal;
use alloc::format;
use denali_protocol::Removed;
use denali_protocol::events::Kind;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let name = words.name()?;
    allow(Wish::Change(name), shared, terminal)?;
    // What is not kept any more does not come back, whatever happens then.
    if let Some(keeper) = shared.keeper()
        && let Err(error) = keeper.lock().forget(name)
    {
        let failure = Failure::Other(format!("cannot be forgotten: {error}"));
        return Err(Stop::of_service(name, failure));
    }
    shared
        .with(|supervisor| supervisor.remove(name))
        .map_err(|failure| Stop::of_service(name, failure))?;
    note(Kind::Removed, name, shared, terminal);
    match format {
        Format::Json => print_json(terminal, &Removed { name: name.into() }),
        Format::Human => print(terminal, &format!("{name}: removed\n")),
    }
}
