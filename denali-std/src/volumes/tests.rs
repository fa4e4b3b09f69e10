//! The file system over a disk in memory, and what power cuts leave of it.

use super::fake::FakeDisk;
use super::system::{Clock, System};
use denali_rt::libc::errno::{EEXIST, EISDIR, ENOTDIR, ENOTEMPTY};
use denali_rt::libc::files::{Change, Errno, FileSystem};
use rsext4::MkfsOptions;
use std::collections::BTreeMap;
use std::format;
use std::println;
use std::process::Command;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Blocks of a disk: 32 MiB.
const BLOCKS: usize = 8192;

fn new_disk() -> FakeDisk {
    rsext4::format(FakeDisk::new(BLOCKS), Clock, MkfsOptions::default()).expect("a file system")
}

fn mount(disk: &FakeDisk) -> System<FakeDisk> {
    System::mount(disk.clone()).expect("a file system")
}

/// Has the programs of ext4 itself check a disk, whose journal is done.
fn check(disk: &FakeDisk) {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk");
    std::fs::write(&image, disk.bytes()).expect("a file of ours");
    let output = Command::new("/sbin/e2fsck").arg("-fn").arg(&image).output();
    let output = output.expect("e2fsck, of e2fsprogs");
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}");
}

fn contents(system: &mut System<FakeDisk>, inode: u64) -> Vec<u8> {
    let len = system.status(inode).expect("it is there").len;
    let mut bytes = vec![0; usize::try_from(len).expect("it is short")];
    let read = system.read(inode, 0, &mut bytes).expect("it is there");
    assert_eq!(read, bytes.len());
    bytes
}

#[test]
fn files_are_what_was_written() {
    let disk = new_disk();
    let mut system = mount(&disk);
    let root = system.root();
    system.make_directory(root, "deep", 0o755).unwrap();
    let deep = system.lookup(root, "deep").unwrap().expect("made");
    assert!(deep.is_directory);
    let file = system.create(deep.inode, "a", 0o644).unwrap();
    assert_eq!((file.permissions, file.len), (0o644, 0));
    system.write(file.inode, 10_000, b"end").unwrap();
    system.write(file.inode, 0, b"start").unwrap();
    let bytes = contents(&mut system, file.inode);
    assert!(bytes.starts_with(b"start\0") && bytes.ends_with(b"\0end"));
    assert_eq!(bytes.len(), 10_003);
    system.truncate(file.inode, 3).unwrap();
    system.truncate(file.inode, 6).unwrap();
    assert_eq!(contents(&mut system, file.inode), b"sta\0\0\0");
    let times = Change::Times {
        read: None,
        written: Some(1_000_000_000),
    };
    system.change(file.inode, times).unwrap();
    system
        .change(file.inode, Change::Permissions(0o600))
        .unwrap();
    let status = system.status(file.inode).unwrap();
    assert_eq!(
        (status.times[1], status.permissions),
        (1_000_000_000, 0o600)
    );
    system.sync().unwrap();
    check(&replayed(&disk));
}

#[test]
fn names_come_and_go() {
    let disk = new_disk();
    let mut system = mount(&disk);
    let root = system.root();
    let file = system.create(root, "a", 0o644).unwrap().inode;
    assert_eq!(system.create(root, "a", 0o644), Err(Errno(EEXIST)));
    system.link(file, root, "b").unwrap();
    assert_eq!(system.status(file).unwrap().links, 2);
    assert_eq!(system.remove(root, "a"), Ok(None));
    system.make_directory(root, "d", 0o755).unwrap();
    let directory = system.lookup(root, "d").unwrap().expect("made").inode;
    assert_eq!(system.rename((root, "b"), (directory, "c")), Ok(None));
    assert_eq!(system.remove_directory(root, "d"), Err(Errno(ENOTEMPTY)));
    assert_eq!(system.remove(root, "d"), Err(Errno(EISDIR)));
    assert_eq!(system.remove_directory(directory, "c"), Err(Errno(ENOTDIR)));
    let other = system.create(root, "e", 0o644).unwrap().inode;
    system.write(other, 0, b"other").unwrap();
    // What is replaced goes when nobody has it open.
    assert_eq!(system.rename((root, "e"), (directory, "c")), Ok(Some(file)));
    assert_eq!(system.status(file).unwrap().links, 0);
    system.release(file).unwrap();
    let names: Vec<String> = system
        .list(directory)
        .unwrap()
        .into_iter()
        .map(|child| child.name)
        .collect();
    assert_eq!(names, ["c"]);
    system.sync().unwrap();
    check(&replayed(&disk));
}

