//! Flags that make rustc and the linker produce a guest.
//!
//! The toolchain's own `rust-lld` links: unlike `cc` it knows no libc, so that a dependency that
//! needs one fails to link instead of failing to start.

use anyhow::{Context, Result};
use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The linker script of guests.
const SCRIPT: &str = include_str!("guest.ld");

/// What comes before it for programs whose panics abort.
const ABORT_SCRIPT: &str = include_str!("abort.ld");

/// The program that runs the compiler, given to cargo as its `RUSTC_WRAPPER`.
const WRAPPER: &str = include_str!("rustc.sh");

/// Tells [`WRAPPER`] the project's folder.
pub(crate) const PROJECT_VARIABLE: &str = "DENALI_PROJECT";

/// Tells [`WRAPPER`] where cargo keeps what it builds on the way.
pub(crate) const BUILD_VARIABLE: &str = "DENALI_BUILD";

/// Tells [`WRAPPER`] the wrapper that the caller has asked for.
pub(crate) const WRAPPER_VARIABLE: &str = "DENALI_RUSTC_WRAPPER";

/// The target guests are built for, whose precompiled `core` and `alloc` come with the toolchain.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A folder whose name must not show in the image, and what stands for it.
pub(crate) type Remap<'a> = (&'a Path, &'static str);

/// What lies between a program and `denali-rt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// Nothing: the program is `no_std`, or C.
    None,
    /// `std`, by way of the crate `denali-std`.
    Std,
}

/// The crate by which a program has `std`.
pub(crate) const STD_CRATE: &str = "denali-std";

/// Writes the linker scripts of a program with `library` into `folder`, and returns their paths in the
/// order the linker reads them.
pub(crate) fn write_scripts(folder: &Path, library: Library) -> Result<Vec<PathBuf>> {
    let scripts: &[(&str, &str)] = match library {
        Library::None => &[("abort.ld", ABORT_SCRIPT), ("guest.ld", SCRIPT)],
        Library::Std => &[("guest.ld", SCRIPT)],
    };
    let write = |(name, script): &(&str, &str)| {
        let path = folder.join(name);
        write(&path, script).map(|()| path)
    };
    scripts.iter().map(write).collect()
}

/// Writes a file unless it has this text already.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("writing `{}`", path.display()))
}

/// Writes the program that runs the compiler into `folder`, and returns its path.
pub(crate) fn write_wrapper(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("rustc.sh");
    write(&path, WRAPPER)?;
    let executable = Permissions::from_mode(0o755);
    fs::set_permissions(&path, executable)
        .with_context(|| format!("making `{}` a program", path.display()))?;
    Ok(path)
}

/// Returns what the linker of a guest is told, as arguments of the compiler.
pub(crate) fn script_arguments(scripts: &[PathBuf]) -> impl Iterator<Item = String> + '_ {
    let argument = |script: &PathBuf| format!("-Clink-arg=-T{}", script.display());
    scripts.iter().map(argument)
}

/// Returns the compiler's flags for a guest, in the form of `CARGO_ENCODED_RUSTFLAGS`.
///
/// They are the same for every project of this machine, so that projects with one build folder share
/// what they depend on. The caller's own flags come first, so that ours win.
pub(crate) fn encoded_rustflags(library: Library, remaps: &[Remap<'_>]) -> String {
    let mut flags = callers_flags();
    let fixed = [
        "--cfg=denali",
        "--cfg=rustix_use_libc",
        "-Clinker=rust-lld",
        "-Clinker-flavor=ld.lld",
        "-Crelocation-model=static",
        // A panic's backtrace follows frame pointers.
        "-Cforce-frame-pointers=yes",
        "-Clink-arg=-static",
        "-Clink-arg=--no-dynamic-linker",
        "-Clink-arg=--build-id=sha1",
        "-Clink-arg=-zmax-page-size=4096",
    ];
    flags.extend(fixed.map(str::to_owned));
    // With `std` there is a C library below, which has the function of that name.
    let randomness = match library {
        Library::None => "custom",
        Library::Std => "linux_getrandom",
    };
    flags.push(format!("--cfg=getrandom_backend=\"{randomness}\""));
    if library == Library::Std {
        flags.push("--cfg=denali_std".to_owned());
        // The unwinder finds a function's table by it.
        flags.push("-Clink-arg=--eh-frame-hdr".to_owned());
    }
    for (from, to) in remaps {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    flags.join("\u{1f}")
}

fn callers_flags() -> Vec<String> {
    let split = |text: String, separator: fn(char) -> bool| {
        text.split(separator)
            .filter(|flag| !flag.is_empty())
            .map(str::to_owned)
            .collect()
    };
    if let Ok(encoded) = env::var("CARGO_ENCODED_RUSTFLAGS") {
        return split(encoded, |c| c == '\u{1f}');
    }
    env::var("RUSTFLAGS").map_or_else(|_| Vec::new(), |flags| split(flags, char::is_whitespace))
}
