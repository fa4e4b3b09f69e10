//! `cargo denali build`

use crate::cargo::BuildRequest;
use crate::console;
use crate::service::{self, Service};
use anyhow::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `build`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: BuildOptions,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What to build and how, for every verb that builds.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Build options")]
pub struct BuildOptions {
    /// Path to the project's Cargo.toml
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// Package of a workspace
    #[arg(short, long, value_name = "NAME")]
    package: Option<String>,
    /// Binary of a package with several
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Features to switch on, separated by commas
    #[arg(long)]
    features: Option<String>,
    /// Fail if Cargo.lock would change
    #[arg(long)]
    locked: bool,
    /// Do not use the network to build
    #[arg(long)]
    offline: bool,
}

impl BuildOptions {
    /// Returns options that build the project at `manifest_path`.
    #[must_use]
    pub fn for_manifest(manifest_path: &Path) -> Self {
        Self {
            manifest_path: Some(manifest_path.to_owned()),
            ..Self::default()
        }
    }

    /// Returns what cargo is to do.
    #[must_use]
    pub fn request(&self) -> BuildRequest {
        let mut arguments = Vec::new();
        if let Some(features) = &self.features {
            arguments.extend(["--features".to_owned(), features.clone()]);
        }
        let switches = [(self.locked, "--locked"), (self.offline, "--offline")];
        arguments.extend(
            switches
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, name)| (*name).to_owned()),
        );
        BuildRequest {
            manifest_path: self.manifest_path.clone(),
            package: self.package.clone(),
            bin: self.bin.clone(),
            target_dir: None,
            arguments,
        }
    }
}

/// The result as JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    name: &'a str,
    version: &'a str,
    build_id: &'a str,
    memory: u64,
    image_bytes: usize,
    segments: crate::image::SegmentSizes,
    entry: u64,
    image: &'a Path,
    package: &'a Path,
    executable: &'a Path,
}

/// Builds the project and prints what came out.
///
/// # Errors
///
/// As [`service::build`].
pub fn exec(args: &Args) -> Result<()> {
    let service = service::build(&args.options.request())?;
    if args.json {
        console::json(&report(&service))
    } else {
        print(&service)
    }
}

fn report(service: &Service) -> Report<'_> {
    Report {
        name: &service.manifest.name,
        version: &service.manifest.version,
        build_id: &service.manifest.build_id,
        memory: service.manifest.memory,
        image_bytes: service.image.bytes().len(),
        segments: service.image.sizes(),
        entry: service.image.header().entry,
        image: &service.image_path,
        package: &service.package_path,
        executable: &service.executable,
    }
}

fn print(service: &Service) -> Result<()> {
    let sizes = service.image.sizes();
    let image_bytes = service.image.header().file_len();
    for (name, value) in [
        (
            "service",
            format!("{} {}", service.manifest.name, service.manifest.version),
        ),
        (
            "image",
            format!(
                "{}  {}",
                console::size(image_bytes),
                service.image_path.display()
            ),
        ),
        (
            "segments",
            format!(
                "text {}, rodata {}, data {}, bss {}",
                console::size(sizes.text),
                console::size(sizes.rodata),
                console::size(sizes.data),
                console::size(sizes.bss)
            ),
        ),
        ("memory", console::size(service.manifest.memory)),
        ("build-id", service.manifest.build_id.clone()),
        ("package", service.package_path.display().to_string()),
    ] {
        console::line(&format!("{name:<9} {value}"))?;
    }
    Ok(())
}
