//! Packs the SDK, the sources that projects and hosts are built from, into one `tar`.
//!
//! `src/sdk.rs` embeds it, so that an installed `cargo-denali` needs no checkout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the SDK consists of, relative to the root of the repository.
const PARTS: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "denali-rt",
    "denali-std",
    "host-kernel",
    "templates",
];

fn main() -> io::Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let archive = PathBuf::from(variable("OUT_DIR")).join("sdk.tar");
    let mut builder = tar::Builder::new(fs::File::create(archive)?);
    for part in PARTS {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
        add(&mut builder, &root, Path::new(part))?;
    }
    builder.finish()
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("cargo sets it for build scripts")
}

/// Adds a file, or a folder's files in order of name.
fn add(builder: &mut tar::Builder<fs::File>, root: &Path, path: &Path) -> io::Result<()> {
    let full = root.join(path);
    if !full.is_dir() {
        return add_file(builder, path, &fs::read(full)?);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&full)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let is_package = full.join("Cargo.toml").exists();
    for name in names {
        let text = name.to_string_lossy();
        let tests_only = is_package && (text == "tests" || text == "benches");
        let hidden = text.starts_with('.') && text != ".gitignore";
        if text != "target" && !tests_only && !hidden {
            add(builder, root, &path.join(&name))?;
        }
    }
    Ok(())
}

fn add_file(builder: &mut tar::Builder<fs::File>, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(contents.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    builder.append_data(&mut header, path, contents)
}
