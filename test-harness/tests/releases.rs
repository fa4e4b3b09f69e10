//! Releases, and services that come back: a host with a data disk, reboots and power cuts.
//!
//! `DENALI_CUTS` sets how often the power is cut in the middle of a deployment (3), and while notes
//! are written (2).

#![expect(clippy::print_stdout, reason = "the figures are the result")]

use denali_protocol::ServiceState;
use denali_protocol::releases::{Outcome, Release, Secrets};
use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use test_harness::guest::Guest;
use test_harness::home::Home;
use test_harness::host::{Host, free_port};
use test_harness::http::{self, Body, Connection};
use test_harness::project::Project;
use test_harness::{facts, suite, wait};

/// The service.
const NAME: &str = "web-server";

fn main() -> ExitCode {
    suite::run(
        Durable::serve,
        &facts![
            a_host_says_what_it_keeps,
            each_deploy_is_a_release,
            a_rollback_is_a_release_too,
            clients_are_served_while_releases_switch,
            a_release_that_crashes_leaves_the_last_one_serving,
            secrets_are_listed_and_never_shown,
            an_acknowledged_deploy_survives_a_power_cut,
            a_cut_in_the_middle_leaves_the_old_or_the_new,
            what_was_stopped_or_removed_stays_so,
            acknowledged_notes_survive_power_cuts,
            a_volume_outlives_releases_and_not_its_service,
        ],
    )
}

struct Durable {
    host: Host,
    project: Project,
    port: u16,
}

impl Durable {
    fn serve() -> Self {
        let host = Host::up(&["--data", "256M"]);
        let project = Project::shared(host.home(), NAME);
        let port = free_port();
        project.publish(port);
        host.deploy(project.folder());
        Self {
            host,
            project,
            port,
        }
    }

    fn home(&self) -> &Home {
        self.host.home()
    }

    fn releases(&self) -> Vec<Release> {
        self.host
            .denali(["releases", NAME, "--json"])
            .succeeds()
            .json()
    }

    fn current(&self) -> Release {
        let mut releases = self.releases();
        releases.retain(|release| release.outcome == Outcome::Current);
        assert_eq!(releases.len(), 1, "one release is current");
        releases.remove(0)
    }

    /// Cuts the power and boots again.
    fn cut(&self) {
        self.host.cut_power(&[]);
    }

    /// Asks the service for its page; it has to answer.
    fn ask(&self) {
        let response = wait::until("an answer of the service", || {
            http::get(self.port, "/").ok()
        });
        assert_eq!(response.status, 200);
    }
}

fn a_host_says_what_it_keeps(durable: &Durable) {
    let host = durable.host.status().answered();
    let store = host.store.expect("it has a disk for it");
    assert_eq!((store.services, store.restoring), (1, 0));
    assert!(store.packages_free < store.packages_total);
}

fn each_deploy_is_a_release(durable: &Durable) {
    let before = durable.current().number;
    durable.host.deploy(durable.project.folder());
    let release = durable.current();
    assert_eq!(release.number, before + 1);
    assert!(release.by.starts_with("SHA256:"), "{release:?}");
    assert!(release.at > 1_600_000_000, "{release:?}");
    durable.ask();
}

fn a_rollback_is_a_release_too(durable: &Durable) {
    let before = durable.current().number;
    durable.host.denali(["rollback", NAME]).succeeds();
    let release = durable.current();
    assert_eq!(release.number, before + 1);
    assert!(release.of.is_some_and(|of| of < before), "{release:?}");
    durable.ask();
    durable.host.denali(["rollback", NAME, "999"]).fails(1);
}

/// Asks for a page again and again until told to stop. Returns how often it got it, what went wrong
/// otherwise, and the longest time without an answer.
fn ask_again_and_again(port: u16, over: &AtomicBool) -> (u32, Vec<String>, Duration) {
    let (mut answers, mut failures, mut outage) = (0, Vec::new(), Duration::ZERO);
    let mut last = Instant::now();
    while !over.load(Ordering::Relaxed) {
        match http::get(port, "/") {
            Ok(response) if response.status == 200 => {
                outage = outage.max(last.elapsed());
                last = Instant::now();
                answers += 1;
            }
            Ok(response) => failures.push(format!("status {}", response.status)),
            Err(error) => failures.push(error.to_string()),
        }
        thread::sleep(Duration::from_millis(2));
    }
    (answers, failures, outage)
}

fn clients_are_served_while_releases_switch(durable: &Durable) {
    durable.ask();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let port = durable.port;
        let over = &over;
        let client = scope.spawn(move || ask_again_and_again(port, over));
        let mut slow = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        slow.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n")
            .expect("sent");
        durable.host.deploy(durable.project.folder());
        // What began with the last release ends with it.
        slow.write_all(b"Connection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        slow.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        durable.host.denali(["rollback", NAME]).succeeds();
        // The last release goes meanwhile.
        thread::sleep(Duration::from_secs(4));
        over.store(true, Ordering::Relaxed);
        let (answers, failures, outage) = client.join().expect("the client ends");
        let failed = failures.len();
        println!("two switches: {answers} answers, {failed} failures, longest gap {outage:?}");
        assert_eq!(failures, [] as [String; 0]);
        assert!(answers > 0);
    });
}

fn a_release_that_crashes_leaves_the_last_one_serving(durable: &Durable) {
    let before = durable.current();
    let publish = [format!("{}:80", durable.port)];
    let broken = Guest::new("panicker").named(NAME).publish(&publish);
    let deploy = durable.host.denali(["deploy"]).within(broken.project());
    let outcome = deploy.fails(7);
    for words in [
        "the new release ended: exit code 101",
        "panicked at",
        "    at ",
        "the last release serves on",
    ] {
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    }
    assert_eq!(durable.current(), before);
    durable.ask();
    assert!(matches!(durable.releases()[0].outcome, Outcome::Failed(_)));
}

