//! `cargo run -p test-harness --bin sabotage [NAME…]`: shows that the suites can fail.
//!
//! For each sabotage, or those named, it builds a kernel with one protection removed
//! (`--cfg sabotage="NAME"`) and runs those who ought to notice.

use anyhow::{Result, ensure};
use std::process::ExitCode;
use test_harness::sabotage::SABOTAGES;

fn main() -> Result<ExitCode> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let chosen: Vec<_> = SABOTAGES.iter().filter(|it| is_wanted(it.name)).collect();
    let names = wanted.join(" or ");
    ensure!(!chosen.is_empty(), "no sabotage is called {names}");
    let mut unnoticed = Vec::new();
    for sabotage in &chosen {
        // What breaks the host is noticed, too, but proves nothing.
        let (findings, otherwise) = match sabotage.prove() {
            Ok(findings) => (findings, String::from("NOBODY NOTICED")),
            Err(error) => (Vec::new(), format!("IT BROKE: {error:#}")),
        };
        let first = findings.first().and_then(|it| it.lines().next());
        say(&format!(
            "{:20} {:3} findings  {}",
            sabotage.name,
            findings.len(),
            first.unwrap_or(&otherwise)
        ));
        if findings.is_empty() {
            unnoticed.push(sabotage.name);
        }
    }
    let noticed = chosen.len() - unnoticed.len();
    say(&format!("{noticed} of {} noticed", chosen.len()));
    if unnoticed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("unnoticed: {}", unnoticed.join(", ")));
    Ok(ExitCode::FAILURE)
}

#[expect(clippy::print_stdout, reason = "a command talks to its user")]
fn say(line: &str) {
    println!("{line}");
}
