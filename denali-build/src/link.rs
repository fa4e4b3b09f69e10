//! Flags that make rustc and the linker produce a guest.
//!
//! The toolchain's own `rust-lld` links: unlike `cc` it knows no libc, so that a dependency that
//! needs one fails to link instead of failing to start.

use anyhow::{Context, Result};
use std::env;
use std::path::{Path, PathBuf};

/// The linker script of guests.
const SCRIPT: &str = include_str!("guest.ld");

/// What comes before it for programs whose panics abort.
const ABORT_SCRIPT: &str = include_str!("abort.ld");

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
        let present = std::fs::read_to_string(&path);
        if !present.is_ok_and(|text| text == *script) {
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, script))
                .with_context(|| format!("writing `{}`", path.display()))?;
        }
        Ok(path)
    };
    scripts.iter().map(write).collect()
}

/// Returns the compiler's flags for a guest, in the form of `CARGO_ENCODED_RUSTFLAGS`.
///
/// The caller's own flags come first, so that ours win.
pub(crate) fn encoded_rustflags(
    scripts: &[PathBuf],
    library: Library,
    remaps: &[Remap<'_>],
) -> String {
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
    for script in scripts {
        flags.push(format!("-Clink-arg=-T{}", script.display()));
    }
    // The last match wins, so the innermost folder comes last.
    let mut remaps = remaps.to_vec();
    remaps.sort_by_key(|(from, _)| from.as_os_str().len());
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
