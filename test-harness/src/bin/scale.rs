//! `cargo run -p test-harness --bin scale -- [WORD=VALUE …]`: very many services on one host,
//! each asked at its own address. The words are those of [`test_harness::scale::Plan::parse`].

use std::process::ExitCode;
use test_harness::scale::{self, Plan};

#[expect(clippy::print_stderr, reason = "a wrong word is answered")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Plan::parse(&words) {
        Ok(plan) => {
            if scale::run(&plan) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
