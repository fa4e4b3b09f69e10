//! Programs this project did not write, as clients and as measures of what is right.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Returns the path of a program, installing the Debian package it comes in if it is missing and
/// this is root.
///
/// # Panics
///
/// If it is missing and cannot be installed.
#[must_use]
pub fn program(name: &str, package: &str) -> PathBuf {
    find(name).unwrap_or_else(|| {
        install(package);
        find(name).unwrap_or_else(|| panic!("`{package}` has no `{name}`"))
    })
}

/// Installs a Debian package.
///
/// # Panics
///
/// If this is not root, or it cannot be had.
pub fn install(package: &str) {
    // Another suite may be installing something at this moment.
    let install = [
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
        "install",
        "-y",
        "--no-install-recommends",
        package,
    ];
    let hint = install.join(" ");
    assert!(is_root(), "`{package}` is missing; install it: sudo {hint}");
    run(Command::new(install[0]).args(&install[1..]));
}

/// Returns the Python of a virtual environment in `folder` that has `package`.
///
/// # Panics
///
/// If there is no Python, or the package cannot be had.
#[must_use]
pub fn python_with(package: &str, folder: &Path) -> PathBuf {
    python_with_module(package, package, folder)
}

/// Like [`python_with`], for a package whose module has another name.
///
/// # Panics
///
/// As [`python_with`].
#[must_use]
pub fn python_with_module(package: &str, module: &str, folder: &Path) -> PathBuf {
    let python = folder.join("bin/python");
    let imports = |python: &Path| {
        let import = format!("import {module}");
        let mut command = Command::new(python);
        command.args(["-c", &import]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !imports(&python) {
        let system = program("python3", "python3-venv");
        run(Command::new(system).args(["-m", "venv"]).arg(folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]));
    }
    assert!(
        imports(&python),
        "`{package}` is missing; install it: {} -m pip install {package}",
        python.display()
    );
    python
}

/// Runs a command, which must succeed, and returns what it wrote.
///
/// # Panics
///
/// If it fails.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
