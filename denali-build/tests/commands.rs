//! The command line itself; what the commands do to hosts is tested in test-harness.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use denali_build::failure::EXIT_STATUSES;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_cargo-denali"))
        .args(arguments)
        .env("DENALI_HOME", home.path())
        .output()
        .unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_names_every_verb_and_exit_status() {
    let help = printed(&["--help"]);
    for verb in [
        "new", "build", "host", "deploy", "ls", "logs", "stop", "start", "rm", "run", "demo",
    ] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}: {help}");
        assert!(
            printed(&[verb, "--help"]).contains("Usage: cargo denali"),
            "{verb}"
        );
    }
    assert!(help.contains(EXIT_STATUSES), "{help}");
}

#[test]
fn cargo_and_the_user_may_both_call_it() {
    assert_eq!(
        printed(&["denali", "new", "--list"]),
        printed(&["new", "--list"])
    );
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["new"],
        &["host", "up", "--memory", "12M"],
        &["host", "up", "--memory", "much"],
        &["host", "up", "--port", "0"],
        &["host", "up", "--name", "a/b"],
        &["host", "image"],
        &["host", "image", "--iso", "x.iso", "--gateway", "192.0.2.1"],
        &["host", "image", "--iso", "x.iso", "--address", "192.0.2.1"],
        &["logs"],
        &["logs", "a b", "--host", "127.0.0.1:0"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn no_host_is_an_empty_list() {
    assert_eq!(printed(&["host", "status", "--json"]), "[]\n");
}
