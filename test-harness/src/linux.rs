//! Linux in a machine like ours, with one program: what services here are compared with.
//!
//! The kernel is Debian's for clouds. All else is in its first file system: busybox, the program with its
//! libraries, and a script that brings the network card up and becomes the program.

use crate::cli::Running;
use crate::external;
use crate::home::Home;
use crate::machine::{self, Board};
use crate::wire::Namespace;
use cpio::newc::{self, ModeFileType};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package of the kernel.
const KERNEL: &str = "linux-image-cloud-amd64";

/// Modules of the kernel for the network card, without what they depend on.
const MODULES: [&str; 2] = [
    "kernel/drivers/virtio/virtio_pci.ko",
    "kernel/drivers/net/virtio_net.ko",
];

/// A program and what it finds around itself.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is on this machine; there it is in the machine, too.
    pub path: PathBuf,
    /// What follows its name, as a shell reads it.
    pub arguments: String,
    /// Variables of its environment, as a shell sets them.
    pub environment: &'static str,
    /// More files: paths in the machine, and what is in them.
    pub files: Vec<(String, Vec<u8>)>,
    /// More folders.
    pub folders: Vec<&'static str>,
}

/// Boots Linux on the TAP device of a namespace, and waits until the program takes connections.
///
/// # Panics
///
/// If it does not, or a package is missing and cannot be installed.
#[must_use]
pub fn boot(
    namespace: &Namespace,
    home: &Home,
    board: Board,
    program: &Program,
    service: SocketAddr,
) -> Running {
    let kernel = kernel();
    let archive = home.path().join("linux.cpio");
    let contents = archive_of(&kernel, program, service);
    fs::write(&archive, contents).expect("a file of ours");
    let board = board
        .kernel(&kernel, &archive)
        .command_line("console=ttyS0 quiet panic=-1");
    machine::boot_in(namespace, home, &board, || machine::accepts(service))
}

/// Returns the newest kernel, installing it if need be.
fn kernel() -> PathBuf {
    let newest = || {
        let files = fs::read_dir("/boot").ok()?;
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        paths
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with("vmlinuz-") && name.contains("cloud"))
            })
            .max()
    };
    newest().unwrap_or_else(|| {
        external::install(KERNEL);
        newest().expect("the package has a kernel")
    })
}

/// Makes the first file system.
fn archive_of(kernel: &Path, program: &Program, service: SocketAddr) -> Vec<u8> {
    let version = kernel.to_str().and_then(|path| path.split_once("vmlinuz-"));
    let (_, version) = version.expect("a kernel's name has its version");
    let modules = Path::new("/lib/modules").join(version);
    let mut script = String::from(
        "#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\n\
         /bin/busybox mount -t proc proc /proc\n",
    );
    let mut tree = Tree::default();
    for module in with_dependencies(&modules) {
        tree.take(&modules.join(&module));
        let path = modules.join(module);
        writeln!(script, "/bin/busybox insmod {}", path.display()).expect("a string");
    }
    let (path, arguments) = (program.path.display(), &program.arguments);
    let (address, environment) = (service.ip(), program.environment);
    write!(
        script,
        "/bin/busybox ip link set lo up\n/bin/busybox ip link set eth0 up\n\
         /bin/busybox ip addr add {address}/15 dev eth0\nulimit -n 65536\n\
         {environment} exec {path} {arguments}\n"
    )
    .expect("a string");
    ["/dev", "/proc", "/tmp"]
        .iter()
        .for_each(|it| tree.folder(it));
    program.folders.iter().for_each(|it| tree.folder(it));
    let busybox = external::program("busybox", "busybox-static");
    tree.file("/bin/busybox", &read(&busybox), 0o755);
    tree.take(&program.path);
    for library in libraries(&program.path) {
        tree.take(&library);
    }
    for (path, contents) in &program.files {
        tree.file(path, contents, 0o644);
    }
    tree.file("/init", script.as_bytes(), 0o755);
    tree.archive()
}

/// Returns the modules with what they depend on, in the order to load them.
fn with_dependencies(folder: &Path) -> Vec<String> {
    let list = fs::read_to_string(folder.join("modules.dep")).expect("a list of modules");
    let mut all = Vec::new();
    for module in MODULES {
        let line = list.lines().find_map(|line| line.strip_prefix(module));
        let needed = line.and_then(|line| line.strip_prefix(':'));
        // The list has what is needed first last.
        let needed = needed.expect("the kernel has it").split_whitespace().rev();
        for name in needed.chain([module]) {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
    }
    all
}

/// Returns the shared libraries of a program.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.rfind(|word| word.starts_with('/'))
    });
    paths.map(PathBuf::from).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file system that is put together.
#[derive(Default)]
struct Tree {
    folders: BTreeSet<String>,
    files: Vec<(String, Vec<u8>, u32)>,
}

impl Tree {
    /// Takes a file of this machine, to lie where it does here.
    fn take(&mut self, path: &Path) {
        let name = path.to_str().expect("a path in UTF-8");
        self.file(name, &read(path), 0o755);
    }

    fn file(&mut self, path: &str, contents: &[u8], mode: u32) {
        let folder = Path::new(path).parent().and_then(Path::to_str);
        self.folder(folder.expect("a file lies in a folder"));
        self.files.push((path.to_owned(), contents.to_vec(), mode));
    }

    /// Adds a folder and those it lies in.
    fn folder(&mut self, path: &str) {
        let all = Path::new(path).ancestors().filter_map(Path::to_str);
        let below = all.filter(|path| *path != "/");
        self.folders.extend(below.map(str::to_owned));
    }

    fn archive(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for folder in &self.folders {
            let entry = newc::Builder::new(folder.trim_start_matches('/')).mode(0o755);
            let entry = entry.set_mode_file_type(ModeFileType::Directory);
            entry.write(&mut archive, 0).finish().expect("memory");
        }
        for (path, contents, mode) in &self.files {
            let entry = newc::Builder::new(path.trim_start_matches('/')).mode(*mode);
            let entry = entry.set_mode_file_type(ModeFileType::Regular);
            let len = u32::try_from(contents.len()).expect("a small file");
            let mut entry = entry.write(&mut archive, len);
            entry.write_all(contents).expect("memory");
            entry.finish().expect("memory");
        }
        newc::trailer(&mut archive).expect("memory");
        archive
    }
}
