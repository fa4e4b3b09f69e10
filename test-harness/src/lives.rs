//! Lives of VMs in QEMU, one after the other by the thousand: a guest in the supervisor's place makes
//! and counts them.

use crate::cli::repository;
use crate::home::Home;
use crate::machine::Board;
use anyhow::{Context as _, Result, bail};
use denali_build::cargo::{self, BuildRequest, Surroundings};
use denali_build::image::Image;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Memory of the guest that takes the supervisor's place.
const MEMORY: u64 = 8 << 20;

/// Longest run for each life: emulated, on a busy machine.
const LIFE_MAX: Duration = Duration::from_millis(20);

/// Runs `lives` lives under `kernel` and returns how long that took.
///
/// # Errors
///
/// Something was left of them, or QEMU does not run.
pub fn run(kernel: &Path, lives: u64) -> Result<Duration> {
    let home = Home::new();
    let request = BuildRequest {
        manifest_path: Some(repository().join("test-harness/guests/Cargo.toml")),
        bin: Some(String::from("lives")),
        ..BuildRequest::default()
    };
    let executable =
        cargo::locate(&request)?.build(&request.arguments, &Surroundings::default())?;
    let elf = fs::read(executable).context("the guest")?;
    let image = Image::from_elf(&elf, MEMORY)?;
    let module = [image.bytes(), lives.to_string().as_bytes(), b"\0"].concat();
    let files = ["lives.module", "lives.log"].map(|name| home.path().join(name));
    let [file, log] = &files;
    fs::write(file, module).context("the boot module")?;

    let started = Instant::now();
    let limit = Duration::from_secs(120) + LIFE_MAX * u32::try_from(lives).unwrap_or(u32::MAX);
    let board = Board::new("q35", "max").kernel(kernel, file);
    let mut qemu = board.start(&home, limit, log);
    while !qemu.has_ended() && started.elapsed() < limit {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        if text.contains("nothing is left of them") {
            return Ok(started.elapsed());
        }
        if text.contains("panic") || text.contains("vm ended") {
            bail!("{text}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    bail!(
        "{}",
        String::from_utf8_lossy(&fs::read(log).unwrap_or_default())
    )
}
