//! Compiles the C files of `src` for the VM: with the headers of the SDK, and none of this machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The headers of Denali's C library.
const HEADERS: &str = ".denali/denali-rt/include";

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed={HEADERS}");
    // Plain `cargo build` and `cargo clippy` have no use for the program.
    if std::env::var_os("CARGO_CFG_DENALI").is_some()
        && let Err(problem) = compile()
    {
        println!("cargo::error={problem}");
    }
}

fn compile() -> Result<(), String> {
    let project = std::env::current_dir().map_err(|error| error.to_string())?;
    let mut build = cc::Build::new();
    let compiler = build.try_get_compiler().map_err(|_| no_compiler())?;
    // `stdarg.h` and its like belong to the compiler, not to a C library.
    let own = Command::new(compiler.path()).arg("-print-file-name=include").output();
    let own = own.map_err(|_| no_compiler())?;
    let own = String::from_utf8_lossy(&own.stdout).trim().to_owned();
    build
        .files(c_files(Path::new("src"))?)
        .pic(false)
        .force_frame_pointer(true)
        .warnings(true)
        .flags(["-std=gnu17", "-nostdinc", "-isystem", HEADERS, "-isystem", &own])
        .flags(["-fno-stack-protector", "-U_FORTIFY_SOURCE"])
        .flags(["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"])
        .flag(format!("-ffile-prefix-map={}=/project", project.display()))
        .try_compile("program")
        .map_err(|error| format!("the C program does not compile: {error}"))
}

fn no_compiler() -> String {
    "no C compiler found: install one (`sudo apt install gcc`), or name yours in CC".to_owned()
}

/// Returns the C files of a folder, in order of name.
fn c_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("reading `src`: {error}"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_c = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
    let mut files: Vec<_> = paths.filter(is_c).collect();
    files.sort();
    Ok(files)
}
