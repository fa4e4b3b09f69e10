//! What a newcomer does, sentence by sentence, with the program installed elsewhere and the clone
//! out of sight.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use denali_protocol::{LogLine, Service, ServiceState};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use test_harness::cli::{self, Invocation};
use test_harness::home::Home;
use test_harness::host::free_port;
use test_harness::project::Project;
use test_harness::{http, wait};

/// The exit status of a command that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Copies the program to where `cargo install` would put it, and returns its path.
fn install(home: &Home) -> PathBuf {
    let bin = home.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let program = bin.join("cargo-denali");
    // By a process of its own: what another test starts while this one writes would inherit the open
    // file, and nobody can run a program that is open for writing.
    let copied = home.invoke("cp").arg(cli::program()).arg(&program);
    copied.succeeds();
    program
}

/// Prepares a command for which the clone does not exist, where this machine can hide it.
fn without_clone(home: &Home, program: &Path) -> Invocation {
    let can_hide = home.invoke("unshare").args(["--mount", "true"]);
    let hide = "mount -t tmpfs none \"$0\" && exec \"$@\"";
    if std::process::Command::new("unshare")
        .arg("--version")
        .output()
        .is_ok()
        && can_hide.run().code == Some(0)
    {
        let clone = cli::repository();
        home.invoke("unshare")
            .args(["--mount", "sh", "-c", hide])
            .arg(clone)
            .arg(program)
    } else {
        home.invoke(program)
    }
}

#[test]
fn from_a_new_project_to_a_page_and_back() {
    let home = Home::new();
    let program = install(&home);
    let denali = |arguments: &[&str]| home.invoke(&program).args(arguments);

    let list = denali(&["new", "--list"]).succeeds().stdout;
    assert!(
        list.contains("minimal") && list.contains("web-server"),
        "{list}"
    );
    denali(&["new", "hello", "--template", "web-server"]).succeeds();
    let project = home.path().join("hello");
    let port = free_port();
    publish(&project, port);

    let report = without_clone(&home, &program)
        .arg("build")
        .within(&project)
        .succeeds();
    for line in ["image ", "segments ", "memory ", "build-id ", "package "] {
        assert!(report.stdout.contains(line), "no {line:?} in {report}");
    }
    assert!(
        report.stderr.contains("Compiling hello"),
        "cargo's progress shows: {report}"
    );
    check_sameness(&home, &program, &project);

    let address = denali(&["host", "up"]).succeeds().stdout.trim().to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let deployed = denali(&["deploy", &address]).within(&project).succeeds();
    for step in [" 1 ", " 2 ", " 3 "] {
        assert!(deployed.stderr.contains(step), "numbered steps: {deployed}");
    }
    assert_eq!(deployed.stdout.trim(), format!("http://127.0.0.1:{port}/"));
    let page = http::get(port, "/").unwrap();
    assert!(
        page.status == 200 && page.text().contains("<h1>It runs</h1>"),
        "{page:?}"
    );

    check_lists_and_logs(&home, &program);
    check_stop_and_start(&home, &program, port);
    denali(&["rm", "hello"]).succeeds();
    assert_eq!(
        denali(&["ls", "--json"]).succeeds().json::<Vec<Service>>(),
        []
    );
    denali(&["host", "down"]).succeeds();
    home.assert_nothing_runs();
}

/// Publishes `port` instead of the template's.
fn publish(project: &Path, port: u16) {
    let path = project.join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("8080:80", &format!("{port}:80"))).unwrap();
}

/// Same sources, same bytes: in another folder, by a build of its own.
fn check_sameness(home: &Home, program: &Path, project: &Path) {
    let elsewhere = home.path().join("some/where/else");
    fs::create_dir_all(&elsewhere).unwrap();
    let new = ["new", "hello", "--template", "web-server"];
    home.invoke(program).args(new).within(&elsewhere).succeeds();
    let twin = elsewhere.join("hello");
    fs::copy(project.join("Cargo.toml"), twin.join("Cargo.toml")).unwrap();
    let build = |folder: &Path| -> Value {
        home.invoke(program)
            .args(["build", "--json"])
            .within(folder)
            .succeeds()
            .json()
    };
    let (one, other) = (build(project), build(&twin));
    for file in ["image", "package"] {
        let read = |report: &Value| fs::read(report[file].as_str().unwrap()).unwrap();
        assert!(
            read(&one) == read(&other),
            "the {file} depends on the folder"
        );
    }
    assert_eq!(one["build-id"], other["build-id"]);
    assert_ne!(one["image"], other["image"]);
}

