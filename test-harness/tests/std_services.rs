//! Services with `std`: the templates under real clients, and what becomes of panics.

use denali_protocol::ServiceState;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::Duration;
use test_harness::external;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Site::serve,
        &facts![
            clients_are_served_at_once,
            an_axum_service_answers,
            an_axum_service_bears_load,
            idle_services_sleep,
            a_project_runs_on_this_machine_too,
            panics_unwind,
            an_uncaught_panic_names_its_place,
            tests_of_a_service_with_std_run_elsewhere,
        ],
    )
}

/// Clients at once, each on a thread of the service.
const CLIENTS: usize = 100;

/// Requests of the load generator.
const REQUESTS: &str = "5000";

/// The exit status of a deploy whose service has ended already.
const CRASHED: i32 = 7;

struct Site {
    host: Host,
    words: Project,
    axum: Project,
    words_port: u16,
    axum_port: u16,
}

impl Site {
    fn serve() -> Self {
        let host = Host::up(&[]);
        let words = Project::new(host.home(), "words", "std");
        let words_port = free_port();
        let published = format!("publish = [\"{words_port}:7008\"]");
        words.edit("publish = [\"7008:7008\"]", &published);
        host.deploy(words.folder());
        host.wait_for_log("words", "listening on port 7008");

        let axum = Project::shared(host.home(), "axum");
        // Optimising whole programs takes minutes, and changes nothing of what is checked here.
        axum.edit("lto = true\ncodegen-units = 1\n", "");
        let axum_port = free_port();
        axum.publish(axum_port);
        let bins = axum.folder().join("src/bin");
        fs::create_dir_all(&bins).expect("a folder of ours");
        let panics = include_str!("std_services/panics.rs");
        fs::write(bins.join("panics.rs"), panics).expect("a folder of ours");
        host.denali(["deploy", "--bin", "axum"])
            .within(axum.folder())
            .succeeds();
        host.wait_for_log("axum", "listening on port 80");
        let unused = format!("{}:80", free_port());
        let deploy = host.denali(["deploy", "--bin", "panics", "--publish", &unused]);
        let outcome = deploy.within(axum.folder()).run();
        assert!(matches!(outcome.code, Some(0 | CRASHED)), "{outcome}");
        Self {
            host,
            words,
            axum,
            words_port,
            axum_port,
        }
    }
}

fn connect(port: u16) -> BufReader<TcpStream> {
    let address = ("127.0.0.1", port);
    let stream = wait::until("a connection", || TcpStream::connect(address).ok());
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a timeout");
    BufReader::new(stream)
}

fn ask(client: &mut BufReader<TcpStream>, line: &str) -> String {
    client
        .get_mut()
        .write_all(line.as_bytes())
        .expect("written");
    let mut answer = String::new();
    client.read_line(&mut answer).expect("an answer");
    answer
}

fn clients_are_served_at_once(site: &Site) {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        // One has its answer before the next comes: where QEMU forwards a port, one connection may wait
        // to be accepted, and the others try again a second later.
        let mut client = connect(site.words_port);
        let answer = ask(&mut client, &format!("common word{number}\n"));
        let fresh = if number == 0 { 2 } else { 1 };
        assert_eq!(answer, format!("{fresh} new, {} known\n", number + 2));
        clients.push(client);
    }
    // In the other order, on the same connections.
    for client in clients.iter_mut().rev() {
        assert_eq!(
            ask(client, "COMMON\n"),
            format!("0 new, {} known\n", CLIENTS + 1)
        );
    }
}

