//! The files under `static/`, embedded by `build.rs`.

/// An embedded file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its URL path; a directory's `index.html` has the directory's path.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its entity tag, quotes included.
    pub etag: &'static str,
    /// Its bytes.
    pub contents: &'static [u8],
}

static ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Returns the file at a URL path.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// Returns the number of files.
pub fn count() -> usize {
    ASSETS.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_index() {
        let index = find("/").expect("static/index.html");
        assert_eq!(index.media_type, "text/html; charset=utf-8");
        assert!(index.etag.starts_with('"') && index.etag.ends_with('"'));
        assert!(find("/index.html").is_none());
    }
}
