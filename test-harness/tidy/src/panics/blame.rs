//! Which function a call that panics is blamed on.
//!
//! The compiler inlines and merges as it likes, and differently from folder to folder: names of
//! symbols have hashes of paths in them, and the order of functions follows from these. So the chain
//! of inlined functions decides, which the line tables keep, and not the symbol the call ended in.

use super::allowed;
use addr2line::Loader;
use anyhow::{Result, anyhow};

/// A folder in the path of every source file of the kernel.
const OURS: &str = "/host-kernel/";

/// A folder in the path of every source file of the standard library.
const LIBRARY: &str = "/library/";

/// A folder in the path of third parties' sources; registries lie in it.
const THIRD_PARTIES: &str = "/registry/src/";

/// A function of the source that an instruction belongs to.
struct Place {
    is_ours: bool,
    /// File and function, as in [`allowed::ALLOWED`].
    name: String,
    line: u32,
}

/// Returns the place to blame for a call in a function of the kernel, as file and function, and the
/// line.
///
/// It is the innermost function of ours, unless a library's function further in is argued for. A call
/// that the compiler merged from several has no line; then it is the function around it.
pub(super) fn place(lines: &Loader, call: u64, function: (&str, u64)) -> Result<(String, u32)> {
    let (symbol, start) = function;
    let blamed = |place: &Place| place.is_ours || allowed::find(&place.name).is_some();
    let mut place = chain(lines, call, symbol)?.into_iter().find(blamed);
    if place.is_none() {
        place = chain(lines, start, symbol)?.pop();
    }
    Ok(place.map_or_else(|| (symbol.to_owned(), 0), |place| (place.name, place.line)))
}

/// Returns the functions that an instruction belongs to, innermost first.
fn chain(lines: &Loader, address: u64, symbol: &str) -> Result<Vec<Place>> {
    let frames = lines.find_frames(address);
    let mut frames = frames.map_err(|error| anyhow!("line tables: {error}"))?;
    let mut chain = Vec::new();
    while let Some(frame) = frames.next()? {
        let Some(location) = frame.location else {
            continue;
        };
        // Line tables name a function only where others were inlined into it.
        let function = frame.function.as_ref().map(|name| name.demangle());
        let function = function.transpose()?;
        let function = last_segment(function.as_deref().unwrap_or(symbol));
        let file = location.file.unwrap_or_default();
        chain.extend(source(file).map(|(is_ours, path)| Place {
            is_ours,
            name: format!("{path} {function}"),
            line: location.line.unwrap_or_default(),
        }));
    }
    Ok(chain)
}

/// Returns whether a file is ours, and its path below the folder of those who wrote it.
fn source(file: &str) -> Option<(bool, String)> {
    let below = |folder| file.rsplit_once(folder).map(|(_, path)| path);
    if let Some(path) = below(OURS) {
        return Some((true, path.to_owned()));
    }
    if let Some(path) = below(LIBRARY) {
        return Some((false, format!("library/{path}")));
    }
    let (_registry, path) = below(THIRD_PARTIES)?.split_once('/')?;
    Some((false, path.to_owned()))
}

/// Returns the last segment of a path, without the types it is made for.
fn last_segment(path: &str) -> String {
    let mut depth = 0_u32;
    let outside = path.replace("->", "");
    let outside = outside.chars().filter(|&character| {
        depth += u32::from(character == '<');
        let is_outside = depth == 0;
        depth = depth.saturating_sub(u32::from(character == '>'));
        is_outside
    });
    let outside: String = outside.collect();
    let mut segments = outside.rsplit("::").filter(|segment| !segment.is_empty());
    match segments.next() {
        Some(segment) if segment.contains("closure") => "{closure}".to_owned(),
        segment => segment.unwrap_or(path).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_by_their_last_segment() {
        for (path, name) in [
            ("take", "take"),
            ("take<u32, alloc::vec::Vec<u8>>", "take"),
            ("take<fn(u8) -> bool>", "take"),
            ("core::option::Option<T>::take", "take"),
            (
                "<alloc::vec::Vec<_, _>>::take::<alloc::alloc::Global>",
                "take",
            ),
            ("core::option::Option<T>::take::{{closure}}", "{closure}"),
            ("{closure#0}", "{closure}"),
        ] {
            assert_eq!(last_segment(path), name);
        }
    }

    #[test]
    fn sources_are_told_by_their_folders() {
        let registry = "/root/.cargo/registry/src/index.crates.io-19/aes-0.9/src/lib.rs";
        let library = "/rustc/5980/library/core/src/cell.rs";
        for (file, expected) in [
            (
                "/w/host-kernel/core/src/kernel.rs",
                Some((true, "core/src/kernel.rs")),
            ),
            (library, Some((false, "library/core/src/cell.rs"))),
            (registry, Some((false, "aes-0.9/src/lib.rs"))),
            ("/elsewhere/lib.rs", None),
        ] {
            let expected = expected.map(|(is_ours, path)| (is_ours, path.to_owned()));
            assert_eq!(source(file), expected);
        }
    }
}
