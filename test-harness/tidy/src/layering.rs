//! Which way dependencies point between our crates.

use super::Finding;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// What each crate of ours may depend on, among ours.
const ALLOWED: [(&str, &[&str]); 18] = [
    ("denali-abi", &[]),
    ("denali-freestanding", &[]),
    ("denali-protocol", &["denali-abi"]),
    ("denali-shell", &[]),
    ("denali-store", &[]),
    ("denali-chart", &[]),
    ("denali-kernel-core", &["denali-abi"]),
    (
        "host-kernel",
        &["denali-abi", "denali-freestanding", "denali-kernel-core"],
    ),
    ("denali-rt-macros", &[]),
    ("zssh", &[]),
    (
        "denali-rt",
        &["denali-abi", "denali-freestanding", "denali-rt-macros"],
    ),
    ("denali-std", &["denali-rt"]),
    (
        "denali-supervisor",
        &[
            "denali-abi",
            "denali-protocol",
            "denali-rt",
            "denali-shell",
            "denali-store",
            "zssh",
        ],
    ),
    ("denali-build", &["denali-abi", "denali-protocol"]),
    ("denali-guests", &["denali-abi", "denali-rt"]),
    ("denali-attacks", &["denali-abi", "denali-rt"]),
    ("denali-tidy", &["denali-abi"]),
    (
        "test-harness",
        &[
            "denali-abi",
            "denali-attacks",
            "denali-build",
            "denali-chart",
            "denali-protocol",
            "denali-tidy",
        ],
    ),
];

/// Crates from elsewhere that the kernel may link, and why each is there.
pub const KERNEL_DEPENDENCIES: [(&str, &str); 8] = [
    (
        "x86_64",
        "names and encodings of the processor's registers and tables",
    ),
    ("talc", "the kernel heap"),
    ("log", "the logging facade"),
    ("aes", "encryption of volumes and the store at rest"),
    ("chacha20", "the random generator"),
    (
        "chacha20poly1305",
        "encryption and authentication of blocks on disks",
    ),
    (
        "zerocopy",
        "plain data to bytes and back without unsafe code",
    ),
    ("heapless", "bounded collections before there is a heap"),
];

/// Checks the arrows between our crates and the kernel's dependencies.
///
/// # Errors
///
/// If cargo cannot describe the workspace.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let example = package.manifest_path.as_str().contains("/examples/");
        let permitted = match allowed.get(name) {
            Some(permitted) => permitted,
            None if example => &["denali-rt"][..],
            None => {
                findings.push(finding(
                    package,
                    format!("crate `{name}` has no place in the layering"),
                ));
                continue;
            }
        };
        let kernel = matches!(name, "host-kernel" | "denali-kernel-core" | "denali-abi");
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind == cargo_metadata::DependencyKind::Normal)
        {
            let dependency = dependency.name.as_str();
            if allowed.contains_key(dependency) && !permitted.contains(&dependency) {
                findings.push(finding(
                    package,
                    format!("`{name}` must not depend on `{dependency}`"),
                ));
            }
            let known = allowed.contains_key(dependency)
                || KERNEL_DEPENDENCIES
                    .iter()
                    .any(|(known, _)| *known == dependency);
            if kernel && !known {
                findings.push(finding(
                    package,
                    format!("`{dependency}` is not among the kernel's crates"),
                ));
            }
        }
    }
    Ok(findings)
}

fn finding(package: &cargo_metadata::Package, message: String) -> Finding {
    Finding {
        path: package.manifest_path.clone().into_std_path_buf(),
        line: 0,
        message,
    }
}
