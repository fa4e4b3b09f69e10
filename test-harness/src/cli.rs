//! The `cargo-denali` program: built once, run with a time limit, interrupted as by Ctrl-C.

use crate::wait;
use denali_tidy::cargo;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest run of one command: the first build of kernel and supervisor on two busy cores.
const TIMEOUT: Duration = Duration::from_secs(600);

/// How long the output may stay open once the command has ended.
const CLOSING: Duration = Duration::from_secs(10);

/// Returns cargo's target folder, in which this program lies.
///
/// # Panics
///
/// If it lies neither in `target/PROFILE/deps`, as tests do, nor in `target/PROFILE`.
#[must_use]
pub fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    let folder = program.parent().expect("target/PROFILE/deps/program");
    let is_test = folder.ends_with("deps");
    let target = folder.ancestors().nth(if is_test { 2 } else { 1 });
    target.expect("target/PROFILE/program").to_path_buf()
}

/// Returns the root of the repository.
///
/// # Panics
///
/// Never: this crate lies in a folder of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies in a folder")
}

/// Returns the environment variables of tests that no user's shell has. A target folder of the
/// tester's own would be shared by every project of the tests.
pub(crate) fn cargo_variables() -> impl Iterator<Item = String> {
    cargo::variables().chain(["CARGO_TARGET_DIR".to_owned()])
}

/// Returns the path of `cargo-denali`, built on the first call.
///
/// # Panics
///
/// If it does not build.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // As for a test of the whole workspace: features and panic strategy are those of the build
        // that made this test, so nothing is compiled twice.
        let output = cargo::command()
            .args([
                "test",
                "--workspace",
                "--no-run",
                "--test",
                "commands",
                "--message-format=json",
            ])
            .arg("--target-dir")
            .arg(target_dir())
            .current_dir(repository())
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo-denali does not build");
        cargo_metadata::Message::parse_stream(output.stdout.as_slice())
            .filter_map(|message| match message.expect("cargo writes JSON") {
                cargo_metadata::Message::CompilerArtifact(artifact) => Some(artifact),
                _ => None,
            })
            .find(|artifact| artifact.target.name == "cargo-denali")
            .and_then(|artifact| artifact.executable)
            .expect("cargo reports the program")
            .into_std_path_buf()
    })
}

/// A command before it runs.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
}

