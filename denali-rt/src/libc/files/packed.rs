//! Files of the image: a tree of names over what the builder packed. They can be read only.

use super::{Entry, Node, join};
use crate::sync::GuestCell;
use alloc::string::String;
use alloc::vec::Vec;

/// A file: its path without the leading slash, and what is in it.
pub type Packed = (&'static str, &'static [u8]);

static FILES: GuestCell<&'static [Packed]> = GuestCell::new(&[]);

/// Makes files known. They must be in order of their paths, by bytes, none of which is a directory of
/// another.
pub fn provide(files: &'static [Packed]) {
    FILES.with(|place| *place = files);
}

fn all() -> &'static [Packed] {
    FILES.with(|files| *files)
}

/// Returns what a path without slashes at its ends names.
pub(super) fn node(path: &str) -> Option<Node> {
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
            entries.push(Entry {
                name: name.into(),
                inode: inode(&node),
                is_directory: node.is_directory(),
            });
        }
    }
    entries
}

/// Returns what is in a file.
pub(in crate::libc) fn contents(file: usize) -> &'static [u8] {
    all()[file].1
}

/// Returns the path of a file without the leading slash.
pub(super) fn path(file: usize) -> &'static str {
    all()[file].0
}

/// Returns a number that no other node of the image has: that of a file, or that of the first file
/// below and how far below it is.
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
        Node::Stored(stored) => stored.inode,
    }
}
