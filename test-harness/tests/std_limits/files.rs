//! Reads the files that `include` packs, and asks for what does not exist.

use denali_std as _;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::{env, thread};

/// Linux's `EROFS`, `EISDIR`, `ENOTDIR`, `ENOSYS`.
const READ_ONLY: i32 = 30;
const IS_DIRECTORY: i32 = 21;
const NOT_DIRECTORY: i32 = 20;
const NOT_THERE: i32 = 38;

/// Linux's `ESRCH`, `ECHILD`, `ENODEV`.
const NO_PROCESS: i32 = 3;
const NO_CHILD: i32 = 10;
const NO_DEVICE: i32 = 19;

fn number<T>(result: Result<T>) -> i32 {
    let error = result.err().expect("it fails");
    error.raw_os_error().expect("the system's number")
}

fn main() -> Result<()> {
    reading()?;
    listing()?;
    refusals();
    absences();
    pairs()?;
    addresses()?;
    println!("files: all as expected");
    Ok(())
}

fn reading() -> Result<()> {
    assert_eq!(fs::read_to_string("static/a.txt")?, "0123456789");
    assert_eq!(fs::read("/static/deep/b.bin")?.len(), 100_000);
    let mut file = File::open("/static/../static/./a.txt")?;
    let status = file.metadata()?;
    assert!(status.is_file() && status.len() == 10 && status.permissions().readonly());
    assert_eq!(file.seek(SeekFrom::End(-3))?, 7);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    assert_eq!(text, "789");
    file.rewind()?;
    let mut copy = Vec::new();
    assert_eq!(std::io::copy(&mut file, &mut copy)?, 10);
    assert_eq!(fs::canonicalize("static//deep/..")?.to_str(), Some("/static"));
    env::set_current_dir("static")?;
    assert_eq!(env::current_dir()?.to_str(), Some("/static"));
    assert!(fs::exists("deep/b.bin")? && !fs::exists("/deep")?);
    env::set_current_dir("/")
}

fn listing() -> Result<()> {
    let names = |path| -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let mark = if entry.file_type()?.is_dir() { "/" } else { "" };
            names.push(format!("{}{mark}", entry.file_name().display()));
        }
        Ok(names)
    };
    assert_eq!(names("/")?, ["static/", "data/"]);
    assert_eq!(names("static")?, ["a.txt", "deep/"]);
    Ok(())
}

fn refusals() {
    let kind = |result: Result<File>| result.expect_err("it fails").kind();
    assert_eq!(kind(File::open("nothing")), ErrorKind::NotFound);
    assert_eq!(number(File::create("new")), READ_ONLY);
    assert_eq!(number(OpenOptions::new().append(true).open("static/a.txt")), READ_ONLY);
    assert_eq!(number(File::open("static/a.txt/b")), NOT_DIRECTORY);
    assert_eq!(number(fs::read("static")), IS_DIRECTORY);
    assert_eq!(number(fs::remove_file("static/a.txt")), READ_ONLY);
    assert_eq!(number(fs::rename("static/a.txt", "c")), READ_ONLY);
    assert_eq!(number(fs::create_dir("new")), READ_ONLY);
    fs::create_dir_all("static/deep").expect("it is there");
    assert_eq!(number(fs::remove_dir_all("static")), READ_ONLY);
    assert_eq!(number(Command::new("ls").status()), NOT_THERE);
    let mut file = File::open("static/a.txt").expect("a file");
    assert!(file.write_all(b"x").is_err() && file.set_len(0).is_err());
}

/// Asks for what a VM does not have.
fn absences() {
    unsafe extern "C" {
        fn fork() -> i32;
        fn kill(process: i32, signal: i32) -> i32;
        fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
        fn mmap(at: *mut u8, len: usize, protection: i32, flags: i32, file: i32, from: i64) -> isize;
    }
    let file = File::open("static/a.txt").expect("a file");
    let told = |result: i32| (result, std::io::Error::last_os_error().raw_os_error());
    // SAFETY: calls that take no memory, and fail.
    unsafe {
        assert_eq!(told(fork()), (-1, Some(NOT_THERE)));
        assert_eq!(told(kill(1, 9)), (-1, Some(NO_PROCESS)));
        assert_eq!(told(waitpid(-1, std::ptr::null_mut(), 0)), (-1, Some(NO_CHILD)));
        assert_eq!(mmap(std::ptr::null_mut(), 10, 1, 2, file.as_raw_fd(), 0), -1);
    }
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(NO_DEVICE));
}

/// Names that need no name server.
fn addresses() -> Result<()> {
    let mut found = ("localhost", 80).to_socket_addrs()?;
    assert!(found.any(|address| address == SocketAddr::from(([127, 0, 0, 1], 80))));
    let mut found = "10.1.2.3:4".to_socket_addrs()?;
    assert_eq!(found.next(), Some(SocketAddr::from(([10, 1, 2, 3], 4))));
    assert!(("not a name", 80).to_socket_addrs().is_err());
    Ok(())
}

fn pairs() -> Result<()> {
    let (mut one, mut other) = UnixStream::pair()?;
    let echo = thread::spawn(move || -> Result<()> {
        let mut bytes = [0; 5];
        other.read_exact(&mut bytes)?;
        other.write_all(&bytes)
    });
    one.write_all(b"hello")?;
    let mut answer = String::new();
    one.read_to_string(&mut answer)?;
    echo.join().expect("no panic")?;
    assert_eq!(answer, "hello");
    Ok(())
}
