//! The SDK inside this program: the sources that projects and hosts are built from.
//!
//! `build.rs` packs them. A project gets the guest part in its `.denali` folder, a host is built
//! from the host part in a cache folder; neither needs a checkout.

use crate::image::hexadecimal;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item};

static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sdk.tar"));

/// A choice of the SDK's packages that is a cargo workspace by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What a service is built from.
    Guest,
    /// What a host is built from: kernel, supervisor and all of the guest part.
    Host,
}

impl Part {
    /// The members of the workspace.
    const fn members(self) -> &'static [&'static str] {
        match self {
            Self::Guest => &[
                "denali-rt",
                "denali-rt/macros",
                "denali-std",
                "host-kernel/abi",
                "host-kernel/freestanding",
            ],
            Self::Host => &[
                "denali-rt",
                "denali-rt/macros",
                "denali-std",
                "host-kernel",
                "host-kernel/abi",
                "host-kernel/core",
                "host-kernel/freestanding",
                "host-kernel/supervisor",
                "host-kernel/supervisor/protocol",
                "host-kernel/supervisor/shell",
                "host-kernel/supervisor/store",
                "host-kernel/supervisor/zssh",
            ],
        }
    }
}

/// Returns a name for this SDK: equal sources, equal name.
pub(crate) fn digest() -> String {
    hexadecimal(&Sha256::digest(ARCHIVE)[..8])
}

/// Returns the SDK's files below `prefix`, with their paths relative to it.
pub(crate) fn files(prefix: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(Cursor::new(ARCHIVE))
        .entries()
        .context("reading the SDK")?
    {
        let mut entry = entry.context("reading the SDK")?;
        let path = entry.path().context("reading the SDK")?.into_owned();
        if let Ok(relative) = path.strip_prefix(prefix) {
            let mut contents = Vec::new();
            entry
                .read_to_end(&mut contents)
                .context("reading the SDK")?;
            files.push((relative.to_owned(), contents));
        }
    }
    Ok(files)
}

/// Returns one of the SDK's files.
pub(crate) fn file(path: &str) -> Result<Vec<u8>> {
    let mut files = files(path)?;
    let (_, contents) = files
        .pop()
        .with_context(|| format!("the SDK has no `{path}`"))?;
    Ok(contents)
}

/// Makes `folder` a workspace with a part of the SDK.
///
/// Files that are right already keep their time, so that cargo builds only what changed; files that
/// do not belong there are removed.
pub(crate) fn unpack(part: Part, folder: &Path) -> Result<()> {
    let mut wanted: BTreeMap<PathBuf, Vec<u8>> = files("")?
        .into_iter()
        .filter(|(path, _)| belongs(part, path))
        .collect();
    for (_, contents) in wanted
        .iter_mut()
        .filter(|(path, _)| path.ends_with("Cargo.toml"))
    {
        *contents = without_tests(contents)?;
    }
    wanted.insert("Cargo.toml".into(), workspace_manifest(part)?.into_bytes());
    remove_others(folder, folder, &wanted)?;
    for (path, contents) in wanted {
        let path = folder.join(path);
        if !fs::read(&path).is_ok_and(|present| present == contents) {
            write(&path, &contents)?;
        }
    }
    Ok(())
}

/// Removes the files below `folder` that are not `wanted` (paths relative to `root`), except the
/// lock file, which is cargo's.
fn remove_others(root: &Path, folder: &Path, wanted: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry.context("looking through the SDK's folder")?.path();
        let relative = path.strip_prefix(root).unwrap_or(&path);
        if path.is_dir() {
            remove_others(root, &path, wanted)?;
        } else if !wanted.contains_key(relative) && relative != Path::new("Cargo.lock") {
            fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// Writes a file and makes the folders above it.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let above = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(above)
        .and_then(|()| fs::write(path, contents))
        .with_context(|| format!("writing `{}`", path.display()))
}

/// Returns whether the innermost package around `path` is a member of `part`.
fn belongs(part: Part, path: &Path) -> bool {
    let innermost = path.ancestors().skip(1).find_map(|folder| {
        Part::Host
            .members()
            .iter()
            .find(|member| Path::new(member) == folder)
    });
    innermost.is_some_and(|member| part.members().contains(member))
}

/// Returns a package's manifest without what its tests and benches need: the SDK has neither.
fn without_tests(manifest: &[u8]) -> Result<Vec<u8>> {
    let text = str::from_utf8(manifest).context("reading the SDK's manifests")?;
    let mut document: DocumentMut = text.parse().context("reading the SDK's manifests")?;
    for table in ["dev-dependencies", "test", "bench"] {
        document.remove(table);
    }
    Ok(document.to_string().into_bytes())
}

/// Returns the root manifest with the members of `part` alone.
fn workspace_manifest(part: Part) -> Result<String> {
    let text = String::from_utf8(file("Cargo.toml")?).context("reading the SDK's manifest")?;
    let mut document: DocumentMut = text.parse().context("reading the SDK's manifest")?;
    let workspace = document["workspace"]
        .as_table_mut()
        .context("the SDK has no workspace")?;
    let members: toml_edit::Array = part.members().iter().copied().collect();
    workspace.remove("default-members");
    workspace.insert("members", toml_edit::value(members));
    if let Some(dependencies) = workspace
        .get_mut("dependencies")
        .and_then(Item::as_table_mut)
    {
        dependencies.retain(|_, dependency| {
            dependency
                .get("path")
                .and_then(Item::as_str)
                .is_none_or(|path| part.members().contains(&path))
        });
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_part_is_a_workspace_of_its_packages() {
        let folder = tempfile::tempdir().unwrap();
        unpack(Part::Guest, folder.path()).unwrap();
        for member in Part::Guest.members() {
            assert!(
                folder.path().join(member).join("Cargo.toml").exists(),
                "{member}"
            );
            assert!(folder.path().join(member).join("src").exists(), "{member}");
        }
        assert!(!folder.path().join("host-kernel/Cargo.toml").exists());
        assert!(!folder.path().join("host-kernel/src").exists());
        let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("test-harness"), "{manifest}");
        assert!(manifest.contains("[workspace.lints.rust]"), "{manifest}");
    }

    #[test]
    fn the_sdk_needs_nothing_that_is_for_tests_alone() {
        let manifest = "[package]\nname = \"a\"\n\n[dev-dependencies]\nb = \"1\"\n\n\
            [[bench]]\nname = \"c\"\n\n[lints]\nworkspace = true\n";
        let left = without_tests(manifest.as_bytes()).unwrap();
        let expected = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(String::from_utf8(left).unwrap(), expected);
    }

    #[test]
    fn unpacking_again_touches_only_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        unpack(Part::Guest, folder.path()).unwrap();
        let kept = folder.path().join("denali-rt/Cargo.toml");
        let time = fs::metadata(&kept).unwrap().modified().unwrap();
        let stranger = folder.path().join("denali-rt/src/bin/stranger.rs");
        write(&stranger, b"").unwrap();
        let changed = folder.path().join("denali-rt/src/lib.rs");
        fs::write(&changed, "").unwrap();
        unpack(Part::Guest, folder.path()).unwrap();
        assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), time);
        assert!(!stranger.exists());
        assert!(!fs::read(&changed).unwrap().is_empty());
    }

    #[test]
    fn the_host_part_has_kernel_and_supervisor() {
        let folder = tempfile::tempdir().unwrap();
        unpack(Part::Host, folder.path()).unwrap();
        for file in [
            "host-kernel/src/main.rs",
            "host-kernel/supervisor/src/main.rs",
        ] {
            assert!(folder.path().join(file).exists(), "{file}");
        }
    }
}
