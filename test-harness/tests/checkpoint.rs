//! Checkpoints and clones in QEMU: a service goes on from a file, others go on beside it, and a file
//! that is not what it was is refused.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::{facts, suite, wait};

/// Clones made at once.
const CLONES: usize = 10;

/// How far a restored wall clock may be off: what logs and waits take.
const WALL_OFF_MAX: Duration = Duration::from_secs(60);

/// How long a call may take, also on a busy machine: one that is given up is counted all the same.
const ANSWER_MAX: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    suite::run(
        Bench::new,
        &facts![
            a_service_goes_on_from_a_file_after_it_was_removed,
            clones_are_ten_of_a_kind_and_each_somebody_else,
            a_service_goes_on_with_its_volume,
            a_file_that_was_changed_is_refused_and_the_host_lives,
        ],
    )
}

/// What is done to a file.
type Change = fn(&mut Vec<u8>);

struct Bench {
    host: Host,
    port: u16,
}

impl Bench {
    fn new() -> Self {
        let host = Host::up(&["--memory", "256M", "--data", "64M"]);
        let port = free_port();
        Self { host, port }
    }

    /// Deploys the counter under a name.
    fn counter(&self, name: &str) -> Guest {
        let guest = Guest::new("counter").named(name);
        // Sources are found by the guest's own name.
        guest.publish(&[format!("{}:7", self.port)])
    }

    fn start(&self, name: &str) {
        self.host.deploy(&self.counter(name).project());
        self.host.wait_for_log(name, "listening");
    }

    fn file(&self, name: &str) -> PathBuf {
        let folder = self.host.home().path();
        folder.join(format!("{name}.checkpoint"))
    }

    /// Takes a checkpoint into a file.
    fn checkpoint(&self, name: &str) -> PathBuf {
        let file = self.file(name);
        let path = file.to_string_lossy().into_owned();
        let taken = self.host.denali(["checkpoint", name, "--output", &path]);
        taken.succeeds();
        file
    }

    /// Calls the service and returns what it answers.
    fn call(&self) -> String {
        wait::until("an answer of the counter", || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.starts_with("call ").then_some(answer)
        })
    }

    fn calls(&self) -> u64 {
        let answer = self.call();
        let count = answer.split(' ').nth(1);
        count.and_then(|count| count.parse().ok()).expect("a count")
    }
}

/// The value behind a word of a line.
fn field<'l>(line: &'l str, word: &str) -> &'l str {
    let mut words = line.split_whitespace();
    words.find(|it| *it == word);
    words
        .next()
        .unwrap_or_else(|| panic!("no {word} in {line}"))
}

fn resumed(log: &str) -> Option<&str> {
    log.lines().rev().find(|line| line.starts_with("resumed "))
}

fn a_service_goes_on_from_a_file_after_it_was_removed(bench: &Bench) {
    bench.start("counter");
    let calls = bench.calls();
    let file = bench.checkpoint("counter");
    let length = fs::metadata(&file).expect("a file").len();
    assert!(length < 2 << 20, "{length} bytes for a small service");
    assert_eq!(bench.calls(), calls + 1, "the original goes on");
    bench.host.remove("counter");
    let path = file.to_string_lossy().into_owned();
    bench.host.denali(["restore", "counter", &path]).succeeds();
    let went_on = bench.calls();
    assert_eq!(went_on, calls + 1, "as it was when the file was made");
    let log = bench.host.wait_for_log("counter", "resumed 1");
    assert!(log.contains("began at"), "its console goes on: {log}");
    assert!(!log.contains("backwards"), "{log}");
    let line = resumed(&log).expect("a line");
    let calls = calls.to_string();
    assert_eq!((field(line, "hooks"), field(line, "calls")), ("1", &*calls));
    let wall = Duration::from_secs(field(line, "wall").parse().expect("seconds"));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    assert!(now.abs_diff(wall) < WALL_OFF_MAX, "{wall:?} at {now:?}");
    bench.host.remove("counter");
}

