//! A user's keys, caches and running hosts, in a folder that goes away.

use crate::cli::{self, Invocation};
use crate::wait;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a process may take to end after the command that started it.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// A user of `cargo denali` whom nobody has seen before.
///
/// What was built from the SDK is shared by all of them: kernel and supervisor are built once.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    cache: PathBuf,
}

impl Home {
    /// Makes a user with the shared cache.
    ///
    /// # Panics
    ///
    /// If no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        Self::with_cache(cli::target_dir().join("harness/cache"))
    }

    /// Makes a user who has built nothing yet.
    ///
    /// # Panics
    ///
    /// If no folder can be made.
    #[must_use]
    pub fn with_empty_cache() -> Self {
        let mut home = Self::with_cache(PathBuf::new());
        home.cache = home.path().join("cache");
        home
    }

    fn with_cache(cache: PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("denali-home-").tempdir();
        Self {
            folder: folder.expect("a folder for temporary files"),
            cache,
        }
    }

    /// Returns the folder with all this user has; it lies outside the repository.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Prepares `cargo-denali` with these arguments, as this user, in the user's folder.
    #[must_use]
    pub fn denali<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        self.invoke(cli::program()).args(arguments)
    }

    /// Prepares any program as this user.
    #[must_use]
    pub fn invoke(&self, program: impl AsRef<Path>) -> Invocation {
        let folder = |name| self.path().join(name);
        let mut invocation = Invocation::new(program)
            .within(self.path())
            .env("XDG_CACHE_HOME", &self.cache)
            .env("XDG_CONFIG_HOME", folder("config"))
            .env("XDG_STATE_HOME", folder("state"));
        let others = ["DENALI_HOME", "RUSTFLAGS"].map(str::to_owned);
        for variable in cli::cargo_variables().chain(others) {
            invocation = invocation.env_remove(&variable);
        }
        invocation
    }

    /// Returns the ids of the processes started on behalf of this user that still run.
    ///
    /// # Panics
    ///
    /// If `/proc` cannot be read.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let mark = self.path().as_os_str().as_encoded_bytes();
        let entries = fs::read_dir("/proc").expect("Linux has /proc");
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers
            .filter(|id: &u32| {
                let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
                environment.windows(mark.len()).any(|window| window == mark)
            })
            .collect()
    }

    /// Checks that nothing started on behalf of this user runs on.
    ///
    /// # Panics
    ///
    /// If something does.
    #[track_caller]
    pub fn assert_nothing_runs(&self) {
        // What Ctrl-C ends together ends one after the other.
        let mut left = Vec::new();
        let gone = wait::within(LINGER_MAX, || {
            left = self.processes();
            left.is_empty().then_some(())
        });
        let lines = left
            .iter()
            .map(|id| fs::read(format!("/proc/{id}/cmdline")));
        let lines: Vec<_> = lines
            .flatten()
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .collect();
        assert!(gone.is_some(), "still running: {lines:?}");
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Only what carries this folder's name in its environment was started by this test.
        for id in self.processes() {
            Command::new("sh")
                .args(["-c", &format!("kill -KILL {id}")])
                .status()
                .ok();
        }
    }
}
