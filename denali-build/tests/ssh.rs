//! What the commands make of hosts that answer well, badly, or not at all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ssh_server;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use ssh_server::{Answer, Script};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;
use tempfile::TempDir;

/// A user with keys of their own.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> Self {
        let user = Self {
            home: tempfile::tempdir().unwrap(),
        };
        // The first command makes the keys.
        user.run(&["ls", "--host", "127.0.0.1:1"]);
        user
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cargo-denali"))
            .args(arguments)
            .env("DENALI_HOME", self.home.path())
            .output()
            .unwrap()
    }

    fn host_key(&self) -> PrivateKey {
        PrivateKey::read_openssh_file(self.home.path().join("config/host_ed25519")).unwrap()
    }

    /// Runs a command against a host with that script.
    fn run_at(&self, script: Script, arguments: &[&str]) -> Output {
        let port = ssh_server::start(self.host_key(), script);
        let host = format!("127.0.0.1:{port}");
        self.run(&[arguments, &["--host", &host]].concat())
    }
}

#[track_caller]
fn check(output: &Output, status: i32, errors: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(text.contains(errors), "{text}");
}

fn answering(command: &'static str, output: &str, errors: &'static str, status: u32) -> Script {
    let answer = Answer {
        output: output.to_owned(),
        errors,
        status: Some(status),
    };
    Script {
        accepts_key: true,
        answers: vec![(command, answer)],
    }
}

#[test]
fn services_are_listed_in_order_of_name() {
    let service = |name: &str| {
        format!(
            r#"{{"name":"{name}","version":"1.0.0","build-id":"00","state":"idle","reason":null,
            "exit-code":null,"address":"10.90.1.1","publish":[],"memory":1048576,"resident":4096,
            "cpu-ns":1,"age-ns":2,"rx-frames":3,"tx-frames":4}}"#
        )
    };
    let json = format!("[{},{}]\n", service("web"), service("cache"));
    let output = User::new().run_at(answering("ls --json", &json, "", 0), &["ls"]);
    check(&output, 0, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.find("cache").unwrap() < text.find("web").unwrap(),
        "{text}"
    );
}

#[test]
fn a_host_that_lists_the_same_page_for_ever_is_found_out() {
    let service = |nth: u32| {
        format!(
            r#"{{"name":"s{nth:03}","version":"1.0.0","build-id":"00","state":"idle","reason":null,
            "exit-code":null,"address":null,"publish":[],"memory":1048576,"resident":4096,
            "cpu-ns":1,"age-ns":2,"rx-frames":3,"tx-frames":4}}"#
        )
    };
    let page: Vec<String> = (0..500).map(service).collect();
    let json = format!("[{}]\n", page.join(","));
    let output = User::new().run_at(answering("ls --json", &json, "", 0), &["ls"]);
    check(&output, 1, "it lists the same ones again");
}

#[test]
fn a_log_is_printed_as_it_is() {
    let output = User::new().run_at(answering("logs web", "one\ntwo", "", 0), &["logs", "web"]);
    check(&output, 0, "");
    assert_eq!(output.stdout, b"one\ntwo\n");
}

#[test]
fn an_unknown_service_is_named() {
    let script = answering("logs web", "", "error: no service `web`\n", 3);
    let output = User::new().run_at(script, &["logs", "web"]);
    check(
        &output,
        1,
        "error: the host has no service `web`\n  help: list them: cargo denali ls",
    );
}

#[test]
fn a_host_of_another_version_is_named() {
    let script = answering("ls --json", "[{\"name\":7}]\n", "", 0);
    let output = User::new().run_at(script, &["ls"]);
    check(
        &output,
        1,
        "the host's answer to `ls --json --limit 500` is of another version of Denali",
    );
}

#[test]
fn a_connection_that_is_cut_is_named() {
    let answer = Answer {
        output: "[".to_owned(),
        errors: "",
        status: None,
    };
    let script = Script {
        accepts_key: true,
        answers: vec![("ls", answer)],
    };
    check(
        &User::new().run_at(script, &["ls"]),
        4,
        "is lost: the command was cut off",
    );
}

#[test]
fn a_host_that_refuses_our_key_is_named() {
    let script = Script {
        accepts_key: false,
        answers: Vec::new(),
    };
    let output = User::new().run_at(script, &["ls"]);
    check(&output, 4, "does not accept your key");
    check(&output, 4, "config/id_ed25519.pub");
}

#[test]
fn a_host_with_another_key_is_refused_unless_it_is_listed() {
    let user = User::new();
    let other = PrivateKey::new(Ed25519Keypair::from_seed(&[7; 32]).into(), "other").unwrap();
    let public = other.public_key().to_openssh().unwrap();
    let port = ssh_server::start(other, answering("ls --json", "[]\n", "", 0));
    let host = format!("127.0.0.1:{port}");
    let output = user.run(&["ls", "--host", &host]);
    check(&output, 4, "shows an unexpected key");

    let line = format!("[127.0.0.1]:{port} {public}\n");
    std::fs::write(user.home.path().join("config/known_hosts"), line).unwrap();
    check(&user.run(&["ls", "--host", &host]), 0, "");
}

#[test]
fn what_speaks_no_ssh_is_no_host() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    thread::spawn(move || while listener.accept().is_ok() {});
    check(
        &User::new().run(&["ls", "--host", &host]),
        4,
        &format!("no host answers at {host}"),
    );
}

#[test]
fn nobody_else_can_read_the_private_keys() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    for name in ["id_ed25519", "host_ed25519"] {
        let path = user.home.path().join("config").join(name);
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
