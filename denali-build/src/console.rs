//! What the program says: results on standard output, everything else on standard error.

use anyhow::{Context, Result};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Writes a line of the result to standard output.
///
/// # Errors
///
/// Standard output is closed or full.
pub fn line(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{text}").context("writing to standard output")
}

/// Writes `value` as JSON to standard output.
///
/// # Errors
///
/// As [`line()`].
pub fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value).context("writing JSON")?)
}

/// Writes a line to standard error.
pub fn note(text: &str) {
    // Nobody is left to tell when standard error is closed.
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Writes what is being done to standard error, in cargo's layout.
pub fn status(verb: &str, what: &str) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colour {
        note(&format!("\x1b[1;32m{verb:>12}\x1b[0m {what}"));
    } else {
        note(&format!("{verb:>12} {what}"));
    }
}

/// One line on standard error that is written again and again; on what is no terminal, a line each.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    shown: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Shows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        Self {
            terminal,
            shown: false,
        }
    }

    /// Shows how far things are.
    pub fn show(&mut self, words: &str) {
        self.shown = true;
        if self.terminal {
            // Nobody is left to tell when standard error is closed.
            write!(io::stderr().lock(), "\r              {words}\x1b[K").ok();
        } else {
            note(&format!("              {words}"));
        }
    }

    /// Leaves the line as it was before.
    pub fn end(self) {
        if self.terminal && self.shown {
            // As above.
            write!(io::stderr().lock(), "\r\x1b[K").ok();
        }
    }
}

/// Numbered steps with their times, on standard error.
#[derive(Debug, Default)]
pub struct Steps {
    taken: u32,
}

impl Steps {
    /// Starts with step 1.
    #[must_use]
    pub const fn new() -> Self {
        Self { taken: 0 }
    }

    /// Takes one step; it returns its result and a few words about it.
    ///
    /// # Errors
    ///
    /// Those of the step.
    pub fn take<T>(&mut self, name: &str, step: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        self.taken += 1;
        let started = Instant::now();
        let (result, words, mark) = match step() {
            Ok((value, words)) => (Ok(value), words, "ok"),
            Err(error) => (Err(error), String::new(), "FAIL"),
        };
        let time = seconds(started.elapsed());
        note(&format!(
            "  {:2} {name:<8} {words:<57} {mark:<4} {time:>8}",
            self.taken
        ));
        result
    }
}

/// Returns a time as people read it: `12 ms`, `3.4 s`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    let milliseconds = time.as_millis();
    if milliseconds < 1000 {
        format!("{milliseconds} ms")
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// Returns a size as people read it: `512 B`, `36 KiB`, `2 MiB`, rounded to the nearest.
#[must_use]
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    let rounded = |unit: u64| bytes.saturating_add(unit / 2) / unit;
    match bytes {
        0..KIB => format!("{bytes} B"),
        _ if bytes.is_multiple_of(MIB) || bytes >= 10 * MIB => format!("{} MiB", rounded(MIB)),
        _ => format!("{} KiB", rounded(KIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(size(100), "100 B");
        assert_eq!(size(1600), "2 KiB");
        assert_eq!(size(224_632 << 10), "219 MiB");
        assert_eq!(size(2 << 20), "2 MiB");
        assert_eq!(seconds(Duration::from_millis(12)), "12 ms");
        assert_eq!(seconds(Duration::from_millis(3_450)), "3.5 s");
    }
}