/// Returns the disk as it is once its journal is done and it is left in order.
fn replayed(disk: &FakeDisk) -> FakeDisk {
    let copy = disk.cut(|| true);
    let mut system = mount(&copy);
    system.leave();
    copy
}

/// Numbers at random, the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // Marsaglia 2003, "Xorshift RNGs".
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What files hold, by their names.
type Files = BTreeMap<String, Vec<u8>>;

/// Does something to one file of a few, and to the model of them. Returns its names.
fn act(system: &mut System<FakeDisk>, files: &mut Files, dice: &mut Dice) -> Vec<String> {
    let root = system.root();
    let name = format!("file{}", dice.below(6));
    let found = system.lookup(root, &name).unwrap();
    assert_eq!(found.is_some(), files.contains_key(&name));
    let Some(file) = found else {
        system.create(root, &name, 0o644).unwrap();
        files.insert(name.clone(), Vec::new());
        return vec![name];
    };
    let bytes = files.get_mut(&name).expect("it is there");
    match dice.below(10) {
        0 => {
            assert_eq!(system.remove(root, &name), Ok(Some(file.inode)));
            system.release(file.inode).unwrap();
            files.remove(&name);
        }
        1 => {
            let other = format!("file{}", dice.below(6));
            let replaced = system.rename((root, &name), (root, &other)).unwrap();
            if let Some(inode) = replaced {
                system.release(inode).unwrap();
            }
            let bytes = files.remove(&name).expect("it is there");
            files.insert(other.clone(), bytes);
            return vec![name, other];
        }
        2 => {
            let len = dice.below(20_000);
            system.truncate(file.inode, len).unwrap();
            bytes.resize(usize::try_from(len).unwrap(), 0);
        }
        _ => {
            let (at, len) = (dice.below(40_000), dice.below(9_000) + 1);
            let byte = u8::try_from(dice.below(255)).unwrap() + 1;
            let written = vec![byte; usize::try_from(len).unwrap()];
            system.write(file.inode, at, &written).unwrap();
            let at = usize::try_from(at).unwrap();
            let end = at + written.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[at..end].copy_from_slice(&written);
        }
    }
    vec![name]
}

#[test]
fn what_was_synced_survives_power_cuts() {
    let seed = std::env::var("DENALI_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(8_u64);
    println!("DENALI_SEED={seed}");
    let mut dice = Dice(seed | 1);
    let mut disk = new_disk();
    let mut files = Files::new();
    for _ in 0..12 {
        let mut system = mount(&disk);
        let mut synced = files.clone();
        let mut unsure = Vec::new();
        for _ in 0..dice.below(160) {
            unsure.extend(act(&mut system, &mut files, &mut dice));
            if dice.below(12) == 0 {
                system.sync().unwrap();
                synced = files.clone();
                unsure.clear();
            }
        }
        disk = disk.cut(|| dice.below(2) == 0);
        check(&replayed(&disk));
        let mut system = mount(&disk);
        let root = system.root();
        for (name, bytes) in synced.iter().filter(|(name, _)| !unsure.contains(name)) {
            let file = system.lookup(root, name).unwrap().expect("it was synced");
            assert!(contents(&mut system, file.inode) == *bytes, "{name}");
        }
        // What the cut left is what goes on.
        files = Files::new();
        for child in system.list(root).unwrap() {
            if !child.is_directory {
                files.insert(child.name, contents(&mut system, child.inode));
            }
        }
        system.leave();
    }
}
