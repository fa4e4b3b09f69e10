//! Packages: taken apart and checked before anything is created from them.
//!
//! A package is a `tar` of exactly three files: manifest, flat image and build-id. This is the only
//! place of the host that parses what a deployer sends.

pub mod manifest;

use crate::hex;
use crate::refusal::Refused;
use crate::service::Origin;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use denali_abi::ABI_VERSION;
use denali_abi::block::VolumeConfig;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::image::{ImageError, ImageHeader};
use denali_abi::layout::PAGE_SIZE;
use denali_abi::registers::NAME_MAX;
use denali_protocol::{BUILD_ID_ENTRY, IMAGE_ENTRY, MANIFEST_ENTRY, Manifest};
use sha2::{Digest as _, Sha256};
use tar_no_std::TarArchiveRef;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Longest manifest in bytes.
pub const MANIFEST_LEN_MAX: usize = 16 * 1024;

/// Ports a service may publish, at most.
pub const PUBLISH_MAX: usize = 32;

/// A package whose every part was checked.
#[derive(Clone, Debug)]
pub struct Package<'a> {
    /// The manifest.
    pub manifest: Manifest,
    /// The image's header.
    pub header: ImageHeader,
    /// The image's contents: text, rodata and data.
    pub contents: &'a [u8],
    /// What is kept of it for its service.
    pub origin: Arc<Origin>,
    /// Whether the service begins with the first packet for it.
    pub dormant: bool,
    /// Memory limit in pages.
    pub memory_pages: u32,
}

impl Package<'_> {
    /// Returns the package of a service that begins with the first packet for it.
    ///
    /// Services of one image that have not begun have their arguments in common, so arguments count
    /// as part of what an image is the same by.
    #[must_use]
    pub fn into_dormant(mut self) -> Self {
        self.dormant = true;
        let origin = Arc::make_mut(&mut self.origin);
        origin.digest = Sha256::new()
            .chain_update(origin.digest)
            .chain_update(&origin.arguments)
            .finalize()
            .into();
        self
    }

    /// Returns the package as its copies share it: they publish no port.
    #[must_use]
    pub fn without_ports(mut self) -> Self {
        self.manifest.publish.clear();
        Arc::make_mut(&mut self.origin).publish.clear();
        self
    }

    /// Returns the package of the copy with this number: a service of its own name.
    ///
    /// # Errors
    ///
    /// Its name is too long.
    pub fn copy(&self, number: u32) -> Result<Self, Refused> {
        let mut copy = self.clone();
        let name = &mut copy.manifest.name;
        *name = format!("{name}-{number}");
        if name.len() > NAME_MAX {
            return Err(Refused::usage(format!(
                "`{name}` is longer than {NAME_MAX} bytes: choose a shorter --name"
            )));
        }
        Ok(copy)
    }

    /// Returns the package with more environment; what is there already is overridden.
    ///
    /// # Errors
    ///
    /// It does not fit.
    pub fn with_environment(mut self, more: &[(String, String)]) -> Result<Self, Refused> {
        if more.is_empty() {
            return Ok(self);
        }
        let mut manifest = self.manifest.clone();
        manifest.environment.extend(more.iter().cloned());
        Arc::make_mut(&mut self.origin).arguments = encode_arguments(&manifest)?;
        if self.dormant {
            self = self.into_dormant();
        }
        Ok(self)
    }

    /// Returns the package with volumes, which the keeper gives.
    #[must_use]
    pub fn with_volumes(mut self, volumes: Vec<VolumeConfig>) -> Self {
        if !volumes.is_empty() {
            Arc::make_mut(&mut self.origin).volumes = volumes;
        }
        self
    }
}

