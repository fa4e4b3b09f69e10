//! Satisfies `-lc` and its like, which `std` and the `libc` crate ask for, with archives of nothing:
//! the functions are in `denali-rt`, under the same names.

use std::path::PathBuf;
use std::{env, fs, io};

/// The libraries, as `std` and the `libc` crate name them.
const LIBRARIES: [&str; 9] = [
    "c", "dl", "gcc", "gcc_eh", "gcc_s", "m", "pthread", "rt", "util",
];

/// An archive without members.
const EMPTY: &[u8] = b"!<arch>\n";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_DENALI").is_none() {
        return Ok(());
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    for library in LIBRARIES {
        fs::write(folder.join(format!("lib{library}.a")), EMPTY)?;
    }
    println!("cargo::rustc-link-search=native={}", folder.display());
    Ok(())
}
