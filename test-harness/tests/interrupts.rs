//! Ctrl-C in the middle of every step: the documented exit status, and nothing half made on disk, on
//! the host, or running.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use test_harness::cli::Running;
use test_harness::guest::Guest;
use test_harness::home::Home;
use test_harness::host::Host;
use test_harness::project::Project;
use test_harness::wait;

/// The exit status of a command that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Presses Ctrl-C and checks the end.
fn interrupt(running: Running) {
    running.interrupt();
    let outcome = running.finish();
    assert_eq!(outcome.code, Some(INTERRUPTED), "{outcome}");
    assert_eq!(
        outcome.stderr.matches("interrupted").count(),
        1,
        "{outcome}"
    );
    assert!(!outcome.stderr.contains("thread 'main'"), "{outcome}");
}

/// Returns whether there is a file of this name below `folder`.
fn has_file(folder: &Path, name: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries
        .map(|entry| entry.unwrap().path())
        .any(|path| path.file_name().is_some_and(|found| found == name) || has_file(&path, name))
}

#[test]
fn a_build_leaves_no_image() {
    let home = Home::new();
    let project = Project::new(&home, "hello", "minimal");
    let mut running = home.denali(["build"]).within(project.folder()).start();
    running.wait_for_output("Compiling");
    interrupt(running);
    for file in ["hello.image", "hello.tar"] {
        assert!(!has_file(project.folder(), file), "{file}");
    }
    home.assert_nothing_runs();
}

#[test]
fn a_first_host_leaves_no_kernel() {
    let home = Home::with_empty_cache();
    let mut running = home.denali(["host", "up"]).start();
    running.wait_for_output("Compiling");
    interrupt(running);
    for file in ["kernel.elf", "supervisor.image", "state.json"] {
        assert!(!has_file(home.path(), file), "{file}");
    }
    home.assert_nothing_runs();
}

/// Waits until a command has started QEMU, but not until it is done.
fn wait_for_qemu(home: &Home, running: &mut Running) {
    wait::until("QEMU to start", || {
        assert!(
            !running.has_ended(),
            "it was over before it could be interrupted"
        );
        let is_qemu = |id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.starts_with(b"qemu-system-x86_64\0")
        };
        home.processes().iter().any(is_qemu).then_some(())
    });
}

/// Builds kernel and supervisor, which all tests but one share, before the clock matters.
fn boot_once() {
    drop(Host::up(&[]));
}

#[test]
fn a_booting_host_is_ended() {
    boot_once();
    let home = Home::new();
    let mut running = home.denali(["host", "up"]).start();
    wait_for_qemu(&home, &mut running);
    interrupt(running);
    assert!(!home.path().join("state/denali/hosts/local").exists());
    home.assert_nothing_runs();
}

#[test]
fn a_run_that_is_booting_is_ended() {
    boot_once();
    let home = Home::new();
    let project = Project::shared(&home, "web-server");
    home.denali(["build"]).within(project.folder()).succeeds();
    let mut running = home.denali(["run"]).within(project.folder()).start();
    wait_for_qemu(&home, &mut running);
    interrupt(running);
    assert!(!has_file(home.path(), "state.json"));
    home.assert_nothing_runs();
}

#[test]
fn an_upload_leaves_nothing_on_the_host() {
    let host = Host::up(&[]);
    let before = host.status().answered();
    let bulky = Guest::new("bulky").memory("32M").project();
    host.denali(["build"]).within(&bulky).succeeds();
    let mut running = host.denali(["deploy"]).within(&bulky).start();
    running.wait_for_output(" connect ");
    interrupt(running);
    assert_eq!(host.services(), []);
    let after = wait::within(wait::PATIENCE, || {
        let after = host.status().answered();
        (after.memory_available == before.memory_available).then_some(after)
    });
    assert_eq!(after.expect("the memory comes back").vms, before.vms);
    // The host takes the next upload at once.
    host.deploy_to_its_end(&bulky);
    assert_eq!(host.wait_for_end("bulky").exit_code, Some(0));
}
