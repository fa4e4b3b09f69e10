//! `logs`: what a service printed, from the kernel's console ring of its VM.

use super::{Format, Stop, Words, print, print_json};
use crate::kernel::{ConsolePiece, VmId};
use crate::service::has_ended;
use crate::shared::Shared;
use crate::supervisor::Failure;
use crate::terminal::{Stream, Terminal};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use denali_abi::errno::Errno;
use denali_protocol::LogLine;

/// Bytes copied from a console at once.
const PIECE_LEN: usize = 4096;

/// Bytes of a console kept for `--lines`, at most; kernels keep less.
const BACKLOG_LEN_MAX: usize = 256 * 1024;

/// Longest line that `--json` shows in one piece.
const LINE_LEN_MAX: usize = 16 * 1024;

/// How long to wait for more: at first, and when nothing came for long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    // No short circuit: both spellings are taken.
    let follow = words.flag("-f") | words.flag("--follow");
    let lines = match words.option("--lines")? {
        None => usize::MAX,
        Some(digits) => digits
            .parse()
            .map_err(|_| Stop::usage("--lines needs a number: see `help`"))?,
    };
    let name = words.name()?;
    let vm = shared
        .with(|supervisor| supervisor.vm_of(name))
        .map_err(|failure| Stop::of_service(name, failure))?;
    let before = shared.with(|supervisor| supervisor.last_words(name).map(<[u8]>::to_vec));
    let Some(vm) = vm else { return Ok(()) };
    let mut printer = Printer {
        format,
        partial: Vec::new(),
    };
    let Some((backlog, mut position)) = backlog(shared, vm, terminal) else {
        return Err(Stop::of_service(name, Failure::NoSuchService));
    };
    let backlog = match before {
        Some(before) => [&before[..], AGAIN, &backlog[..]].concat(),
        None => backlog,
    };
    printer.print(last_lines(&backlog, lines), terminal)?;
    if backlog.is_empty() && has_lost_it(shared, vm) {
        terminal.write(Stream::Error, LOST)?;
    }
    drop(backlog);
    if follow {
        follow_console(shared, vm, &mut position, &mut printer, terminal)?;
    }
    printer.finish(terminal)
}

/// Prints what the kernel said while booting.
pub(super) fn print_boot_report(
    format: Format,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let (report, _) = backlog(shared, VmId::KERNEL, terminal).unwrap_or_default();
    let mut printer = Printer {
        format,
        partial: Vec::new(),
    };
    printer.print(&report, terminal)?;
    printer.finish(terminal)
}

/// Stands between the last lines of a run that ended and the next run.
const AGAIN: &[u8] = b"\n--- ended, and ran again ---\n";

/// What is said of a service whose console was on swap when it ended.
const LOST: &[u8] = b"it ended while it slept on swap, and what it printed is gone\n";

/// Returns whether a service has printed something and ended without it.
fn has_lost_it(shared: &Shared, vm: VmId) -> bool {
    let status = shared.with(|supervisor| supervisor.kernel().vm_status(vm));
    status.is_ok_and(|status| has_ended(&status) && status.console_written > 0)
}

/// How often a service that sleeps on swap is asked for its console.
const WAKE_TRIES_MAX: u32 = 1000;

/// Returns all that the kernel keeps of a console, and the position behind it.
fn backlog(shared: &Shared, vm: VmId, terminal: &mut dyn Terminal) -> Option<(Vec<u8>, u64)> {
    let mut kept = Vec::new();
    let mut position = 0;
    while kept.len() < BACKLOG_LEN_MAX {
        let piece = read(shared, vm, &mut position, terminal)?;
        if piece.is_empty() {
            break;
        }
        kept.extend_from_slice(&piece);
    }
    Some((kept, position))
}

/// Returns console bytes from `position` on and moves it behind them; `None` if the VM is gone.
fn read(
    shared: &Shared,
    vm: VmId,
    position: &mut u64,
    terminal: &mut dyn Terminal,
) -> Option<Vec<u8>> {
    let mut buffer = alloc::vec![0; PIECE_LEN];
    let mut tries = 0;
    let ConsolePiece {
        position: start,
        len,
    } = loop {
        let piece =
            shared.with(|supervisor| supervisor.kernel().console_read(vm, *position, &mut buffer));
        match piece {
            Ok(piece) => break piece,
            // It sleeps on swap and was woken for its console.
            Err(Errno::Busy) if tries < WAKE_TRIES_MAX => {
                tries += 1;
                terminal.pause(PAUSE_MIN).ok()?;
            }
            Err(_) => return None,
        }
    };
    buffer.truncate(len);
    *position = start.saturating_add(u64::try_from(len).unwrap_or(0));
    Some(buffer)
}

/// Prints what comes until the VM has ended and everything is printed, or the VM is gone.
fn follow_console(
    shared: &Shared,
    vm: VmId,
    position: &mut u64,
    printer: &mut Printer,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let mut pause = PAUSE_MIN;
    loop {
        // Asked first: what was printed before the end is then certainly read below.
        let status = shared.with(|supervisor| supervisor.kernel().vm_status(vm));
        let Some(piece) = read(shared, vm, position, terminal) else {
            return Ok(());
        };
        if !piece.is_empty() {
            printer.print(&piece, terminal)?;
            pause = PAUSE_MIN;
            continue;
        }
        if status.map_or(true, |status| has_ended(&status)) {
            return Ok(());
        }
        terminal.pause(pause)?;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Returns the last `count` lines of `text`; an unfinished last line counts.
fn last_lines(text: &[u8], count: usize) -> &[u8] {
    if count == 0 {
        return &[];
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let breaks = body
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n');
    breaks
        .map(|(index, _)| index + 1)
        .nth(count - 1)
        .map_or(text, |start| &text[start..])
}

/// Prints console bytes as they are, or as one JSON value a line.
struct Printer {
    format: Format,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Printer {
    fn print(&mut self, bytes: &[u8], terminal: &mut dyn Terminal) -> Result<(), Stop> {
        if self.format == Format::Human {
            return Ok(terminal.write(Stream::Output, bytes)?);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LINE_LEN_MAX {
                self.flush(terminal)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, terminal: &mut dyn Terminal) -> Result<(), Stop> {
        let line = core::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        print_json(
            terminal,
            &LogLine {
                line: String::from_utf8_lossy(line).into_owned(),
            },
        )
    }

    fn finish(&mut self, terminal: &mut dyn Terminal) -> Result<(), Stop> {
        if self.partial.is_empty() {
            print(terminal, "")
        } else {
            self.flush(terminal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_cut_at_line_ends() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(last_lines(text, 0), b"");
        assert_eq!(last_lines(text, 1), b"three\n");
        assert_eq!(last_lines(text, 2), b"two\nthree\n");
        assert_eq!(last_lines(text, 9), text);
        assert_eq!(last_lines(text, usize::MAX), text);
        assert_eq!(last_lines(b"one\ntwo", 1), b"two");
        assert_eq!(last_lines(b"", 3), b"");
        assert_eq!(last_lines(b"\n\n", 1), b"\n");
    }
}
