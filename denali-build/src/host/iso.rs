//! An ISO image that boots as a host: GRUB, kernel and boot module, for BIOS and UEFI machines.

use super::boot::{self, NetworkSettings};
use super::{artifacts, keys::Keys};
use crate::failure::{Failure, Status};
use crate::{directories, install, interrupt};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// GRUB's menu: one entry, at once.
const GRUB_CONFIG: &str = "\
set timeout=0
menuentry \"Denali\" {
    multiboot2 /boot/kernel
    module2 /boot/module
    boot
}
";

/// Writes the image; an existing file is replaced as a whole.
///
/// # Errors
///
/// A setting is malformed, a tool is missing and cannot be installed, or the file cannot be
/// written.
pub fn write(path: &Path, name: &str, settings: NetworkSettings) -> Result<()> {
    check(&settings)?;
    install::ensure(&install::ISO_TOOLS)?;
    let artifacts = artifacts::build()?;
    let config = boot::config(name, settings, &Keys::load()?)?;
    let supervisor = fs::read(&artifacts.supervisor)
        .with_context(|| format!("reading `{}`", artifacts.supervisor.display()))?;

    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let scratch = tempfile::Builder::new()
        .prefix(".denali-iso-")
        .tempdir_in(folder.unwrap_or(Path::new(".")))
        .with_context(|| format!("making a folder beside `{}`", path.display()))?;
    let root = scratch.path().join("root");
    let boot = root.join("boot");
    directories::create_private(&boot.join("grub"))?;
    let module = boot::module(&supervisor, &config)?;
    directories::write(&boot.join("module"), &module, directories::PRIVATE)?;
    fs::copy(&artifacts.kernel, boot.join("kernel")).context("copying the kernel")?;
    directories::write(
        &boot.join("grub/grub.cfg"),
        GRUB_CONFIG.as_bytes(),
        directories::PUBLIC,
    )?;

    let iso = scratch.path().join("host.iso");
    let output = Command::new("grub-mkrescue")
        .arg("-o")
        .args([&iso, &root])
        .stdin(Stdio::null())
        .output()
        .context("starting grub-mkrescue")?;
    interrupt::check()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().last().unwrap_or_default();
        anyhow::bail!("grub-mkrescue does not make the image: {last}");
    }
    fs::set_permissions(&iso, fs::Permissions::from_mode(directories::PRIVATE))
        .and_then(|()| fs::rename(&iso, path))
        .with_context(|| format!("writing `{}`", path.display()))
}

/// Checks the addresses, so that a mistake shows here and not on a machine without a keyboard.
fn check(settings: &NetworkSettings) -> Result<(), Failure> {
    let wrong = |name: &str, text: &str, example: &str| {
        Failure::new(Status::Usage, format!("--{name} `{text}` is malformed"))
            .help(format!("for example --{name} {example}"))
    };
    if let Some(text) = &settings.address {
        let parts = text.split_once('/');
        let sound = parts.is_some_and(|(address, prefix)| {
            address.parse::<std::net::Ipv4Addr>().is_ok()
                && prefix
                    .parse::<u8>()
                    .is_ok_and(|length| (1..=30).contains(&length))
        });
        if !sound {
            return Err(wrong("address", text, "192.0.2.7/24"));
        }
    }
    let others = [
        ("gateway", &settings.gateway),
        ("dns", &settings.dns),
        ("pool", &settings.pool),
    ];
    for (name, value) in others {
        if let Some(text) = value
            && text.parse::<std::net::Ipv4Addr>().is_err()
        {
            return Err(wrong(name, text, "192.0.2.1"));
        }
    }
    Ok(())
}