fn check_lists_and_logs(home: &Home, program: &Path) {
    let denali = |arguments: &[&str]| home.invoke(program).args(arguments);
    let services: Vec<Service> = denali(&["ls", "--json"]).succeeds().json();
    assert_eq!(services.len(), 1);
    assert_eq!(
        (services[0].name.as_str(), services[0].state),
        ("hello", ServiceState::Idle)
    );
    assert!(services[0].resident > 0 && services[0].resident <= services[0].memory);
    let table = denali(&["ls"]).succeeds().stdout;
    assert!(table.contains("hello") && table.contains("idle"), "{table}");

    let log = denali(&["logs", "hello"]).succeeds().stdout;
    assert!(log.contains("listening on port 80"), "{log}");
    let lines = denali(&["logs", "hello", "--json"]).succeeds().stdout;
    let parsed: Vec<LogLine> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        parsed
            .iter()
            .any(|line| line.line.contains("listening on port 80")),
        "{lines}"
    );
    let mut following = denali(&["logs", "hello", "-f"]).start();
    following.wait_for_output("listening on port 80");
    following.interrupt();
    assert_eq!(following.finish().code, Some(INTERRUPTED));
}

fn check_stop_and_start(home: &Home, program: &Path, port: u16) {
    let denali = |arguments: &[&str]| home.invoke(program).args(arguments);
    let stopped: Service = denali(&["stop", "hello", "--json"]).succeeds().json();
    assert_eq!(stopped.state, ServiceState::Stopped);
    assert!(
        http::get(port, "/").is_err(),
        "a stopped service does not answer"
    );
    let log = denali(&["logs", "hello"]).succeeds().stdout;
    assert!(log.contains("listening on port 80"), "its log stays: {log}");
    let started: Service = denali(&["start", "hello", "--json"]).succeeds().json();
    assert!(
        matches!(started.state, ServiceState::Running | ServiceState::Idle),
        "{started:?}"
    );
    let page = wait::until("the page", || http::get(port, "/healthz").ok());
    assert_eq!(page.text(), "ok\n");
}

#[test]
fn run_follows_the_log_until_ctrl_c_ends_it_all() {
    let home = Home::new();
    let project = Project::shared(&home, "minimal");
    let port = free_port();
    project.publish(port);
    let mut running = home.denali(["run"]).within(project.folder()).start();
    running.wait_for_output("Ctrl-C ends it all");
    let page = wait::until("the page", || http::get(port, "/").ok());
    assert_eq!(page.text(), "hello from Denali!\n");
    running.wait_for_output("greeting 10.90.0.2");
    running.interrupt();
    assert_eq!(running.finish().code, Some(INTERRUPTED));
    home.assert_nothing_runs();
    assert!(http::get(port, "/").is_err());
}

#[test]
fn the_demo_shows_the_whole_path_and_leaves_nothing_running() {
    let home = Home::new();
    // The template publishes port 8080; the demo may not depend on its being free.
    let outcome = home.denali(["demo"]).succeeds();
    assert!(outcome.stdout.contains("<!doctype html>"), "{outcome}");
    for step in ["new", "build", "host", "deploy", "fetch"] {
        assert!(
            outcome.stderr.contains(&format!(" {step} ")),
            "no {step} in {outcome}"
        );
    }
    assert!(
        outcome.stderr.contains("next: cargo denali new hello"),
        "{outcome}"
    );
    home.assert_nothing_runs();
}

#[test]
fn a_generated_project_is_an_ordinary_crate() {
    let home = Home::new();
    let program = install(&home);
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    for template in ["minimal", "web-server", "cache"] {
        let project = Project::shared(&home, template);
        let cargo = |arguments: &[&str]| {
            home.invoke("cargo")
                .args(arguments)
                .within(project.folder())
                .env("PATH", &path)
        };
        cargo(&["clippy", "--all-targets", "--quiet", "--", "-D", "warnings"]).succeeds();
        cargo(&["test", "--quiet"]).succeeds();
        // Plain `cargo build` works, and what it makes says how to build the service.
        cargo(&["build", "--quiet"]).succeeds();
        let started = cargo(&["run", "--quiet"]).fails(2);
        assert!(
            started
                .stderr
                .contains("build it with `cargo denali build`"),
            "{started}"
        );
        // The program is a subcommand of cargo, from any folder.
        let list = home
            .invoke("cargo")
            .args(["denali", "new", "--list"])
            .env("PATH", &path);
        assert!(list.succeeds().stdout.contains(template));
    }
}
