//! Kernel and supervisor, built from the SDK once and kept in the cache folder.

use crate::cargo::{self, BuildRequest, Surroundings};
use crate::failure::{Failure, Status};
use crate::image::Image;
use crate::sdk::{self, Part};
use crate::{console, directories, manifest};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What a host boots from.
#[derive(Clone, Debug)]
pub struct Artifacts {
    /// The kernel, an ELF file.
    pub kernel: PathBuf,
    /// The supervisor's flat image.
    pub supervisor: PathBuf,
}

/// Builds kernel and supervisor, or finds them in the cache.
///
/// # Errors
///
/// They do not build, or the cache cannot be written.
pub fn build() -> Result<Artifacts> {
    let cache = directories::cache()?;
    directories::create_private(&cache)?;
    let _lock = directories::lock(&cache.join("lock"))?;
    let folder = cache.join(sdk::digest());
    let artifacts = Artifacts {
        kernel: folder.join("kernel.elf"),
        supervisor: folder.join("supervisor.image"),
    };
    if artifacts.kernel.exists() && artifacts.supervisor.exists() {
        return Ok(artifacts);
    }
    console::status(
        "Building",
        "kernel and supervisor, once for this version of cargo denali",
    );
    directories::create_private(&folder)?;
    let sources = cache.join("sources");
    sdk::unpack(Part::Host, &sources)?;
    sdk::write(&sources.join("Cargo.lock"), &sdk::file("Cargo.lock")?)?;
    let target_dir = cache.join("target");
    let kernel = cargo::build_program(&sources, "host-kernel", &target_dir.join("kernel"))?;
    let supervisor = build_supervisor(&sources, target_dir.join("denali"))?;

    let bytes =
        std::fs::read(&kernel).with_context(|| format!("reading `{}`", kernel.display()))?;
    directories::write(
        &artifacts.supervisor,
        supervisor.bytes(),
        directories::PUBLIC,
    )?;
    directories::write(&artifacts.kernel, &bytes, directories::PUBLIC)?;
    Ok(artifacts)
}

fn build_supervisor(sources: &Path, target_dir: PathBuf) -> Result<Image> {
    let request = BuildRequest {
        manifest_path: Some(sources.join("host-kernel/supervisor/Cargo.toml")),
        target_dir: Some(target_dir),
        ..BuildRequest::default()
    };
    let package = cargo::locate(&request)?;
    let settings = manifest::read(package.manifest_path())?;
    let executable = package.build(&request.arguments, &Surroundings::default())?;
    let bytes = std::fs::read(&executable)
        .with_context(|| format!("reading `{}`", executable.display()))?;
    let image = Image::from_elf(&bytes, settings.memory);
    image.map_err(|failure| {
        Failure::new(Status::Build, format!("the supervisor: {failure}"))
            .help("this is a mistake in Denali itself, please report it")
            .into()
    })
}