/// Takes the package in `bytes` apart, which must be that of the service `name`.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn parse<'a>(bytes: &'a [u8], name: &str) -> Result<Package<'a>, Refused> {
    let [manifest, image, build_id] = entries(bytes)?;
    let manifest = manifest::parse(manifest)?;
    if manifest.name != name {
        let found = &manifest.name;
        return Err(Refused::package(format!(
            "package is of service `{found}`, not `{name}`"
        )));
    }
    let (header, contents) = parse_image(image)?;
    let digits = hex::encode(&header.build_id);
    let entry = core::str::from_utf8(build_id)
        .unwrap_or_default()
        .trim_end();
    if manifest.build_id != digits || entry != digits {
        return Err(rebuild(
            "manifest, image and build-id do not belong together",
        ));
    }
    let digest = Sha256::new()
        .chain_update(header.as_bytes())
        .chain_update(contents)
        .finalize();
    let origin = Origin {
        version: manifest.version.clone(),
        publish: manifest.publish.clone(),
        arguments: encode_arguments(&manifest)?,
        volumes: Vec::new(),
        build_id: header.build_id,
        digest: digest.into(),
        health: manifest.health.clone(),
        restart: manifest.restart,
    };
    let memory_pages = u32::try_from(manifest.memory / PAGE_SIZE)
        .map_err(|_| Refused::package("`memory` is larger than any host"))?;
    Ok(Package {
        manifest,
        header,
        contents,
        origin: Arc::new(origin),
        dormant: false,
        memory_pages,
    })
}

/// Returns manifest, image and build-id, each there exactly once and nothing else.
fn entries(bytes: &[u8]) -> Result<[&[u8]; 3], Refused> {
    const NAMES: [&str; 3] = [MANIFEST_ENTRY, IMAGE_ENTRY, BUILD_ID_ENTRY];
    let archive = TarArchiveRef::new(bytes)
        .map_err(|error| rebuild(&format!("package is no sound tar archive: {error}")))?;
    if archive.headers().any(|(_, header)| {
        !header
            .typeflag
            .try_to_type_flag()
            .is_ok_and(tar_no_std::TypeFlag::is_regular_file)
    }) {
        return Err(rebuild("package has an entry that is no regular file"));
    }
    let mut found: [Option<&[u8]>; 3] = [None; 3];
    for entry in archive.entries() {
        let filename = entry.filename();
        let name = filename.as_str().unwrap_or("(not UTF-8)");
        let Some(slot) = NAMES.iter().position(|known| *known == name) else {
            return Err(rebuild(&format!("package has an unknown entry `{name}`")));
        };
        if found[slot].replace(entry.data()).is_some() {
            return Err(rebuild(&format!("package has the entry `{name}` twice")));
        }
    }
    let entry = |slot: usize| {
        found[slot].ok_or_else(|| rebuild(&format!("package has no entry `{}`", NAMES[slot])))
    };
    Ok([entry(0)?, entry(1)?, entry(2)?])
}

fn parse_image(image: &[u8]) -> Result<(ImageHeader, &[u8]), Refused> {
    let (header, _) = ImageHeader::read_from_prefix(image)
        .map_err(|_| rebuild("image is too short for its header"))?;
    header
        .validate()
        .map_err(|error| rebuild(&image_error(error)))?;
    let contents = image.get(u64_to_usize(PAGE_SIZE)..);
    match contents {
        Some(contents) if usize_to_u64(image.len()) == header.file_len() => Ok((header, contents)),
        _ => Err(rebuild(&format!(
            "image is {} bytes long, its header says {}",
            image.len(),
            header.file_len()
        ))),
    }
}

fn image_error(error: ImageError) -> String {
    match error {
        ImageError::NotAnImage => "image does not start like a Denali image".into(),
        ImageError::AbiVersion(version) => {
            format!("image is built for ABI version {version}, this host has {ABI_VERSION}")
        }
        ImageError::TooLarge => "image does not fit a service's address space".into(),
        ImageError::BadEntry => "image's entry point is outside its text".into(),
        ImageError::Malformed => "image's header is malformed".into(),
    }
}

/// Returns arguments and environment as the runtime reads them: NUL-terminated strings, first the
/// arguments, then an empty one, then `KEY=VALUE`.
fn encode_arguments(manifest: &Manifest) -> Result<Vec<u8>, Refused> {
    let mut blob = Vec::new();
    let mut push = |parts: &[&str]| {
        for part in parts {
            blob.extend_from_slice(part.as_bytes());
        }
        blob.push(0);
    };
    for argument in &manifest.arguments {
        push(&[argument]);
    }
    push(&[]);
    for (key, value) in &manifest.environment {
        push(&[key, "=", value]);
    }
    let max = denali_abi::registers::ARGUMENTS_MAX;
    if blob.len() > max {
        let len = blob.len();
        let message =
            format!("`arguments` and `environment` take {len} bytes, at most {max} are possible");
        return Err(Refused::package(message));
    }
    Ok(blob)
}

