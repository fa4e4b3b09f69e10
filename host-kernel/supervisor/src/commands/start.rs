//! `start`: run a stopped or ended service again from its image.

use super::{Stop, Words, keep_stopped, print_service};
use crate::shared::Shared;
use crate::terminal::Terminal;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let name = words.name()?;
    shared
        .with(|supervisor| supervisor.start(name))
        .map_err(|failure| Stop::of_service(name, failure))?;
    keep_stopped(name, false, shared)?;
    print_service(name, format, shared, terminal)
}
