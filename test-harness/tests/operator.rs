//! What an operator does, with the ordinary OpenSSH client where there is one: commands and their
//! status, scripts, a terminal, keys with roles, services that crash.

#![expect(clippy::print_stderr, reason = "says why nothing is tested")]
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use denali_protocol::ServiceState;
use denali_protocol::events::{Event, Kind};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use test_harness::cli::{Invocation, Outcome};
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, http, suite, wait};

fn main() -> ExitCode {
    if external_ssh().is_none() {
        eprintln!("there is no `ssh`, so there is no operator");
        return ExitCode::SUCCESS;
    }
    suite::run(
        Site::serve,
        &facts![
            a_command_has_its_exit_status,
            a_command_line_is_a_script,
            a_script_comes_from_a_file,
            a_terminal_edits_completes_and_remembers,
            control_c_ends_a_command_and_not_the_login,
            keys_have_roles_and_are_revoked,
            a_service_that_crashes_runs_again,
            a_script_that_is_kept_runs_when_a_service_crashes,
            copies_come_and_go,
            metrics_are_told_over_http,
            what_runs_is_signed,
            strangers_do_not_keep_an_operator_out,
        ],
    )
}

fn external_ssh() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("ssh"));
    found.find(|program| program.is_file())
}

/// A host with a service.
struct Site {
    host: Host,
    port: u16,
    metrics: u16,
}

impl Site {
    fn serve() -> Self {
        let metrics = free_port();
        let host = Host::up(&["--data", "128M", "--metrics", &metrics.to_string()]);
        let project = Project::shared(host.home(), "minimal");
        let port = free_port();
        project.publish(port);
        host.deploy(project.folder());
        Self {
            host,
            port,
            metrics,
        }
    }

