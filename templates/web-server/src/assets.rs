//! The files under `static/`, embedded by `build.rs`.

use crate::date;
use alloc::string::String;
use denali_rt::sync::OnceLock;

/// An embedded file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its URL path; a directory's `index.html` has the directory's path.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// The file as it is.
    pub plain: Variant,
    /// The file compressed with gzip, if that is worth it.
    pub gzip: Option<Variant>,
}

/// One form of a file.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Its entity tag, quotes included.
    pub etag: &'static str,
    /// Its bytes.
    pub contents: &'static [u8],
}

static ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Returns the file at a URL path.
pub fn find(path: &str) -> Option<&'static Asset> {
    let at = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    ASSETS.get(at)
}

/// Returns the number of files.
pub fn count() -> usize {
    ASSETS.len()
}

/// Returns since when the files are as they are, in seconds since 1970: they come with the program,
/// so no later than since it was first asked. Their own times would make every build another one.
pub fn modified() -> u64 {
    static STARTED: OnceLock<u64> = OnceLock::new();
    *STARTED.get_or_init(|| denali_rt::time::wall().as_secs())
}

/// Returns the same as a date of HTTP.
pub fn last_modified() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| date::imf_fixdate(modified()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_index() {
        let index = find("/").expect("static/index.html");
        assert_eq!(index.media_type, "text/html; charset=utf-8");
        assert!(index.plain.etag.starts_with('"') && index.plain.etag.ends_with('"'));
        assert!(find("/index.html").is_none());
    }

    #[test]
    fn compressed_files_are_smaller_and_have_tags_of_their_own() {
        assert!(ASSETS.iter().any(|asset| asset.gzip.is_some()));
        for asset in ASSETS {
            if let Some(gzip) = asset.gzip {
                assert!(gzip.contents.len() < asset.plain.contents.len(), "{}", asset.path);
                assert_ne!(gzip.etag, asset.plain.etag);
                assert_eq!(gzip.contents[..2], [0x1f, 0x8b]);
            }
        }
    }
}