impl Invocation {
    /// Prepares to run `program`.
    #[must_use]
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            command: Command::new(program.as_ref()),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<std::ffi::OsStr>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.args([argument])
    }

    /// Runs it in `folder`.
    #[must_use]
    pub fn within(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Reads standard input from a file.
    #[must_use]
    pub fn stdin(mut self, file: std::fs::File) -> Self {
        self.command.stdin(file);
        self
    }

    /// Starts it in a process group of its own.
    ///
    /// # Panics
    ///
    /// If the program does not start.
    #[must_use]
    pub fn start(mut self) -> Running {
        let words = format!("{:?}", self.command);
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{words} does not start: {error}"));
        let stdout = Stream::follow(child.stdout.take().expect("it is piped"));
        let stderr = Stream::follow(child.stderr.take().expect("it is piped"));
        Running {
            words,
            child,
            stdout,
            stderr,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// If it takes too long.
    #[must_use]
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Runs it to its end, which must be success.
    ///
    /// # Panics
    ///
    /// If it fails or takes too long.
    pub fn succeeds(self) -> Outcome {
        self.fails(0)
    }

    /// Runs it to its end, which must be this exit status.
    ///
    /// # Panics
    ///
    /// If it ends otherwise or takes too long.
    #[track_caller]
    pub fn fails(self, code: i32) -> Outcome {
        let outcome = self.run();
        assert_eq!(outcome.code, Some(code), "exit status of {outcome}");
        outcome
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    words: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// Presses Ctrl-C: every process of the group gets `SIGINT`.
    ///
    /// # Panics
    ///
    /// If there is no shell.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Waits until standard output or standard error contains `text`.
    ///
    /// # Panics
    ///
    /// If it ends before, or takes too long.
    pub fn wait_for_output(&mut self, text: &str) {
        let found = wait::within(TIMEOUT, || {
            // The end is looked at first, so that output just before it is not missed.
            let ended = self.child.try_wait().expect("a child of ours").is_some();
            let found = self.stdout.text().contains(text) || self.stderr.text().contains(text);
            (found || ended).then_some(found)
        });
        assert_eq!(
            found,
            Some(true),
            "{} never wrote {text:?}: {}",
            self.words,
            self.output()
        );
    }

    /// Returns whether it has ended.
    ///
    /// # Panics
    ///
    /// Never: it is a child of ours.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Returns what was written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits for the end.
    ///
    /// # Panics
    ///
    /// If it takes too long, or something it left behind still holds its output.
    #[must_use]
    pub fn finish(self) -> Outcome {
        self.finish_within(TIMEOUT)
    }

    /// Waits for the end as long as `limit`.
    ///
    /// # Panics
    ///
    /// If it takes longer, or something it left behind still holds its output.
    #[must_use]
    pub fn finish_within(mut self, limit: Duration) -> Outcome {
        let status = wait::within(limit, || self.child.try_wait().expect("a child of ours"));
        let Some(status) = status else {
            let output = self.output();
            panic!("{} still runs after {limit:?}: {output}", self.words);
        };
        let closed = wait::within(CLOSING, || {
            (self.stdout.is_closed() && self.stderr.is_closed()).then_some(())
        });
        assert!(
            closed.is_some(),
            "{} ended, but its output is still open",
            self.words
        );
        Outcome::new(&self.words, status, self.stdout.text(), self.stderr.text())
    }

    fn output(&self) -> String {
        format!("\n{}\n{}", self.stdout.text(), self.stderr.text())
    }

    fn signal(&self, signal: &str) {
        // The shell's own `kill` needs no package and takes process groups (dash: only after `-s`).
        let order = format!("kill -s {signal} -- -{}", self.child.id());
        Command::new("sh")
            .args(["-c", &order])
            .stderr(Stdio::null())
            .status()
            .expect("a shell");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("KILL");
            self.child.wait().ok();
        }
    }
}

/// One output of a running command.
#[derive(Debug)]
struct Stream {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn follow(source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(source.read_until(b'\n', &mut line), Ok(1..)) {
                let mut text = written.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_closed(&self) -> bool {
        self.reader.is_finished()
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    words: String,
    /// The exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    fn new(words: &str, status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self {
            words: words.to_owned(),
            code: status.code(),
            stdout,
            stderr,
        }
    }

    /// Returns standard output as JSON.
    ///
    /// # Panics
    ///
    /// If it is none of this shape.
    #[track_caller]
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// Checks what the issue asks of every failure: one line that says what is wrong, containing
    /// `error`, and a line that says what to do next, containing `help`.
    ///
    /// # Panics
    ///
    /// If it says something else, or more, or shows a panic.
    #[track_caller]
    pub fn explains(&self, error: &str, help: &str) {
        let errors: Vec<_> = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error"))
            .collect();
        let hints: Vec<_> = self
            .stderr
            .lines()
            .filter(|line| line.trim_start().starts_with("help: "))
            .collect();
        assert!(
            errors.len() == 1 && errors[0].contains(error),
            "no `error: …{error}…` in {self}"
        );
        assert!(
            hints.len() == 1 && hints[0].contains(help),
            "no `help: …{help}…` in {self}"
        );
        // What a service said when it panicked is indented.
        let own_panic = |line: &str| line.starts_with("thread '");
        let panicked = self.stderr.lines().any(own_panic);
        assert!(!panicked, "a panic in {self}");
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            words,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{words}: {code:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---"
        )
    }
}
