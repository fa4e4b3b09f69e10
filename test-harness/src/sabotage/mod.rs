//! Kernels that lack one protection each, and the proof that somebody notices.
//!
//! A sabotage that nobody notices is a hole in the suites.

mod table;

pub use table::{Judge, SABOTAGES, Sabotage};

use crate::cli::{repository, target_dir};
use crate::containment::{Arena, kernel_of};
use crate::home::Home;
use crate::host::Host;
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// What a test of the core runs of its millions: enough to notice.
const CORE_SAMPLE: [(&str, &str); 3] = [
    ("DENALI_SEEDS", "400"),
    ("DENALI_FUZZ_CALLS", "200000"),
    ("RUST_BACKTRACE", "0"),
];

impl Sabotage {
    /// Builds a kernel without this protection and returns what those find who ought to notice.
    ///
    /// # Errors
    ///
    /// The kernel does not build, or its host does not do as it is told: which is noticed, too, but
    /// proves nothing.
    pub fn prove(&self) -> Result<Vec<String>> {
        match self.judge {
            Judge::Core(test) => self.test_core(test),
            Judge::Panics => {
                let kernel = self.build(&["--", "-C", "link-arg=-Wl,--emit-relocs"])?;
                denali_tidy::panics::check(&kernel, &repository().join("host-kernel"))
            }
            Judge::Processor => self.boot()?.inspect_processor(),
            Judge::Comparison => {
                let arena = self.boot()?;
                for _ in 0..4 {
                    arena.run("control", |_| true)?;
                    arena.run("hypercalls", |_| true)?;
                }
                arena.compare()
            }
            Judge::Attacks(theme, attacks) => self
                .boot()?
                .run(theme, |name| attacks.is_empty() || attacks.contains(&name)),
        }
    }

    /// Boots a host with the sabotaged kernel.
    fn boot(&self) -> Result<Arena> {
        let sound = sound_artifacts()?;
        let home = Home::with_empty_cache();
        let digest = sound.file_name().context("a folder for each digest")?;
        let folder = home.path().join("cache/denali").join(digest);
        fs::create_dir_all(&folder).context("a folder of ours")?;
        let supervisor = "supervisor.image";
        fs::copy(sound.join(supervisor), folder.join(supervisor)).context("the supervisor")?;
        fs::copy(self.build(&[])?, folder.join("kernel.elf")).context("the kernel")?;
        Ok(Arena::boot(home))
    }

    /// Builds the kernel without the protection and returns its file.
    fn build(&self, options: &[&str]) -> Result<PathBuf> {
        let arguments = "rustc --quiet --release --package host-kernel --bin host-kernel";
        let status = self
            .cargo()?
            .args(arguments.split(' '))
            .args(options)
            .status()
            .context("starting cargo")?;
        let name = self.name;
        ensure!(status.success(), "the kernel does not build with `{name}`");
        Ok(folder().join("release/host-kernel"))
    }

    /// Runs a test of the core without the protection, and returns why it fails.
    fn test_core(&self, test: &str) -> Result<Vec<String>> {
        let arguments = [
            "test",
            "--quiet",
            "-p",
            "denali-kernel-core",
            "--test",
            test,
        ];
        let built = self.cargo()?.args(arguments).arg("--no-run").status();
        ensure!(
            built.context("starting cargo")?.success(),
            "`{test}` does not build"
        );
        let mut test = self.cargo()?;
        let output = test.args(arguments).envs(CORE_SAMPLE).output();
        let output = output.context("starting cargo")?;
        if output.status.success() {
            return Ok(Vec::new());
        }
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains("panicked at"));
        Ok(lines.map(str::to_owned).collect())
    }

    /// Prepares a build without the protection.
    fn cargo(&self) -> Result<Command> {
        let mut command = denali_tidy::cargo::command();
        command
            .current_dir(repository())
            .env("RUSTC_WORKSPACE_WRAPPER", self.compiler()?)
            .env("CARGO_TARGET_DIR", folder())
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        Ok(command)
    }

    /// Makes the compiler of our own crates, which leaves the protection out. What others wrote is
    /// compiled once for all sabotages.
    fn compiler(&self) -> Result<PathBuf> {
        let name = self.name;
        let path = folder().join(format!("rustc-{name}"));
        let script = format!("#!/bin/sh\nexec \"$@\" --cfg 'sabotage=\"{name}\"'\n");
        if fs::read_to_string(&path).is_ok_and(|old| old == script) {
            return Ok(path);
        }
        fs::create_dir_all(folder()).context("a folder of ours")?;
        fs::write(&path, script).context("a compiler")?;
        fs::set_permissions(&path, Permissions::from_mode(0o755)).context("a compiler")?;
        Ok(path)
    }
}

/// Returns the folder of everything built here.
fn folder() -> PathBuf {
    target_dir().join("harness/sabotage")
}

/// Returns the folder with kernel and supervisor as they are.
fn sound_artifacts() -> Result<&'static PathBuf> {
    static SOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = SOUND.get() {
        return Ok(found);
    }
    let host = Host::up(&[]);
    let kernel = kernel_of(&host.status())?;
    let folder = kernel.parent().context("the kernel lies in a folder")?;
    Ok(SOUND.get_or_init(|| folder.to_owned()))
}
