//! Embeds the files under `static/` into the program, with their media types and entity tags, as they
//! are and, where that is worth it, compressed.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

const ROOT: &str = "static";

fn main() {
    println!("cargo::rerun-if-changed={ROOT}");
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join(ROOT);
    let mut files = Vec::new();
    collect(&root, &mut files);
    // In order of path, by which the server finds them.
    files.sort_by_key(|file| url_path(file.strip_prefix(&root).expect("it lies below the root")));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));

    let mut table = String::from("[\n");
    for file in &files {
        let contents = fs::read(file).expect("a file just listed");
        let path = url_path(file.strip_prefix(&root).expect("it lies below the root"));
        let tag = fnv1a(&contents);
        let plain = variant(&format!("{tag:016x}"), file);
        let gzip = match compress(&contents) {
            None => "None".to_owned(),
            Some(compressed) => {
                let file = out.join(format!("{tag:016x}.gz"));
                fs::write(&file, compressed).expect("cargo's output directory is writable");
                format!("Some({})", variant(&format!("{tag:016x}-gzip"), &file))
            }
        };
        let media_type = media_type(file);
        writeln!(
            table,
            "Asset {{ path: {path:?}, media_type: {media_type:?}, plain: {plain}, gzip: {gzip} }},"
        )
        .expect("writing to a string");
    }
    table.push_str("]\n");
    fs::write(out.join("assets.rs"), table).expect("cargo's output directory is writable");
}

fn variant(tag: &str, file: &Path) -> String {
    format!("Variant {{ etag: \"\\\"{tag}\\\"\", contents: include_bytes!({file:?}) }}")
}

/// Returns the contents compressed with gzip if that saves a tenth or more; the same bytes for the
/// same contents.
fn compress(contents: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(contents).expect("writing to memory");
    let compressed = encoder.finish().expect("writing to memory");
    (compressed.len() < contents.len() / 10 * 9).then_some(compressed)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("`static/` exists") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Returns the URL path of a file; `index.html` stands for its directory.
fn url_path(file: &Path) -> String {
    let path = format!("/{}", file.to_str().expect("file names are UTF-8").replace('\\', "/"));
    match path.strip_suffix("index.html") {
        Some(directory) if directory.ends_with('/') => directory.to_owned(),
        _ => path,
    }
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

/// The 64-bit FNV-1a hash: stable across compilers, good enough to tell versions of a file apart.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