fn an_axum_service_answers(site: &Site) {
    let curl = external::program("curl", "curl");
    let url = format!("http://127.0.0.1:{}/notes", site.axum_port);
    let request = |arguments: &[&str], path: &str| {
        let mut command = Command::new(&curl);
        command.args(["--silent", "--show-error", "--max-time", "60"]);
        command.args(["--write-out", " %{http_code}"]);
        command.args(arguments).arg(format!("{url}{path}"));
        String::from_utf8(external::run(&mut command).stdout).expect("UTF-8")
    };
    let note = r#"{"id":1,"text":"hello"}"#;
    let draft = ["--json", r#"{"text":"hello"}"#];
    assert_eq!(request(&draft, ""), format!("{note} 201"));
    assert_eq!(request(&[], "/1"), format!("{note} 200"));
    assert_eq!(request(&[], ""), format!("[{note}] 200"));
    assert_eq!(request(&["--request", "DELETE"], "/1"), " 204");
    assert_eq!(request(&[], "/1"), " 404");
    assert!(request(&["--json", "{"], "").ends_with(" 400"));
    assert!(request(&["--json", r#"{"text":1}"#], "").ends_with(" 422"));
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(1001));
    assert_eq!(request(&["--json", &long], ""), " 413");
}

fn an_axum_service_bears_load(site: &Site) {
    let ab = external::program("ab", "apache2-utils");
    let url = format!("http://127.0.0.1:{}/notes", site.axum_port);
    let mut command = Command::new(ab);
    command.args(["-q", "-k", "-c", "4", "-n", REQUESTS, &url]);
    let report = String::from_utf8(external::run(&mut command).stdout).expect("UTF-8");
    assert!(report.contains("Failed requests:        0"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
    assert!(report.contains(&format!("Complete requests:      {REQUESTS}")));
}

fn idle_services_sleep(site: &Site) {
    for name in ["words", "axum"] {
        wait::until("an idle service", || {
            let state = site.host.service(name).state;
            (state == ServiceState::Idle).then_some(())
        });
    }
}

fn a_project_runs_on_this_machine_too(site: &Site) {
    let port = free_port();
    let main = site.words.folder().join("src/main.rs");
    let text = fs::read_to_string(&main).expect("a program");
    let text = text.replace("PORT: u16 = 7008", &format!("PORT: u16 = {port}"));
    fs::write(&main, text).expect("a file of ours");
    let mut cargo = denali_build::cargo::command();
    external::run(cargo.arg("build").current_dir(site.words.folder()));
    let program = site.words.folder().join("target/debug/words");
    let mut program = Command::new(program).spawn().expect("a program");
    let mut client = connect(port);
    let answer = ask(&mut client, "hello\n");
    program.kill().expect("it runs");
    program.wait().expect("it has ended");
    assert_eq!(answer, "1 new, 1 known\n");
}

fn panics_unwind(site: &Site) {
    site.host.wait_for_end("panics");
    let log = site.host.logs("panics");
    let lines = [
        "caught: true",
        "joined: true",
        "payload: Some(5)",
        "task: true",
        "blocking: true",
        "many: 500",
    ];
    for line in lines {
        assert!(log.contains(&format!("{line}\n")), "no {line:?} in {log}");
    }
    assert_eq!(log.matches("dropped frame\n").count(), 5, "{log}");
}

fn an_uncaught_panic_names_its_place(site: &Site) {
    let ended = site.host.wait_for_end("panics");
    assert_eq!(ended.exit_code, Some(101), "{ended:?}");
    let log = site.host.logs("panics");
    let reached = "index out of bounds: the len is 0 but the index is 3";
    let place = log.lines().rev().skip_while(|line| *line != reached).nth(1);
    assert!(
        place.is_some_and(|line| line.contains(" at src/bin/panics.rs:")),
        "{log}"
    );

    let command = log.lines().rfind(|line| line.contains("addr2line -Cfipe"));
    let addresses = command.expect("a backtrace").split(" 0x").skip(1);
    let elf = "target/denali/x86_64-unknown-linux-gnu/release/panics";
    let mut command = Command::new(external::program("addr2line", "binutils"));
    command
        .args(["-Cfipe", elf])
        .current_dir(site.axum.folder());
    command.args(addresses.map(|address| format!("0x{address}")));
    let names = String::from_utf8(external::run(&mut command).stdout).expect("UTF-8");
    for name in ["panics::reach_too_far", "panics::main"] {
        assert!(names.contains(name), "no {name} in {names}");
    }
}

fn tests_of_a_service_with_std_run_elsewhere(site: &Site) {
    let outcome = site
        .host
        .denali(["test", "--bin", "axum"])
        .within(site.axum.folder())
        .run();
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("help: run them on this machine: cargo test")
    );
}
