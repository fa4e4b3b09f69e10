//! From a project to a package.

use crate::cargo::{self, BuildRequest, Located, Surroundings};
use crate::directories;
use crate::image::Image;
use crate::include;
use crate::manifest::{self, Settings};
use crate::package;
use anyhow::{Context, Result};
use denali_protocol::{Manifest, PublishedPort};
use std::path::{Path, PathBuf};

/// A built service.
#[derive(Clone, Debug)]
pub struct Service {
    /// What the package says of it.
    pub manifest: Manifest,
    /// The image.
    pub image: Image,
    /// The package.
    pub package: Vec<u8>,
    /// Where the ELF file lies, for debuggers.
    pub executable: PathBuf,
    /// Where the image lies.
    pub image_path: PathBuf,
    /// Where the package lies.
    pub package_path: PathBuf,
}

impl Service {
    /// Returns the same service under another name, with other published ports.
    ///
    /// # Errors
    ///
    /// The name is longer than a host can keep.
    pub fn instance(mut self, name: Option<&str>, publish: &[PublishedPort]) -> Result<Self> {
        if let Some(name) = name {
            manifest::check_name(name)?;
            name.clone_into(&mut self.manifest.name);
        }
        if !publish.is_empty() {
            self.manifest.publish = publish.to_vec();
        }
        self.package = package::pack(&self.manifest, &self.image)?;
        Ok(self)
    }
}

/// Builds a project, and writes image and package into its target folder.
///
/// # Errors
///
/// The manifest is wrong, the project does not build, or cannot run as a guest.
pub fn build(request: &BuildRequest) -> Result<Service> {
    let (package, settings) = settings(request)?;
    let folder = package.manifest_path().parent().unwrap_or(Path::new(""));
    let volumes = settings.volumes.iter().map(|volume| volume.name.clone());
    let around = Surroundings {
        files: include::list(folder, &settings.include)?,
        volumes: volumes.collect(),
    };
    let executable = package.build(&request.arguments, &around)?;
    assemble(&package, &settings, executable, package.bin())
}

/// Builds a project's tests as a service that runs them, with `memory` bytes or what the manifest
/// asks for.
///
/// # Errors
///
/// As [`build`].
pub fn build_tests(request: &BuildRequest, memory: Option<u64>) -> Result<Service> {
    let (package, mut settings) = settings(request)?;
    settings.memory = memory.unwrap_or(settings.memory);
    settings.publish.clear();
    let executable = package.build_tests(&request.arguments)?;
    let files = format!("{}-test", package.bin());
    assemble(&package, &settings, executable, &files)
}

/// Returns the package that a request means, and what it asks of its host.
fn settings(request: &BuildRequest) -> Result<(Located, Settings)> {
    let package = cargo::locate(request)?;
    let settings = manifest::read(package.manifest_path())?;
    manifest::check_name(package.bin())?;
    Ok((package, settings))
}

/// Makes image and package of an ELF file, in files of this name.
fn assemble(
    package: &Located,
    settings: &Settings,
    executable: PathBuf,
    files: &str,
) -> Result<Service> {
    let bytes = std::fs::read(&executable)
        .with_context(|| format!("reading `{}`", executable.display()))?;
    package.check_program(&bytes)?;
    let image = Image::from_elf(&bytes, settings.memory)?;
    let manifest = package::manifest(package.bin(), &package.version(), settings, &image);
    let packed = package::pack(&manifest, &image)?;

    let image_path = package.target_dir().join(format!("{files}.image"));
    let package_path = package.target_dir().join(format!("{files}.tar"));
    directories::write(&image_path, image.bytes(), directories::PUBLIC)?;
    directories::write(&package_path, &packed, directories::PUBLIC)?;
    Ok(Service {
        manifest,
        image,
        package: packed,
        executable,
        image_path,
        package_path,
    })
}
