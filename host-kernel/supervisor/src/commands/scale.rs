//! `scale`: how many copies of a service there are.

use super::{Format, Stop, Words, allow, note, print, print_json};
use crate::access::Wish;
use crate::shared::Shared;
use crate::terminal::Terminal;
use alloc::format;
use core::time::Duration;
use denali_protocol::Scaled;
use denali_protocol::events::Kind;

/// Most copies.
const COPIES_MAX: u32 = 100_000;

/// Copies made or removed before others get their turn.
const COPIES_BETWEEN_PAUSES: u32 = 16;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let (name, copies) = (words.take(), words.take());
    words.end()?;
    let copies = copies.and_then(|digits| digits.parse().ok());
    let copies = copies.filter(|copies| *copies <= COPIES_MAX);
    let (Some(name), Some(copies)) = (name, copies) else {
        return Err(Stop::usage(
            "scale takes a service and a number of copies up to 100000: scale web 3",
        ));
    };
    allow(Wish::Change(name), shared, terminal)?;
    let before = shared.with(|supervisor| supervisor.copies(name));
    let mut present = before;
    while present != copies {
        let step = if present < copies {
            shared.with(|supervisor| supervisor.add_copy(name, present + 1))
        } else {
            shared.with(|supervisor| supervisor.remove(&format!("{name}-{present}")))
        };
        if let Err(failure) = step {
            // What was done stays, and is said.
            let message = format!("{name} has {present} copies now");
            terminal.write(
                crate::terminal::Stream::Error,
                format!("{message}\n").as_bytes(),
            )?;
            return Err(Stop::of_service(name, failure));
        }
        present = if present < copies {
            present + 1
        } else {
            present - 1
        };
        if present.is_multiple_of(COPIES_BETWEEN_PAUSES) {
            terminal.pause(Duration::ZERO)?;
        }
    }
    if before != copies {
        note(Kind::Scaled, name, shared, terminal);
    }
    let scaled = Scaled {
        name: name.into(),
        before,
        copies,
    };
    match format {
        Format::Json => print_json(terminal, &scaled),
        Format::Human => print(
            terminal,
            &format!("{name}: {before} copies before, {copies} now\n"),
        ),
    }
}
