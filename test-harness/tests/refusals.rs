//! What a running host refuses, and how: one line, the next command, and nothing changed.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use test_harness::cli::Invocation;
use test_harness::guest::Guest;
use test_harness::home::Home;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, http, suite};

fn main() -> ExitCode {
    suite::run(
        Site::serve,
        &facts![
            a_host_that_is_up_already_is_named,
            a_key_the_host_does_not_know_is_refused,
            a_host_with_an_unexpected_key_is_not_talked_to,
            an_upload_that_ends_early_changes_nothing,
            a_package_with_a_wrong_digest_changes_nothing,
            a_package_that_is_none_changes_nothing,
            an_image_too_large_for_the_host_is_refused,
            a_port_of_another_service_is_refused,
            a_port_of_another_program_is_refused,
            an_unknown_service_is_named,
            a_service_that_crashes_at_once_is_shown,
            a_service_that_never_listens_is_pointed_out,
            the_host_answers_after_all_that,
        ],
    )
}

/// A host with one service that must stay as it is.
struct Site {
    host: Host,
    port: u16,
}

impl Site {
    fn serve() -> Self {
        let host = Host::up(&[]);
        let project = Project::shared(host.home(), "minimal");
        let port = free_port();
        project.publish(port);
        host.deploy(project.folder());
        Self { host, port }
    }

    /// Checks that there is still the one service and that it answers.
    #[track_caller]
    fn assert_unchanged(&self) {
        let services = self.host.services();
        let names: Vec<_> = services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        assert_eq!(names, ["minimal"]);
        assert_eq!(http::get(self.port, "/").expect("an answer").status, 200);
    }

    /// Prepares the ordinary OpenSSH client, if there is one.
    fn ssh(&self, command: &str) -> Option<Invocation> {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|it| it.join("ssh").is_file()));
        let status = self.host.status();
        let (_, port) = status.address.split_once(':').expect("HOST:PORT");
        let key = self.key();
        let options = [
            "-F",
            "/dev/null",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "BatchMode=yes",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ];
        found.then(|| {
            self.host
                .home()
                .invoke("ssh")
                .args(options)
                .arg("-i")
                .arg(key)
                .args(["-p", port, "admin@127.0.0.1", command])
        })
    }

    fn key(&self) -> PathBuf {
        self.host.home().path().join("config/denali/id_ed25519")
    }

    /// Writes a file to upload.
    fn file(&self, contents: &[u8]) -> File {
        let path = self.host.home().path().join("upload");
        fs::write(&path, contents).expect("a file of ours");
        File::open(path).expect("a file of ours")
    }
}

fn a_host_that_is_up_already_is_named(site: &Site) {
    let outcome = site.host.denali(["host", "up"]).fails(1);
    outcome.explains(&site.host.status().address, "cargo denali host down");
    site.assert_unchanged();
}

fn a_key_the_host_does_not_know_is_refused(site: &Site) {
    let address = site.host.status().address;
    let stranger = Home::new();
    // The stranger trusts the host, but the host does not know the stranger.
    stranger.denali(["ls"]).fails(4);
    let config = |home: &Home| home.path().join("config/denali");
    for file in ["host_ed25519", "host_ed25519.pub"] {
        let key = fs::read(config(site.host.home()).join(file)).expect("a key");
        fs::write(config(&stranger).join(file), key).expect("a folder of ours");
    }
    let outcome = stranger.denali(["ls", "--host", &address]).fails(4);
    outcome.explains("does not accept your key", "id_ed25519.pub");
    site.assert_unchanged();
}

fn a_host_with_an_unexpected_key_is_not_talked_to(site: &Site) {
    let address = site.host.status().address;
    let stranger = Home::new();
    let outcome = stranger.denali(["ls", "--host", &address]).fails(4);
    outcome.explains("shows an unexpected key: ssh-ed25519 ", "known_hosts");
    site.assert_unchanged();
}

/// Digest of nothing, so the wrong one for anything else.
const WRONG_DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn an_upload_that_ends_early_changes_nothing(site: &Site) {
    let command = format!("deploy torn --json --sha256 {WRONG_DIGEST} --length 100000");
    let Some(ssh) = site.ssh(&command) else {
        return;
    };
    let outcome = ssh.stdin(site.file(&vec![7; 50_000])).run();
    assert!(!matches!(outcome.code, Some(0)), "{outcome}");
    assert!(outcome.stdout.contains("\"refused\""), "{outcome}");
    site.assert_unchanged();
}

