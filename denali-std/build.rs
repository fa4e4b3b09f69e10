//! Satisfies `-lc` and its like, which `std` and the `libc` crate ask for, with archives of nothing:
//! the functions are in `denali-rt`, under the same names. And packs files into the image.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The libraries, as `std` and the `libc` crate name them.
const LIBRARIES: [&str; 9] = [
    "c", "dl", "gcc", "gcc_eh", "gcc_s", "m", "pthread", "rt", "util",
];

/// An archive without members.
const EMPTY: &[u8] = b"!<arch>\n";

/// Names the files to pack, as `cargo denali build` sets it: a line for each, with its path in the VM, a
/// tab, and its path here; in order of the first.
const FILES: &str = "DENALI_FILES";

/// Names the volumes with files, as `cargo denali build` sets it: a line for each.
const VOLUMES: &str = "DENALI_VOLUMES";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={FILES}");
    println!("cargo::rerun-if-env-changed={VOLUMES}");
    println!("cargo::rustc-check-cfg=cfg(denali_volumes)");
    if env::var_os("CARGO_CFG_DENALI").is_none() {
        return Ok(());
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    for library in LIBRARIES {
        fs::write(folder.join(format!("lib{library}.a")), EMPTY)?;
    }
    println!("cargo::rustc-link-search=native={}", folder.display());
    name_volumes(&env::var(VOLUMES).unwrap_or_default(), &folder)?;
    pack(&env::var(FILES).unwrap_or_default(), &folder)
}

/// Writes the names of volumes for `src/volumes/`, which is there only if there are any.
fn name_volumes(list: &str, folder: &Path) -> io::Result<()> {
    let names: Vec<&str> = list.lines().collect();
    if !names.is_empty() {
        println!("cargo::rustc-cfg=denali_volumes");
    }
    let text = format!("static VOLUMES: &[&str] = &{names:?};\n");
    write_if_changed(&folder.join("volumes.rs"), &text)
}

/// Writes a table of the files for `src/files.rs`; their contents are the compiler's to read.
fn pack(list: &str, folder: &Path) -> io::Result<()> {
    let mut table = String::new();
    for line in list.lines() {
        let (path, source) = line.split_once('\t').unwrap_or((line, line));
        let entry = writeln!(table, "    ({path:?}, include_bytes!({source:?})),");
        entry.expect("writing to a String succeeds");
    }
    let text = format!("static FILES: &[files::Packed] = &[\n{table}];\n");
    write_if_changed(&folder.join("files.rs"), &text)
}

/// Writes a file, or leaves it alone if nothing changed, so that nothing is built again.
fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    fs::write(path, text)
}