    /// Prepares the ordinary client, with a key of `~`.
    fn ssh_with(&self, key: &Path, arguments: &[&str]) -> Invocation {
        let status = self.host.status();
        let (_, port) = status.address.split_once(':').expect("HOST:PORT");
        let options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
        ];
        let options = options.iter().flat_map(|option| ["-o", option]);
        self.host
            .home()
            .invoke("ssh")
            .args(["-F", "/dev/null"])
            .args(options)
            .arg("-i")
            .arg(key)
            .args(["-p", port])
            .args(arguments)
    }

    fn ssh(&self, command: &str) -> Invocation {
        self.ssh_with(&self.key(), &["admin@127.0.0.1", command])
    }

    /// Types keys at a terminal.
    fn types(&self, keys: &str) -> Outcome {
        let ssh = self.ssh_with(&self.key(), &["-tt", "admin@127.0.0.1"]);
        ssh.stdin(self.file("keys", keys)).run()
    }

    fn key(&self) -> PathBuf {
        self.host.home().path().join("config/denali/id_ed25519")
    }

    fn file(&self, name: &str, contents: &str) -> File {
        let path = self.host.home().path().join(name);
        fs::write(&path, contents).expect("a file of ours");
        File::open(path).expect("a file of ours")
    }

    fn events(&self) -> Vec<Event> {
        let outcome = self.ssh("events --json").succeeds();
        let lines = outcome.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

fn a_command_has_its_exit_status(site: &Site) {
    let listed = site.ssh("ps --json").succeeds();
    let services: Vec<denali_protocol::Service> = listed.json();
    assert_eq!(services[0].name, "minimal");
    site.ssh("ls --nonsense").fails(2);
    site.ssh("stop nobody").fails(3);
    site.ssh("wait-for minimal stopped 200ms").fails(1);
    site.ssh("wait-for minimal healthy 10s").succeeds();
    assert!(site.ssh("help").succeeds().stdout.contains("wait-for"));
}

fn a_command_line_is_a_script(site: &Site) {
    let line = "N=$(ls | grep minimal | count); if test $N = 1; then echo one; else exit 9; fi";
    assert_eq!(site.ssh(line).succeeds().stdout, "one\n");
    site.ssh("false || exit 42").fails(42);
    let loop_over = "for s in min*; do echo \"<$s>\"; done | sort -r | head 1";
    assert_eq!(site.ssh(loop_over).succeeds().stdout, "<minimal>\n");
}

fn a_script_comes_from_a_file(site: &Site) {
    let script = "set -e\n# Restarts everything.\nfor s in *; do\n  stop $s\n  start $s\n  \
                  wait-for $s healthy 10s && echo \"$s is back\"\ndone\nrm nobody\necho never\n";
    let file = site.file("script", script);
    let ssh = site.ssh_with(&site.key(), &["-T", "admin@127.0.0.1"]);
    let outcome = ssh.stdin(file).fails(3);
    assert!(outcome.stdout.contains("minimal is back"), "{outcome}");
    assert!(!outcome.stdout.contains("never"), "{outcome}");
    assert!(outcome.stderr.contains("no service `nobody`"), "{outcome}");
}

fn a_terminal_edits_completes_and_remembers(site: &Site) {
    // A word with a slip, the line before once more, a name completed, a loop over several lines.
    let keys = "echo ona\x7fe\r\x1b[A\rwait-for mini\thealthy 5s && echo well\r\
                for s in a b\rdo echo x$s\rdone\rexit\r";
    let outcome = site.types(keys);
    let shown = &outcome.stdout;
    assert!(shown.contains("denali> "), "{outcome}");
    assert_eq!(shown.matches("\r\none\r\n").count(), 2, "{outcome}");
    assert!(shown.contains("wait-for minimal healthy 5s"), "{outcome}");
    assert!(shown.contains("\r\nwell\r\n"), "{outcome}");
    assert!(shown.contains("\r\nxa\r\nxb\r\n"), "{outcome}");
}

fn control_c_ends_a_command_and_not_the_login(site: &Site) {
    let outcome = site.types("sleep 1h\r\x03echo after\rexit\r");
    assert!(outcome.stdout.contains("\r\nafter\r\n"), "{outcome}");
}

fn keys_have_roles_and_are_revoked(site: &Site) {
    let key = site.host.home().path().join("deployer");
    let made = site.host.home().invoke("ssh-keygen");
    made.args(["-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f"])
        .arg(&key)
        .succeeds();
    let with_key = |command: &str| site.ssh_with(&key, &["admin@127.0.0.1", command]);
    with_key("ls").fails(255);
    let public = fs::read_to_string(key.with_extension("pub")).expect("a key");
    let public = public.trim();
    site.ssh(&format!("key add --role deploy --services min* {public}"))
        .succeeds();
    with_key("ls").succeeds();
    with_key("limits minimal --weight 200").succeeds();
    with_key("rm other").fails(4);
    with_key("key ls").fails(4);
    let listed = site.ssh("key ls | grep ci").succeeds().stdout;
    let fingerprint = listed.split_whitespace().next().expect("a fingerprint");
    site.ssh(&format!("key rm {fingerprint}")).succeeds();
    with_key("ls").fails(255);
    let kinds: Vec<Kind> = site.events().iter().map(|event| event.kind).collect();
    assert!(kinds.contains(&Kind::KeyAdded) && kinds.contains(&Kind::KeyRevoked));
}

fn a_service_that_crashes_runs_again(site: &Site) {
    let guest = Guest::new("panicker").restart("on-failure");
    site.host.deploy_to_its_end(&guest.project());
    wait::until("a second run", || {
        let service = site.host.service("panicker");
        (service.restarts > 1).then_some(())
    });
    let logs = site.host.logs("panicker");
    assert!(logs.contains("ended, and ran again"), "{logs}");
    let events = site.events();
    let crashed = events.iter().find(|event| event.kind == Kind::Crashed);
    assert!(crashed.expect("one").detail.contains("exit code 101"));
    site.ssh("stop panicker --deadline 0").succeeds();
    let service = site.host.service("panicker");
    assert!(
        matches!(service.state, ServiceState::Crashed | ServiceState::Stopped),
        "{service:?}"
    );
    site.host.remove("panicker");
}

fn a_script_that_is_kept_runs_when_a_service_crashes(site: &Site) {
    let put = site.ssh("script put tidy --on crash");
    let text = "if test $SERVICE = panicker; then rm $SERVICE; fi\n";
    put.stdin(site.file("tidy", text)).succeeds();
    let guest = Guest::new("panicker").restart("on-failure");
    site.host.deploy_to_its_end(&guest.project());
    site.ssh("wait-for panicker gone 30s").succeeds();
    site.ssh("script rm tidy").succeeds();
    assert_eq!(http::get(site.port, "/").expect("an answer").status, 200);
}

fn copies_come_and_go(site: &Site) {
    let scale = "scale minimal 3; for s in minimal-*; do wait-for $s running 10s; done";
    site.ssh(scale).succeeds();
    assert_eq!(site.host.services().len(), 4);
    site.ssh("scale minimal 0").succeeds();
    assert_eq!(site.host.services().len(), 1);
}

/// Asks the host's metrics server for a path, and returns all it answers.
fn ask_metrics(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a port that listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

fn metrics_are_told_over_http(site: &Site) {
    let answer = ask_metrics(site.metrics, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let up = "denali_service_up{service=\"minimal\"} 1\n";
    assert!(answer.contains(up), "{answer}");
    let elsewhere = ask_metrics(site.metrics, "/");
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
}

fn what_runs_is_signed(site: &Site) {
    let outcome = site.host.denali(["releases", "minimal", "--json"]);
    let releases: Vec<denali_protocol::releases::Release> = outcome.succeeds().json();
    let signature = releases[0].signature.as_ref().expect("it is signed");
    assert_eq!(signature.release, releases[0].number);
    assert!(signature.key.starts_with("ssh-ed25519 "));
}

fn strangers_do_not_keep_an_operator_out(site: &Site) {
    let status = site.host.status();
    let connect = || TcpStream::connect(&status.address).expect("a port that listens");
    // Twice as many as the host takes: some say nothing, some anything.
    let strangers: Vec<TcpStream> = (0..16).map(|_| connect()).collect();
    for (number, mut stranger) in strangers.iter().enumerate() {
        if number % 2 == 1 {
            // What becomes of it is the host's matter.
            stranger.write_all(&vec![b'x'; 100_000]).ok();
        }
    }
    let begun = Instant::now();
    wait::until("a login in spite of strangers", || {
        let outcome = site.ssh("version").run();
        (outcome.code == Some(0)).then_some(())
    });
    println!("let in {:?} after 16 strangers came", begun.elapsed());
    drop(strangers);
    site.ssh("ls").succeeds();
}