fn clones_are_ten_of_a_kind_and_each_somebody_else(bench: &Bench) {
    bench.start("counter");
    let calls = bench.calls();
    let count = CLONES.to_string();
    let clone = bench.host.denali(["clone", "counter", "--count", &count]);
    clone.succeeds();
    let mut logs = Vec::new();
    for number in 1..=CLONES {
        let name = format!("counter-{number}");
        let log = bench.host.wait_for_log(&name, "answered: call");
        assert!(
            !log.contains("not answered") && !log.contains("backwards"),
            "{log}"
        );
        logs.push(log);
    }
    let own = bench.host.logs("counter");
    assert!(resumed(&own).is_none(), "the original is who it was: {own}");
    let lines: Vec<&str> = logs.iter().filter_map(|log| resumed(log)).collect();
    for word in ["drew", "mac", "at"] {
        let different: BTreeSet<&str> = lines.iter().map(|line| field(line, word)).collect();
        assert_eq!(different.len(), CLONES, "{word} of {lines:#?}");
    }
    for (log, line) in logs.iter().zip(&lines) {
        assert_eq!(field(line, "calls"), calls.to_string(), "{line}");
        let answer = log.lines().find(|line| line.starts_with("answered"));
        let answer = answer.expect("an answer");
        assert_eq!(field(answer, "from"), field(line, "at"), "{log}");
    }
    let answered = calls + u64::try_from(CLONES).expect("small");
    assert_eq!(
        bench.calls(),
        answered + 1,
        "the original counted each of them"
    );
    for number in 1..=CLONES {
        bench.host.remove(&format!("counter-{number}"));
    }
    bench.host.remove("counter");
}

fn a_service_goes_on_with_its_volume(bench: &Bench) {
    let guest = bench.counter("counter").volumes(&["data:1M"]);
    bench.host.deploy(&guest.project());
    bench.host.wait_for_log("counter", "listening");
    let calls = bench.calls();
    let file = bench.checkpoint("counter");
    let path = file.to_string_lossy().into_owned();
    let runs = bench.host.denali(["restore", "counter", &path]).fails(5);
    assert!(runs.stderr.contains("stop it first"), "{runs}");
    bench.host.denali(["stop", "counter"]).succeeds();
    bench.host.denali(["restore", "counter", &path]).succeeds();
    assert_eq!(bench.calls(), calls + 1);
    bench.host.wait_for_log("counter", "volume Ok(true)");
    bench.host.remove("counter");
    let gone = bench.host.denali(["restore", "counter", &path]).fails(5);
    assert!(gone.stderr.contains("volumes"), "{gone}");
}

fn a_file_that_was_changed_is_refused_and_the_host_lives(bench: &Bench) {
    bench.start("counter");
    let calls = bench.calls();
    let file = bench.checkpoint("counter");
    bench.host.remove("counter");
    let sound = fs::read(&file).expect("a file");
    let path = file.to_string_lossy().into_owned();
    let before = bench.host.status().answered();
    let attempts: [(&str, Change); 6] = [
        ("no checkpoint", |it| it[0] ^= 1),
        ("format version", |it| it[8] = 99),
        ("another host", |it| it[20] ^= 1),
        ("damaged", |it| it[40] ^= 1),
        ("damaged", |it| *it.last_mut().expect("bytes") ^= 1),
        ("cut short", |it| it.truncate(it.len() * 2 / 3)),
    ];
    for (expected, change) in attempts {
        let mut bytes = sound.clone();
        change(&mut bytes);
        fs::write(&file, &bytes).expect("a file");
        let refused = bench.host.denali(["restore", "counter", &path]).fails(1);
        assert!(refused.stderr.contains(expected), "{expected}: {refused}");
        assert!(bench.host.services().is_empty(), "nothing is left of it");
    }
    let after = bench.host.status().answered();
    assert_eq!(before.vms, after.vms);
    assert_eq!(before.memory_available, after.memory_available);
    fs::write(&file, &sound).expect("a file");
    bench.host.denali(["restore", "counter", &path]).succeeds();
    assert_eq!(bench.calls(), calls + 1);
    bench.host.remove("counter");
}
