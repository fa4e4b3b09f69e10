//! The sink of the `log` facade: one console line per record.

use crate::env;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// The environment variable that sets the level: `off`, `error`, `warn`, `info`, `debug`, `trace`.
const LEVEL_VARIABLE: &str = "LOG";

struct Console;

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (level, target) = (name(record.level()), record.target());
            crate::println!("{level} {target}: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Makes the console the sink of `log`, at level `info` unless the environment says otherwise.
pub(crate) fn init() {
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(level_from(env::var(LEVEL_VARIABLE)));
    }
}

fn level_from(value: Option<&str>) -> LevelFilter {
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(LevelFilter::Info)
}

/// Returns the name of a level, padded to equal width.
const fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enabled_records_are_written() {
        init();
        assert!(log::log_enabled!(Level::Info));
        assert!(!log::log_enabled!(Level::Debug));
        log::info!("a record of the log facade");
    }

    #[test]
    fn a_level_that_makes_no_sense_is_info() {
        assert_eq!(level_from(Some("debug")), LevelFilter::Debug);
        assert_eq!(level_from(Some("loud")), LevelFilter::Info);
        assert_eq!(level_from(None), LevelFilter::Info);
    }
}