fn a_package_with_a_wrong_digest_changes_nothing(site: &Site) {
    let package = [0; 4096];
    let command = format!(
        "deploy wrong --json --sha256 {WRONG_DIGEST} --length {}",
        package.len()
    );
    let Some(ssh) = site.ssh(&command) else {
        return;
    };
    let outcome = ssh.stdin(site.file(&package)).run();
    assert!(!matches!(outcome.code, Some(0)), "{outcome}");
    assert!(
        outcome.stdout.contains("\"refused\"") && outcome.stdout.contains("digest"),
        "{outcome}"
    );
    site.assert_unchanged();
}

fn a_package_that_is_none_changes_nothing(site: &Site) {
    // The digest is that of 4,096 zeros, so it arrives whole and is looked into.
    let digest = "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7";
    let command = format!("deploy empty --json --sha256 {digest} --length 4096");
    let Some(ssh) = site.ssh(&command) else {
        return;
    };
    let outcome = ssh.stdin(site.file(&[0; 4096])).run();
    assert!(!matches!(outcome.code, Some(0)), "{outcome}");
    assert!(outcome.stdout.contains("\"refused\""), "{outcome}");
    site.assert_unchanged();
}

fn an_image_too_large_for_the_host_is_refused(site: &Site) {
    // Its text alone is larger than a package may be.
    let large = Guest::new("giant").memory("64M").project();
    let outcome = site.host.denali(["deploy"]).within(large).fails(5);
    outcome.explains("too large", "embed less");
    site.assert_unchanged();
}

fn a_port_of_another_service_is_refused(site: &Site) {
    let guest = Guest::example("echo").publish(&[format!("{}:7", site.port)]);
    let outcome = site
        .host
        .denali(["deploy"])
        .within(guest.project())
        .fails(5);
    outcome.explains(&site.port.to_string(), "publish");
    assert!(outcome.stderr.contains("`minimal`"), "{outcome}");
    site.assert_unchanged();
}

fn a_port_of_another_program_is_refused(site: &Site) {
    let program = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = program.local_addr().expect("an address").port();
    let guest = Guest::example("echo").publish(&[format!("{port}:7")]);
    let outcome = site
        .host
        .denali(["deploy"])
        .within(guest.project())
        .fails(5);
    outcome.explains(&port.to_string(), "publish");
    site.assert_unchanged();
}

fn an_unknown_service_is_named(site: &Site) {
    for arguments in [
        ["logs", "nobody"],
        ["stop", "nobody"],
        ["start", "nobody"],
        ["rm", "nobody"],
    ] {
        let outcome = site.host.denali(arguments).fails(1);
        outcome.explains("`nobody`", "cargo denali ls");
    }
    let outcome = site.host.denali(["stop", "a b"]).fails(2);
    outcome.explains("`a b`", "cargo denali ls");
    site.assert_unchanged();
}

fn a_service_that_crashes_at_once_is_shown(site: &Site) {
    let guest = Guest::new("panicker").publish(&[format!("{}:80", free_port())]);
    let outcome = site
        .host
        .denali(["deploy"])
        .within(guest.project())
        .fails(7);
    outcome.explains("`panicker` crashed", "cargo denali logs panicker");
    assert!(outcome.stderr.contains("the answer is 42"), "{outcome}");
    site.host.remove("panicker");
    site.assert_unchanged();
}

fn a_service_that_never_listens_is_pointed_out(site: &Site) {
    let guest = Guest::new("listener").publish(&[format!("{}:80", free_port())]);
    let outcome = site
        .host
        .denali(["deploy"])
        .within(guest.project())
        .fails(1);
    outcome.explains(
        "does not accept connections on port 80",
        "cargo denali logs listener",
    );
    site.host.remove("listener");
    site.assert_unchanged();
}

fn the_host_answers_after_all_that(site: &Site) {
    let host = site.host.status().answered();
    assert_eq!(host.vms, 2, "the supervisor and the one service");
    if let Some(ssh) = site.ssh("ps") {
        let outcome = ssh.succeeds();
        assert!(outcome.stdout.contains("minimal"), "{outcome}");
    }
}
