//! The program behind `cargo denali`.

use clap::Parser;
use denali_build::cli::Arguments;
use denali_build::{commands, console, failure, interrupt};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Cargo runs `cargo denali x` as `cargo-denali denali x`.
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "denali") {
        words.remove(1);
    }
    let arguments = Arguments::parse_from(words);
    match interrupt::install().and_then(|()| commands::exec(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (status, text) = failure::describe(&error);
            console::note(&text);
            ExitCode::from(status.code())
        }
    }
}
