//! Paths, and what they name.

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
        absolute(directory)
            .and_then(|node| node.list())
            .unwrap()
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
        .map(|path| resolve(path.as_bytes()).unwrap().identity())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), paths.len());
}

/// The calls of C on files of a volume. Each test has a directory of its own there.
mod on_volumes {
    use super::*;
    use crate::libc::changes::{chmod, fsync, ftruncate, mkdir, rename, rmdir, unlink, utimensat};
    use crate::libc::descriptor;
    use crate::libc::errno::{self, EBADF, EBUSY, EEXIST, EISDIR, EROFS, EXDEV};
    use crate::libc::fcntl::{O_RDWR, fcntl, open};
    use crate::libc::memory::In;
    use crate::libc::memory::test::{input, output, text};
    use crate::libc::unistd::{close, lseek, pread, pwrite, read, write};
    use core::ffi::{CStr, c_int};

    const O_RDONLY: c_int = 0;
    const O_WRONLY: c_int = 1;
    const O_CREAT: c_int = 0o100;
    const O_EXCL: c_int = 0o200;
    const O_TRUNC: c_int = 0o1000;
    const O_APPEND: c_int = 0o2000;
    const F_GETFL: c_int = 3;
    const F_GETLK: c_int = 5;

    fn provided(directory: &CStr) {
        provide(SAMPLES);
        provide_volumes(fake::VOLUMES, fake::open);
        assert_eq!(mkdir(text(directory), 0o777), 0);
    }

    fn opened(path: &CStr, flags: c_int) -> c_int {
        let descriptor = open(text(path), flags, 0o666);
        assert!(descriptor >= 0, "{path:?}: {}", errno::get());
        descriptor
    }

    fn written(descriptor: c_int, bytes: &[u8]) {
        let count = write(descriptor, input(bytes), bytes.len());
        assert_eq!(usize::try_from(count), Ok(bytes.len()));
    }

    fn contents(path: &CStr) -> Vec<u8> {
        let descriptor = opened(path, O_RDONLY);
        let mut bytes = [0; 64];
        let count = read(descriptor, output(&mut bytes), bytes.len());
        close(descriptor);
        bytes[..usize::try_from(count).unwrap()].to_vec()
    }

    fn failure(result: c_int) -> c_int {
        assert_eq!(result, -1);
        errno::get()
    }

    #[test]
    fn positions_belong_to_descriptions_and_contents_to_files() {
        provided(c"/data/positions");
        let file = opened(c"/data/positions/a", O_RDWR | O_CREAT | O_EXCL);
        written(file, b"0123456789");
        assert_eq!(pwrite(file, input(b"ab"), 2, 3), 2);
        assert_eq!(lseek(file, 0, 1), 10);
        let other = opened(c"/data/positions/a", O_WRONLY | O_APPEND);
        written(other, b"!");
        assert_eq!(contents(c"/data/positions/a"), b"012ab56789!");
        let mut byte = [0];
        assert_eq!(pread(file, output(&mut byte), 1, 10), 1);
        assert_eq!(byte, *b"!");
        assert_eq!(read(other, output(&mut byte), 1), -1);
        assert_eq!(errno::get(), EBADF);
        assert_eq!(fcntl(other, F_GETFL, 0), O_WRONLY | O_APPEND);
        assert_eq!((ftruncate(file, 2), fsync(file)), (0, 0));
        assert_eq!(contents(c"/data/positions/a"), b"01");
        let cleared = opened(c"/data/positions/a", O_WRONLY | O_TRUNC);
        assert_eq!(contents(c"/data/positions/a"), b"");
        for descriptor in [file, other, cleared] {
            assert_eq!(close(descriptor), 0);
        }
        let again = open(text(c"/data/positions/a"), O_RDWR | O_CREAT | O_EXCL, 0);
        assert_eq!(failure(again), EEXIST);
    }