fn secrets_are_listed_and_never_shown(durable: &Durable) {
    let file = durable.home().path().join("secret");
    fs::write(&file, "hunter2\n").expect("a file of ours");
    let set = durable.host.denali(["secret", "set", NAME, "TOKEN"]);
    set.stdin(File::open(&file).expect("a file of ours"))
        .succeeds();
    let listed = durable
        .host
        .denali(["secret", "ls", NAME, "--json"])
        .succeeds();
    assert!(!listed.stdout.contains("hunter2"));
    let listed: Secrets = listed.json();
    assert_eq!(listed.keys, ["TOKEN"]);
    durable
        .host
        .denali(["secret", "rm", NAME, "TOKEN"])
        .succeeds();
    let again = durable.host.denali(["secret", "rm", NAME, "TOKEN"]);
    again.fails(1);
}

fn an_acknowledged_deploy_survives_a_power_cut(durable: &Durable) {
    durable.host.deploy(durable.project.folder());
    let before = durable.current();
    durable.cut();
    assert_eq!(durable.current(), before);
    let service = durable.host.service(NAME);
    assert!(matches!(
        service.state,
        ServiceState::Running | ServiceState::Idle
    ));
    durable.ask();
}

fn a_cut_in_the_middle_leaves_the_old_or_the_new(durable: &Durable) {
    let cuts = env::var("DENALI_CUTS").ok();
    let cuts: u64 = cuts.and_then(|text| text.parse().ok()).unwrap_or(3);
    for nth in 0..cuts {
        let before = durable.current();
        thread::scope(|scope| {
            scope.spawn(|| {
                // It ends as it may.
                durable
                    .host
                    .denali(["deploy"])
                    .within(durable.project.folder())
                    .run()
            });
            thread::sleep(Duration::from_millis(400 + nth * 677 % 2500));
            durable.cut();
        });
        let after = durable.current();
        let newer = after.number > before.number;
        assert!(newer || after == before, "{before:?} {after:?}");
        durable.ask();
    }
}

fn what_was_stopped_or_removed_stays_so(durable: &Durable) {
    let publish = format!("{}:80", free_port());
    durable
        .host
        .denali(["deploy", "--name", "gone", "--publish", &publish])
        .within(durable.project.folder())
        .succeeds();
    durable.host.denali(["rm", "gone"]).succeeds();
    durable.host.denali(["stop", NAME]).succeeds();
    durable.cut();
    let services = durable.host.services();
    assert_eq!(services.len(), 1, "{services:?}");
    assert_eq!(services[0].state, ServiceState::Stopped);
    durable.host.denali(["start", NAME]).succeeds();
    durable.ask();
}

/// The example `notes`, on a volume of its own.
fn notes(port: u16) -> Guest {
    Guest::example("notes")
        .memory("2M")
        .publish(&[format!("{port}:80")])
        .volumes(&["data:4M"])
}

/// Puts a note; whether it was acknowledged.
fn put_note(connection: &mut Connection, name: &str, note: &str) -> bool {
    let length = note.len();
    let request = format!("PUT /{name} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{note}");
    let sent = connection.send(request);
    let response = sent.and_then(|()| connection.receive(Body::Sent));
    response.is_ok_and(|response| response.status == 204)
}

/// Waits for a connection that the service itself accepted.
fn reach(port: u16) -> Connection {
    wait::until("the notes", || {
        let mut connection = Connection::open(port).ok()?;
        connection.request("GET", "/none", &[]).ok()?;
        let response = connection.receive(Body::Sent).ok()?;
        (response.status == 404).then_some(connection)
    })
}

fn acknowledged_notes_survive_power_cuts(durable: &Durable) {
    let port = free_port();
    durable.host.deploy(&notes(port).project());
    let cuts = env::var("DENALI_CUTS").ok();
    let cuts: u32 = cuts.and_then(|text| text.parse().ok()).unwrap_or(2);
    let mut kept = 0_u32;
    for nth in 0..cuts {
        let mut connection = reach(port);
        let begun = Instant::now();
        let until = Duration::from_millis(300 + u64::from(nth) * 411 % 1500);
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut number = kept;
                while put_note(
                    &mut connection,
                    &format!("n{number}"),
                    &format!("note {number}"),
                ) {
                    number += 1;
                }
                number
            });
            thread::sleep(until.saturating_sub(begun.elapsed()));
            durable.cut();
            kept = writer.join().expect("the writer ends");
        });
        println!("{kept} notes after {} cuts", nth + 1);
        let mut connection = reach(port);
        for number in 0..kept {
            let path = format!("/n{number}");
            connection.request("GET", &path, &[]).expect("it listens");
            let response = connection.receive(Body::Sent).expect("it answers");
            assert_eq!(response.text(), format!("note {number}"), "{path}");
        }
    }
    assert!(kept > 0, "no note was acknowledged between the cuts");
}

fn a_volume_outlives_releases_and_not_its_service(durable: &Durable) {
    let port = free_port();
    let guest = notes(port);
    durable.host.deploy(&guest.project());
    assert!(put_note(&mut reach(port), "mine", "still here"));
    durable.host.deploy(&guest.project());
    let mut connection = reach(port);
    connection.request("GET", "/mine", &[]).expect("it listens");
    let response = connection.receive(Body::Sent).expect("it answers");
    assert_eq!(response.text(), "still here");
    durable.host.remove("notes");
    durable.host.deploy(&guest.project());
    let mut connection = reach(port);
    connection.request("GET", "/mine", &[]).expect("it listens");
    let response = connection.receive(Body::Sent).expect("it answers");
    assert_eq!(response.status, 404, "a new service has a new volume");
}
