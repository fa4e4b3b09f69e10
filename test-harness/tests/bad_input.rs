//! What goes wrong before there is a host: one line, the next command, the documented exit status,
//! and nothing half made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;
use test_harness::cli::{self, Outcome};
use test_harness::home::Home;
use test_harness::host::free_port;
use test_harness::project::Project;

/// Returns the names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_unknown_template_is_answered_with_those_there_are() {
    let home = Home::new();
    let outcome = home
        .denali(["new", "hello", "--template", "nonsense"])
        .fails(2);
    outcome.explains("`nonsense`", "c-echo, cache, minimal, std, web-server");
    assert_eq!(names(home.path()), [""; 0]);
}

#[test]
fn a_name_that_cargo_refuses_is_refused() {
    let home = Home::new();
    for name in ["1st", "fn", "test", "a b", "../up", "", "ö"] {
        let outcome = home.denali(["new", name]).fails(2);
        outcome.explains("", "cargo denali new hello");
        assert_eq!(names(home.path()), [""; 0], "{name:?}");
    }
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let home = Home::new();
    fs::create_dir(home.path().join("hello")).unwrap();
    let outcome = home.denali(["new", "hello"]).fails(2);
    outcome.explains("exists already", "choose another name");
    assert_eq!(names(&home.path().join("hello")), [""; 0]);
}

#[test]
fn an_unknown_verb_is_usage() {
    let home = Home::new();
    for arguments in [
        &["nonsense"][..],
        &["new"],
        &["host"],
        &["deploy", "--nonsense"],
    ] {
        let outcome = home.denali(arguments).fails(2);
        assert!(outcome.stderr.contains("cargo denali"), "{outcome}");
    }
}

#[test]
fn an_error_in_the_manifest_points_at_the_key() {
    let home = Home::new();
    let project = Project::new(&home, "hello", "minimal");
    let path = project.folder().join("Cargo.toml");
    let good = fs::read_to_string(&path).unwrap();
    let line = 1 + good
        .lines()
        .position(|line| line.starts_with("memory = "))
        .unwrap();
    for (from, to, error, help) in [
        (
            "memory = \"1M\"\n",
            "",
            format!("{}: ", line - 1),
            "memory = ",
        ),
        (
            "\"1M\"",
            "\"1X\"",
            format!("{line}: package.metadata.denali.memory"),
            "memory = ",
        ),
        (
            "\"1M\"",
            "7",
            format!("{line}: package.metadata.denali.memory"),
            "memory = ",
        ),
        (
            "8080:80",
            "80:80:80",
            format!("{}: package.metadata.denali.publish", line + 1),
            "",
        ),
        (
            "publish",
            "pubish",
            format!("{}: package.metadata.denali has no key", line + 1),
            "keys",
        ),
        (
            "[package.metadata.denali]",
            "[package.metadata.other]",
            String::new(),
            "memory = ",
        ),
    ] {
        fs::write(&path, good.replace(from, to)).unwrap();
        let outcome = home.denali(["build"]).within(project.folder()).fails(2);
        outcome.explains(&format!("Cargo.toml:{error}"), help);
        assert!(
            !project.folder().join("target/denali").exists(),
            "nothing was built"
        );
    }
    // What cargo itself cannot read is told in cargo's words.
    fs::write(&path, "[package\n").unwrap();
    let outcome = home.denali(["build"]).within(project.folder()).fails(2);
    assert!(outcome.stderr.contains("Cargo.toml"), "{outcome}");
}

#[test]
fn a_folder_without_a_project_says_how_to_make_one() {
    let home = Home::new();
    home.denali(["build"])
        .fails(2)
        .explains("no Cargo.toml", "cargo denali new");
}

#[test]
fn a_service_that_does_not_compile_is_a_failed_build() {
    let home = Home::new();
    let project = Project::shared(&home, "minimal");
    let main = project.folder().join("src/main.rs");
    fs::write(&main, "fn main() { nonsense }").unwrap();
    let outcome = home.denali(["build"]).within(project.folder()).fails(3);
    assert!(
        outcome.stderr.contains("nonsense"),
        "the compiler's message shows: {outcome}"
    );
    assert!(outcome.stderr.contains("does not build"), "{outcome}");
}

#[test]
fn without_a_host_the_next_command_is_host_up() {
    let home = Home::new();
    for arguments in [
        &["ls"][..],
        &["logs", "hello"],
        &["stop", "hello"],
        &["rm", "hello"],
    ] {
        home.denali(arguments)
            .fails(4)
            .explains("no local host is up", "cargo denali host up");
    }
    home.denali(["host", "down"])
        .fails(1)
        .explains("no host", "cargo denali host status");
}

#[test]
fn an_unreachable_host_is_named() {
    let home = Home::new();
    let address = format!("127.0.0.1:{}", free_port());
    let outcome = home.denali(["ls", "--host", &address]).fails(4);
    outcome.explains(&address, "cargo denali host status");
    home.denali(["ls", "--host", "nonsense"])
        .fails(2)
        .explains("`nonsense`", "HOST:PORT");
}

#[test]
fn without_qemu_the_command_to_type_is_printed() {
    let home = Home::new();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // Neither QEMU nor apt-get is on this path, and what cargo needs is.
    for program in ["cargo", "rustc", "id", "sh", "cc", "git"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        if let Some(path) = found {
            std::os::unix::fs::symlink(path, bin.join(program)).unwrap();
        }
    }
    let project = Project::shared(&home, "minimal");
    for arguments in [&["host", "up"][..], &["run"], &["demo"]] {
        let denali = home
            .denali(arguments)
            .within(project.folder())
            .env("PATH", &bin);
        denali
            .fails(2)
            .explains("qemu-system-x86", "apt-get install -y qemu-system-x86");
    }
    home.assert_nothing_runs();
}

/// Runs `cargo-denali` in `folder` while a disk of 64 KiB is mounted there, then lists what is left
/// on it. `None` if this machine cannot mount one: that takes root.
fn on_a_small_disk(home: &Home, folder: &Path, arguments: &[&str]) -> Option<Outcome> {
    let possible = Command::new("unshare").args(["--mount", "true"]).output();
    let script = "mount -t tmpfs -o size=64k none \"$0\" && cd \"$0\" && \"$@\"; \
                  code=$?; find . -type f; exit $code";
    possible
        .is_ok_and(|output| output.status.success())
        .then(|| {
            home.invoke("unshare")
                .args(["--mount", "sh", "-c", script])
                .arg(folder)
                .arg(cli::program())
                .args(arguments)
                .fails(1)
        })
}

#[test]
fn a_full_disk_is_reported_and_keeps_no_half_project() {
    let home = Home::new();
    let disk = home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    if let Some(outcome) = on_a_small_disk(&home, &disk, &["new", "hello"]) {
        assert!(
            outcome.stderr.contains("No space left on device"),
            "{outcome}"
        );
        assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{outcome}");
        assert_eq!(outcome.stdout, "", "nothing half made is left");
    }
}

#[test]
fn a_host_that_finds_no_room_for_its_files_is_not_started() {
    let home = Home::new();
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    if let Some(outcome) = on_a_small_disk(&home, &state, &["host", "up"]) {
        assert!(
            outcome.stderr.contains("No space left on device"),
            "{outcome}"
        );
        assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{outcome}");
        assert!(
            !outcome.stdout.contains("local/"),
            "nothing half made is left: {outcome}"
        );
    }
    home.assert_nothing_runs();
}
