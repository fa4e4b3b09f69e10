//! `start`: run a stopped or ended service again from its image.

use super::{Stop, Words, allow, keep_stopped, note, print_service};
use crate::access::Wish;
use crate::shared::Shared;
use crate::terminal::Terminal;
use denali_protocol::events::Kind;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let name = words.name()?;
    allow(Wish::Change(name), shared, terminal)?;
    shared
        .with(|supervisor| supervisor.start(name))
        .map_err(|failure| Stop::of_service(name, failure))?;
    note(Kind::Started, name, shared, terminal);
    keep_stopped(name, false, shared)?;
    print_service(name, format, shared, terminal)
}
