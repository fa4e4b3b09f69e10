//! Does to files on a volume what `std::fs` can do to files.

use denali_std as _;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};
use std::{env, thread};

/// Linux's `EXDEV`, `EBUSY`, `EISDIR`, `ENOTEMPTY`, `EPERM`.
const OTHER_DEVICE: i32 = 18;
const BUSY: i32 = 16;
const IS_DIRECTORY: i32 = 21;
const NOT_EMPTY: i32 = 39;
const NOT_ALLOWED: i32 = 1;

fn number<T>(result: Result<T>) -> i32 {
    let error = result.err().expect("it fails");
    error.raw_os_error().expect("the system's number")
}

fn main() -> Result<()> {
    fs::create_dir_all("data")?;
    contents()?;
    names()?;
    attributes()?;
    appending_threads()?;
    refusals()?;
    println!("volume: all as expected");
    Ok(())
}

fn contents() -> Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open("data/a")?;
    file.write_all(b"0123456789")?;
    file.sync_all()?;
    assert_eq!(file.stream_position()?, 10);
    file.seek(SeekFrom::Start(3))?;
    file.write_all(b"abc")?;
    file.write_all_at(b"end", 100_000)?;
    // Another descriptor of the same file sees it.
    let other = File::open("/data/a")?;
    assert_eq!(other.metadata()?.len(), 100_003);
    let mut bytes = [1; 12];
    other.read_exact_at(&mut bytes, 0)?;
    assert_eq!(&bytes, b"012abc6789\0\0");
    file.set_len(5)?;
    file.set_len(8)?;
    assert_eq!(fs::read("data/a")?, b"012ab\0\0\0");
    assert_eq!(fs::copy("data/a", "data/b")?, 8);
    assert!(File::create("data/a")?.metadata()?.len() == 0);
    assert_eq!(fs::read("data/b")?.len(), 8);
    let kind = |result: Result<File>| result.expect_err("it fails").kind();
    assert_eq!(kind(File::create_new("data/b")), ErrorKind::AlreadyExists);
    assert!(other.write_at(b"x", 0).is_err());
    assert!(File::create("data/a")?.read(&mut [0]).is_err());
    Ok(())
}

fn names() -> Result<()> {
    fs::create_dir_all("data/deep/er")?;
    fs::rename("data/b", "data/deep/c")?;
    fs::write("data/d", "replaces")?;
    let mut replaced = File::open("data/deep/c")?;
    fs::rename("data/d", "data/deep/c")?;
    // What is open stays, whatever its name stands for now.
    let mut bytes = Vec::new();
    replaced.read_to_end(&mut bytes)?;
    assert_eq!(bytes, b"012ab\0\0\0");
    assert_eq!(fs::read_to_string("data/deep/c")?, "replaces");
    fs::hard_link("data/deep/c", "data/linked")?;
    assert_eq!(fs::metadata("data/linked")?.nlink(), 2);
    let mut unlinked = File::options().read(true).write(true).open("data/linked")?;
    fs::remove_file("data/linked")?;
    fs::remove_file("data/deep/c")?;
    unlinked.seek(SeekFrom::End(0))?;
    unlinked.write_all(b" all")?;
    unlinked.rewind()?;
    let mut text = String::new();
    unlinked.read_to_string(&mut text)?;
    assert_eq!(text, "replaces all");
    assert!(!fs::exists("data/linked")?);
    for name in 0..200 {
        fs::write(format!("data/deep/{name}"), name.to_string())?;
    }
    let mut listed = Vec::new();
    for entry in fs::read_dir("data/deep")? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            listed.push(entry.file_name().into_string().expect("UTF-8"));
        }
    }
    assert_eq!(listed.len(), 200);
    env::set_current_dir("data/deep/er")?;
    assert_eq!(fs::read_to_string("../77")?, "77");
    assert_eq!(fs::canonicalize("..")?.to_str(), Some("/data/deep"));
    env::set_current_dir("/")?;
    assert_eq!(number(fs::remove_dir("data/deep")), NOT_EMPTY);
    fs::remove_dir_all("data/deep")?;
    assert!(!fs::exists("data/deep")?);
    Ok(())
}

fn attributes() -> Result<()> {
    let file = File::create("data/e")?;
    let written = file.metadata()?.modified()?;
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    assert!(age < Duration::from_secs(60), "{age:?}");
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(then)?;
    assert_eq!(fs::metadata("data/e")?.modified()?, then);
    fs::set_permissions("data/e", fs::Permissions::from_mode(0o600))?;
    assert_eq!(fs::metadata("data/e")?.mode() & 0o777, 0o600);
    file.lock()?;
    let other = File::open("data/e")?;
    assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
    file.unlock()?;
    other.lock_shared()
}

fn appending_threads() -> Result<()> {
    let append = |mark: u8| -> Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open("data/log")?;
        for _ in 0..50 {
            file.write_all(&[mark; 100])?;
        }
        file.sync_data()
    };
    let threads = [b'a', b'b', b'c', b'd'].map(|mark| thread::spawn(move || append(mark)));
    for thread in threads {
        thread.join().expect("no panic")?;
    }
    let log = fs::read("data/log")?;
    assert_eq!(log.len(), 4 * 50 * 100);
    for piece in log.chunks(100) {
        assert!(piece.iter().all(|byte| *byte == piece[0]), "a torn line");
    }
    Ok(())
}

fn refusals() -> Result<()> {
    assert_eq!(number(fs::rename("data/a", "static/a")), 30);
    assert_eq!(number(fs::hard_link("static/a.txt", "data/f")), OTHER_DEVICE);
    assert_eq!(number(fs::remove_dir("data")), BUSY);
    assert_eq!(number(fs::rename("data", "other")), BUSY);
    assert_eq!(number(File::create("data")), IS_DIRECTORY);
    assert_eq!(number(std::os::unix::fs::symlink("a", "data/g")), NOT_ALLOWED);
    fs::create_dir("data/h")?;
    assert_eq!(number(fs::remove_file("data/h")), IS_DIRECTORY);
    let kind = |result: Result<()>| result.expect_err("it fails").kind();
    assert_eq!(kind(fs::write("data/no/file", "")), ErrorKind::NotFound);
    assert_eq!(kind(fs::create_dir("data/h")), ErrorKind::AlreadyExists);
    let long = format!("data/{}", "x".repeat(256));
    assert_eq!(kind(fs::write(long, "")), ErrorKind::InvalidFilename);
    // A volume has an end.
    let mut file = File::create("data/full")?;
    let piece = vec![7; 1 << 20];
    let error = (0..64).find_map(|_| file.write_all(&piece).err());
    assert_eq!(error.expect("it is full").kind(), ErrorKind::StorageFull);
    drop(file);
    fs::remove_file("data/full")?;
    fs::write("data/last", "there is room again")
}
