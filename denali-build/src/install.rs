//! Installs what is missing on this machine, where that is possible without asking.

use crate::console;
use crate::failure::{Failure, Status};
use anyhow::{Context, Result};
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program, or a file that must exist, and the Debian package it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    /// A program on the path, or an absolute path.
    pub(crate) file: &'static str,
    /// Debian's package.
    pub(crate) package: &'static str,
}

/// What runs hosts.
pub(crate) const QEMU: Requirement = Requirement {
    file: crate::qemu::PROGRAM,
    package: "qemu-system-x86",
};

/// What makes bootable images.
pub(crate) const ISO_TOOLS: [Requirement; 5] = [
    Requirement {
        file: "grub-mkrescue",
        package: "grub-common",
    },
    Requirement {
        file: "/usr/lib/grub/i386-pc",
        package: "grub-pc-bin",
    },
    Requirement {
        file: "/usr/lib/grub/x86_64-efi",
        package: "grub-efi-amd64-bin",
    },
    Requirement {
        file: "xorriso",
        package: "xorriso",
    },
    Requirement {
        file: "mformat",
        package: "mtools",
    },
];

/// Installs what is missing through apt, as root or by a sudo that does not ask.
///
/// # Errors
///
/// Something is missing and cannot be installed: [`Status::Usage`], with the command to type.
pub(crate) fn ensure(requirements: &[Requirement]) -> Result<()> {
    let missing: Vec<&str> = requirements
        .iter()
        .filter(|requirement| !is_there(requirement.file))
        .map(|requirement| requirement.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let by_hand = || {
        Failure::new(
            Status::Usage,
            format!("missing on this machine: {packages}"),
        )
        .help(format!("install it: sudo apt-get install -y {packages}"))
    };
    let prefix: &[&str] = match privilege() {
        _ if !is_there("apt-get") => return Err(by_hand().into()),
        Privilege::Root => &[],
        Privilege::Sudo => &["sudo", "-n"],
        Privilege::None => return Err(by_hand().into()),
    };
    console::status("Installing", &format!("{packages} (apt-get)"));
    // The list of packages may be old or empty; that shows in the next command.
    apt_get(prefix, &["update", "-q"])?;
    crate::interrupt::check()?;
    let install = [
        &["install", "-qy", "--no-install-recommends"],
        missing.as_slice(),
    ]
    .concat();
    if !apt_get(prefix, &install)? || requirements.iter().any(|needed| !is_there(needed.file)) {
        crate::interrupt::check()?;
        return Err(by_hand().into());
    }
    Ok(())
}

enum Privilege {
    Root,
    Sudo,
    None,
}

fn privilege() -> Privilege {
    let succeeds = |program: &str, arguments: &[&str]| {
        let command = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        command.ok().filter(|output| output.status.success())
    };
    if succeeds("id", &["-u"]).is_some_and(|output| output.stdout.trim_ascii() == b"0") {
        Privilege::Root
    } else if succeeds("sudo", &["-n", "true"]).is_some() {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

/// Runs apt-get with its output on standard error, and returns whether it succeeded.
fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<bool> {
    let words = [
        prefix,
        &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"],
        // A fresh machine often upgrades itself at this moment.
        &["-o", "DPkg::Lock::Timeout=300"],
        arguments,
    ]
    .concat();
    let status = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .context("starting apt-get")?;
    Ok(status.success())
}

fn is_there(file: &str) -> bool {
    if file.starts_with('/') {
        return Path::new(file).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(file).is_file())
}
