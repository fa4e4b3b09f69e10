//! Files of the image, which can be read: a tree of names over what the builder packed.
//!
//! A program with `std` is given them by `denali-std`. Nothing is ever written: calls that would
//! change a file fail with `EROFS`.

use super::errno::{ENOENT, ENOTDIR, Errno};
use crate::sync::GuestCell;
use alloc::string::String;
use alloc::vec::Vec;

/// A file: its path without the leading slash, and what is in it.
pub type Packed = (&'static str, &'static [u8]);

static FILES: GuestCell<&'static [Packed]> = GuestCell::new(&[]);

/// The working directory, without slashes at its ends.
static WORKING_DIRECTORY: GuestCell<String> = GuestCell::new(String::new());

/// Makes files known. They must be in order of their paths, by bytes, none of which is a directory of
/// another.
pub fn provide(files: &'static [Packed]) {
    FILES.with(|place| *place = files);
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A file, by its place among all.
    File(usize),
    /// A directory, by its path without slashes at its ends; the root's is empty.
    Directory(String),
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) node: Node,
}

/// Returns what `path` names; a relative one is taken from the working directory.
pub(super) fn resolve(path: &[u8]) -> Result<Node, Errno> {
    resolve_from(&working_directory(), path)
}

/// Returns what `path` names, a relative one from the directory `base` on.
pub(super) fn resolve_from(base: &str, path: &[u8]) -> Result<Node, Errno> {
    let text = core::str::from_utf8(path).map_err(|_| Errno(ENOENT))?;
    if text.is_empty() {
        return Err(Errno(ENOENT));
    }
    let base = if text.starts_with('/') { "" } else { base };
    let mut node = node(base).ok_or(Errno(ENOENT))?;
    for part in text.split('/') {
        let Node::Directory(directory) = &node else {
            return Err(Errno(ENOTDIR));
        };
        node = match part {
            "" | "." => continue,
            ".." => Node::Directory(parent(directory).into()),
            name => self::node(&join(directory, name)).ok_or(Errno(ENOENT))?,
        };
    }
    Ok(node)
}

/// Returns what a path without slashes at its ends names.
fn node(path: &str) -> Option<Node> {
    let files = all();
    let place = files.partition_point(|(file, _)| *file < path);
    if files.get(place).is_some_and(|(file, _)| *file == path) {
        return Some(Node::File(place));
    }
    let is_directory = path.is_empty() || below(path).next().is_some();
    is_directory.then(|| Node::Directory(path.into()))
}

/// Returns the files below a directory: their places, and their paths from there on.
fn below(directory: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let prefix = if directory.is_empty() {
        String::new()
    } else {
        alloc::format!("{directory}/")
    };
    let files = all();
    let start = files.partition_point(|(file, _)| *file < prefix.as_str());
    files[start..]
        .iter()
        .map_while(move |(file, _)| file.strip_prefix(prefix.as_str()))
        .zip(start..)
        .map(|(rest, place)| (place, rest))
}

/// Returns what a directory contains, in order.
pub(super) fn list(directory: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (place, rest) in below(directory) {
        let (name, node) = match rest.split_once('/') {
            Some((name, _)) => (name, Node::Directory(join(directory, name))),
            None => (rest, Node::File(place)),
        };
        if entries.last().is_none_or(|last| last.name != name) {
            let name = name.into();
            entries.push(Entry { name, node });
        }
    }
    entries
}

/// Returns what is in a file.
pub(super) fn contents(file: usize) -> &'static [u8] {
    all()[file].1
}

/// Returns the path of a node without the leading slash.
pub(super) fn path(node: &Node) -> &str {
    match node {
        Node::File(place) => all()[*place].0,
        Node::Directory(path) => path,
    }
}

/// Returns a number that no other node has: that of a file, or that of the first file below and how far
/// below it is.
pub(super) fn inode(node: &Node) -> u64 {
    let number = |place: usize| (denali_abi::convert::usize_to_u64(place) + 1) << 8;
    match node {
        Node::File(place) => number(*place),
        Node::Directory(path) => {
            let first = below(path).next();
            let depth = first.map_or(1, |(_, rest)| rest.split('/').count());
            let depth = u64::try_from(depth).unwrap_or(u64::MAX) & 0xff;
            number(first.map_or(0, |(place, _)| place)) | depth
        }
    }
}

pub(super) fn working_directory() -> String {
    WORKING_DIRECTORY.with(|directory| directory.clone())
}

/// Makes a directory the one that relative paths begin at.
pub(super) fn set_working_directory(path: &[u8]) -> Result<(), Errno> {
    let Node::Directory(directory) = resolve(path)? else {
        return Err(Errno(ENOTDIR));
    };
    let old = WORKING_DIRECTORY.with(|place| core::mem::replace(place, directory));
    drop(old);
    Ok(())
}

fn all() -> &'static [Packed] {
    FILES.with(|files| *files)
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.into()
    } else {
        alloc::format!("{directory}/{name}")
    }
}

fn parent(directory: &str) -> &str {
    directory.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The files of all tests in this crate: they share one process.
    pub(in crate::libc) const SAMPLES: &[Packed] = &[
        ("etc/empty", b""),
        ("etc/named.toml", b"listen"),
        ("static.txt", b"beside"),
        ("static/css/a.css", b"body {}"),
        ("static/index.html", b"<html>"),
    ];

    fn file(name: &str) -> Option<Node> {
        SAMPLES
            .iter()
            .position(|(path, _)| *path == name)
            .map(Node::File)
    }

    #[test]
    fn paths_are_followed_part_by_part() {
        provide(SAMPLES);
        let found = |path: &str| resolve(path.as_bytes()).ok();
        assert_eq!(found("/etc/named.toml"), file("etc/named.toml"));
        assert_eq!(
            found("etc/../static/./index.html"),
            file("static/index.html")
        );
        assert_eq!(
            found("//static//css/"),
            Some(Node::Directory("static/css".into()))
        );
        assert_eq!(found("/.."), Some(Node::Directory(String::new())));
        let failure = |path: &str| resolve(path.as_bytes()).unwrap_err();
        assert_eq!(failure(""), Errno(ENOENT));
        assert_eq!(failure("/stat"), Errno(ENOENT));
        assert_eq!(failure("/nothing/../etc/empty"), Errno(ENOENT));
        assert_eq!(failure("/etc/empty/"), Errno(ENOTDIR));
        assert_eq!(failure("/etc/empty/.."), Errno(ENOTDIR));
        assert_eq!(resolve(b"\xff"), Err(Errno(ENOENT)));
    }

    #[test]
    fn a_directory_lists_each_name_once() {
        provide(SAMPLES);
        let names = |directory: &str| -> Vec<String> {
            list(directory)
                .into_iter()
                .map(|entry| entry.name)
                .collect()
        };
        assert_eq!(names(""), ["etc", "static.txt", "static"]);
        assert_eq!(names("static"), ["css", "index.html"]);
        assert_eq!(names("static/css"), ["a.css"]);
    }

    #[test]
    fn every_node_has_a_number_of_its_own() {
        provide(SAMPLES);
        let paths = [
            "/",
            "/etc",
            "/static",
            "/static/css",
            "/etc/empty",
            "/static/css/a.css",
        ];
        let mut numbers: Vec<_> = paths
            .iter()
            .map(|path| inode(&resolve(path.as_bytes()).unwrap()))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), paths.len());
    }
}
