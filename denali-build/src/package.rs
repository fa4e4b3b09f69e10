//! The package: a `tar` with manifest, build-id and flat image, the same bytes for the same input.

use crate::image::Image;
use crate::manifest::Settings;
use anyhow::{Context, Result};
use denali_abi::convert::usize_to_u64;
use denali_protocol::{BUILD_ID_ENTRY, IMAGE_ENTRY, MANIFEST_ENTRY, Manifest, PACKAGE_FORMAT};

/// Returns what a package says of a service.
#[must_use]
pub fn manifest(name: &str, version: &str, settings: &Settings, image: &Image) -> Manifest {
    Manifest {
        format: PACKAGE_FORMAT,
        name: name.to_owned(),
        version: version.to_owned(),
        build_id: image.build_id(),
        memory: settings.memory,
        publish: settings.publish.clone(),
        arguments: settings.arguments.clone(),
        environment: settings.environment.clone(),
        address: settings.address,
        limits: settings.limits,
        volumes: settings.volumes.clone(),
        health: settings.health.clone(),
        restart: settings.restart,
    }
}

/// Packs a package.
///
/// The order is fixed, and there are no owners and times; the manifest comes before the image,
/// so that a host can refuse before it has received everything.
///
/// # Errors
///
/// A value cannot be written as `tar` or JSON.
pub fn pack(manifest: &Manifest, image: &Image) -> Result<Vec<u8>> {
    let manifest_json = serde_json::to_vec(manifest).context("writing the package's manifest")?;
    let build_id = format!("{}\n", manifest.build_id);
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in [
        (BUILD_ID_ENTRY, build_id.as_bytes()),
        (MANIFEST_ENTRY, &manifest_json),
        (IMAGE_ENTRY, image.bytes()),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(usize_to_u64(contents.len()));
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder
            .append_data(&mut header, name, contents)
            .context("packing")?;
    }
    builder.into_inner().context("packing")
}