/// Returns a refusal of a package that can only be made anew.
fn rebuild(message: &str) -> Refused {
    Refused::package(format!("{message}; build and deploy it again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, image, manifest, package, tar};
    use denali_protocol::Refusal;

    fn refusal(bytes: &[u8]) -> String {
        let refused = parse(bytes, "hello").expect_err("a broken package");
        assert_eq!(refused.kind, Refusal::Package);
        refused.message
    }

    #[test]
    fn a_sound_package_is_taken_apart() {
        let bytes = package(&manifest("hello"));
        let package = parse(&bytes, "hello").unwrap();
        assert_eq!(package.manifest, manifest("hello"));
        assert_eq!(package.contents.len(), 3 * 4096);
        assert_eq!(package.memory_pages, 256);
        assert_eq!(package.origin.arguments, b"--verbose\0\0LEVEL=info\0");
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = package(&manifest("hello"));
        for len in (0..bytes.len() - 1024).step_by(97) {
            assert!(parse(&bytes[..len], "hello").is_err(), "{len}");
        }
    }

    #[test]
    fn no_flipped_bit_panics() {
        let bytes = package(&manifest("hello"));
        for bit in (0..8 * 2048).chain(8 * (bytes.len() - 3072)..8 * bytes.len()) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            drop(parse(&bytes, "hello"));
        }
    }

    #[test]
    fn missing_double_and_unknown_entries_are_named() {
        let json = serde_json::to_vec(&manifest("hello")).unwrap();
        let (image, id) = (image(), fixtures::build_id());
        let all: [(&str, &[u8]); 3] = [
            (MANIFEST_ENTRY, &json),
            (IMAGE_ENTRY, &image),
            (BUILD_ID_ENTRY, id.as_bytes()),
        ];
        for (missing, (name, _)) in all.iter().enumerate() {
            let rest = all
                .iter()
                .copied()
                .enumerate()
                .filter(|(index, _)| *index != missing);
            let message = refusal(&tar(rest.map(|(_, entry)| entry)));
            assert!(message.contains(&format!("no entry `{name}`")), "{message}");
        }
        let twice = refusal(&tar(all.into_iter().chain([all[0]])));
        assert!(twice.contains("`manifest.json` twice"), "{twice}");
        let unknown = refusal(&tar(all.into_iter().chain([("../etc", &b""[..])])));
        assert!(unknown.contains("unknown entry `../etc`"), "{unknown}");
    }

    #[test]
    fn an_image_that_contradicts_its_header_is_refused() {
        let json = serde_json::to_vec(&manifest("hello")).unwrap();
        let id = fixtures::build_id();
        let with = |image: &[u8]| {
            refusal(&tar([
                (MANIFEST_ENTRY, &json[..]),
                (IMAGE_ENTRY, image),
                (BUILD_ID_ENTRY, id.as_bytes()),
            ]))
        };
        assert!(with(&image()[..63]).contains("too short"));
        assert!(with(&image()[..2 * 4096]).contains("header says"));
        assert!(with(&[0; 4 * 4096]).contains("does not start like"));
        let mut other_abi = image();
        other_abi[8] = 9;
        assert!(with(&other_abi).contains("ABI version 9"));
        let mut other_build = image();
        other_build[40] ^= 1;
        assert!(with(&other_build).contains("do not belong together"));
    }

    #[test]
    fn a_package_of_another_service_is_refused() {
        assert!(refusal(&package(&manifest("other"))).contains("service `other`, not `hello`"));
    }

    #[test]
    fn arguments_that_are_too_long_are_refused() {
        let mut manifest = manifest("hello");
        manifest.arguments = alloc::vec!["x".repeat(3000), "y".repeat(100)];
        assert!(refusal(&package(&manifest)).contains("at most 3072"));
    }
}
