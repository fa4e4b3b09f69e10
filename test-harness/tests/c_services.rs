//! Services in C: the template under real clients, the library's word kept in a VM, and what a
//! programmer sees when something is missing.

use denali_protocol::ServiceState;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use test_harness::cli::repository;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Site::prepare,
        &facts![
            the_echo_serves_many_clients_at_once,
            the_library_keeps_its_word,
            an_absent_function_fails_by_its_name,
            a_missing_compiler_is_one_clear_line,
        ],
    )
}

/// What the program for the library's word looks at.
const AREAS: [&str; 14] = [
    "texts",
    "formats",
    "numbers",
    "memory",
    "environment",
    "clocks",
    "threads",
    "descriptors",
    "sockets",
    "loopback",
    "exhaustion",
    "jump",
    "rest",
    "atexit",
];

/// Clients at once.
const CLIENTS: usize = 40;

/// Bytes each sends and gets back.
const BYTES: usize = 200_000;

/// A host, and a project whose program the facts replace, so that the library is built once.
struct Site {
    host: Host,
    project: Project,
}

impl Site {
    fn prepare() -> Self {
        let host = Host::up(&[]);
        let project = Project::new(host.home(), "conformance", "c-echo");
        project.edit(
            "publish = [\"7007:7\"]",
            "arguments = [\"argument\"]\nenvironment = { COLOR = \"blue\" }",
        );
        Self { host, project }
    }

    /// Makes another program the project's.
    fn write(&self, program: &str) {
        fs::write(self.project.folder().join("src/echo.c"), program).expect("a program");
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = wait::until("a connection", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a timeout");
    stream
}

fn the_echo_serves_many_clients_at_once(site: &Site) {
    let host = &site.host;
    let project = Project::shared(host.home(), "c-echo");
    let port = free_port();
    project.edit(
        "publish = [\"7007:7\"]",
        &format!("publish = [\"{port}:7\"]"),
    );
    host.deploy(project.folder());
    host.wait_for_log("c-echo", "listening on port 7 for up to 256 connections");
    // Opened one by one: QEMU's user network listens with a queue of one.
    let streams: Vec<_> = (0..CLIENTS).map(|_| connect(port)).collect();
    let clients: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(client, stream)| thread::spawn(move || converse(&stream, client)))
        .collect();
    for client in clients {
        client.join().expect("a client that got all back");
    }
    // One that leaves without a word, and one that stays silent, hold up nobody.
    let silent = connect(port);
    drop(connect(port));
    converse(&connect(port), 0);
    drop(silent);
    assert_eq!(host.service("c-echo").state, ServiceState::Idle);
    host.remove("c-echo");
}

/// Sends bytes while reading them back, to the end.
fn converse(mut stream: &TcpStream, client: usize) {
    let sent: Vec<u8> = (0..BYTES)
        .map(|at| u8::try_from((at * 31 + client) % 251).expect("a byte"))
        .collect();
    let mut writer = stream.try_clone().expect("a second handle");
    let bytes = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).expect("written");
        writer.shutdown(Shutdown::Write).expect("an end");
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("all of it");
    writing.join().expect("written");
    assert!(
        received == sent,
        "client {client} got {} bytes",
        received.len()
    );
}

fn the_library_keeps_its_word(site: &Site) {
    let host = &site.host;
    let path = repository().join("test-harness/guests/c/conformance.c");
    let program = fs::read_to_string(path).expect("the program");
    site.write(&program);
    host.deploy_to_its_end(site.project.folder());
    let service = host.wait_for_end("conformance");
    let log = host.logs("conformance");
    for area in AREAS {
        assert!(log.contains(&format!("ok {area}\n")), "no {area} in {log}");
    }
    assert!(log.contains("written at the end"), "{log}");
    assert_eq!(service.exit_code, Some(7), "{log}");
    host.remove("conformance");
}

fn an_absent_function_fails_by_its_name(site: &Site) {
    site.write("int vfork(void);\nint main(void) { return vfork(); }\n");
    let build = site.host.home().denali(["build"]);
    let outcome = build.within(site.project.folder()).run();
    assert_ne!(outcome.code, Some(0), "{outcome}");
    assert!(
        outcome.stderr.contains("undefined symbol: vfork"),
        "{outcome}"
    );
}

fn a_missing_compiler_is_one_clear_line(site: &Site) {
    site.write("int main(void) { return 0; }\n");
    let build = site
        .host
        .home()
        .denali(["build"])
        .within(site.project.folder());
    let outcome = build.env("CC", "/no/such/compiler").run();
    assert_ne!(outcome.code, Some(0), "{outcome}");
    let help = "no C compiler found: install one (`sudo apt install gcc`), or name yours in CC";
    assert!(outcome.stderr.contains(help), "{outcome}");
}