    #[test]
    fn what_is_open_outlives_its_name() {
        provided(c"/data/nameless");
        let first = opened(c"/data/nameless/a", O_RDWR | O_CREAT);
        let second = opened(c"/data/nameless/a", O_RDWR);
        written(first, b"kept");
        assert_eq!(unlink(text(c"/data/nameless/a")), 0);
        assert_eq!(
            failure(open(text(c"/data/nameless/a"), O_RDONLY, 0)),
            ENOENT
        );
        assert_eq!(close(first), 0);
        let mut bytes = [0; 4];
        assert_eq!(read(second, output(&mut bytes), 4), 4);
        assert_eq!(bytes, *b"kept");
        let description = descriptor::get(second).unwrap();
        let file = description.object().as_file();
        let (_, inode) = file.expect("a file").node().identity();
        drop(description);
        let status = || with_volume(0, |volume| volume.system()?.status(inode));
        assert_eq!(status().unwrap().links, 0);
        assert_eq!(close(second), 0);
        assert_eq!(status(), Err(Errno(ENOENT)));
    }

    #[test]
    fn names_are_changed_within_a_volume() {
        provided(c"/data/names");
        close(opened(c"/data/names/a", O_WRONLY | O_CREAT));
        let target = opened(c"/data/names/b", O_WRONLY | O_CREAT);
        written(target, b"replaced");
        close(target);
        let renamed = |from: &CStr, to: &CStr| rename(text(from), text(to));
        assert_eq!(renamed(c"/data/names/b", c"/data/names/a"), 0);
        assert_eq!(contents(c"/data/names/a"), b"replaced");
        assert_eq!(failure(renamed(c"/data/names/a", c"/other/a")), EXDEV);
        assert_eq!(failure(renamed(c"/data/names/a", c"/etc/a")), EROFS);
        assert_eq!(failure(renamed(c"/data", c"/other/data")), EBUSY);
        assert_eq!(failure(rmdir(text(c"/data"))), EBUSY);
        assert_eq!(failure(unlink(text(c"/data/names"))), EISDIR);
        assert_eq!(failure(mkdir(text(c"/data/names"), 0)), EEXIST);
        assert_eq!(failure(mkdir(text(c"/new"), 0)), EROFS);
        assert_eq!(failure(mkdir(text(c"/data/no/new"), 0)), ENOENT);
        assert_eq!(failure(unlink(text(c"/etc/empty"))), EROFS);
        assert_eq!(chmod(text(c"/data/names/a"), 0o600), 0);
        assert_eq!(utimensat(-100, text(c"/data/names/a"), In::NULL, 0), 0);
        assert_eq!(unlink(text(c"/data/names/a")), 0);
        assert_eq!(rmdir(text(c"/data/names/")), 0);
        assert_eq!(failure(rmdir(text(c"/data/names"))), ENOENT);
    }

    #[test]
    fn volumes_are_directories_of_the_root() {
        provided(c"/data/tree");
        let names = |path: &str| -> Vec<String> {
            let entries = resolve(path.as_bytes()).and_then(|node| node.list());
            let names = entries.unwrap().into_iter().map(|entry| entry.name);
            names.collect()
        };
        let root = names("/");
        assert_eq!(root[root.len() - 2..], ["data", "other"]);
        assert!(names("/data").contains(&"tree".into()));
        let node = resolve(b"/etc/../data/tree/../tree/.").unwrap();
        assert_eq!(node.path(), "data/tree");
        assert_eq!(node.identity().0, 2);
        assert_eq!(resolve(b"/other/..").unwrap().path(), "");
    }

    #[test]
    fn locks_of_other_processes_are_never_in_the_way() {
        provided(c"/data/locks");
        let file = opened(c"/data/locks/a", O_RDWR | O_CREAT);
        // `l_type` comes first: a read lock is asked for.
        let mut lock = [0_i16; 16];
        let address = u64::try_from(lock.as_mut_ptr().expose_provenance()).unwrap();
        assert_eq!(fcntl(file, F_GETLK, address), 0);
        assert_eq!(lock[0], 2);
        assert_eq!(close(file), 0);
    }
}
