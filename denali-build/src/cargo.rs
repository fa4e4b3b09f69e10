//! Drives cargo: finds the package, builds it as a guest, returns the ELF.

use crate::console;
use crate::diagnosis::{self, Diagnosis};
use crate::elf;
use crate::failure::{Failure, Status};
use crate::interrupt;
use crate::link::{self, Library, TARGET};
use anyhow::{Context, Result, anyhow};
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Message, Metadata, MetadataCommand, Package, PackageId, TargetKind};
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// What to build.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The manifest; `None` looks in the current folder and above it, as cargo does.
    pub manifest_path: Option<PathBuf>,
    /// The package of a workspace.
    pub package: Option<String>,
    /// The binary of a package with several.
    pub bin: Option<String>,
    /// Where to build; `None` is the workspace's own target folder.
    pub target_dir: Option<PathBuf>,
    /// More arguments for `cargo build`, such as `--locked`.
    pub arguments: Vec<String>,
}

/// The package and binary that a request means.
#[derive(Clone, Debug)]
pub struct Located {
    package: Package,
    bin: String,
    workspace_root: PathBuf,
    target_dir: PathBuf,
}

/// The profile that tests are built with, which no manifest names.
const TEST_PROFILE: &str = "denali-test";

/// The settings of [`TEST_PROFILE`].
const TEST_SETTINGS: [&str; 9] = [
    "inherits=\"release\"",
    "panic=\"abort\"",
    "debug-assertions=true",
    "overflow-checks=true",
    "lto=\"off\"",
    "codegen-units=16",
    "incremental=true",
    "strip=false",
    "debug=\"line-tables-only\"",
];

/// Tells `denali-std`'s build script which files to pack.
const FILES_VARIABLE: &str = "DENALI_FILES";

/// Tells `denali-std`'s build script the names of volumes, a line for each: they are for files.
const VOLUMES_VARIABLE: &str = "DENALI_VOLUMES";

/// What a program with `std` finds in its VM besides itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Files to pack into the image: a line for each, with its path in the VM, a tab, and its path
    /// here.
    pub files: String,
    /// The names of its volumes.
    pub volumes: Vec<String>,
}

/// What to do when something does not build.
const BUILD_HELP: &str = "the message of cargo above says why";

/// Returns a command that runs the cargo that called us, or the one on the path.
#[must_use]
pub fn command() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Finds the package and binary to build.
///
/// # Errors
///
/// There is no such package or binary, or the manifest is wrong: [`Status::Usage`].
pub fn locate(request: &BuildRequest) -> Result<Located> {
    let (metadata, package) = find_package(request)?;
    let bin = choose_bin(&package, request.bin.as_deref())?;
    let default_target_dir = || metadata.target_directory.as_std_path().join("denali");
    Ok(Located {
        bin,
        package,
        workspace_root: metadata.workspace_root.as_std_path().to_owned(),
        target_dir: request
            .target_dir
            .clone()
            .unwrap_or_else(default_target_dir),
    })
}

impl Located {
    /// Returns the name of the binary, which is the service's name.
    #[must_use]
    pub fn bin(&self) -> &str {
        &self.bin
    }

    /// Returns the package's version.
    #[must_use]
    pub fn version(&self) -> String {
        self.package.version.to_string()
    }

    /// Returns the package's manifest.
    #[must_use]
    pub fn manifest_path(&self) -> &Path {
        self.package.manifest_path.as_std_path()
    }

    /// Returns the folder to build in.
    #[must_use]
    pub fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// Builds the binary as a guest and returns its ELF file; cargo's progress and messages go to
    /// standard error.
    ///
    /// # Errors
    ///
    /// It does not build: [`Status::Build`]; it has files to pack, but no `std` to read them with:
    /// [`Status::Usage`].
    pub fn build(&self, arguments: &[String], around: &Surroundings) -> Result<PathBuf> {
        if !around.files.is_empty() && self.library() == Library::None {
            let what = format!(
                "`{}` has no `std`, which `include` is for",
                self.package.name
            );
            let help = "use include_bytes!, or depend on denali-std";
            return Err(Failure::new(Status::Usage, what).help(help).into());
        }
        let mut command = self.guest_command("build")?;
        command
            .arg("--release")
            .args(arguments)
            .env(FILES_VARIABLE, &around.files)
            .env(VOLUMES_VARIABLE, around.volumes.join("\n"));
        if self.library() == Library::None {
            command.args(["--config", "profile.release.panic=\"abort\""]);
        }
        run(command, &self.package, &self.bin, BUILD_HELP)
    }

    /// Builds the binary as a guest that runs its tests and returns its ELF file, as
    /// [`build`](Self::build) does.
    ///
    /// It is built as tests are, to be built soon and to check its arithmetic, but small.
    ///
    /// # Errors
    ///
    /// It does not build: [`Status::Build`]; it has `std`, whose tests do not run in VMs:
    /// [`Status::Usage`].
    pub fn build_tests(&self, arguments: &[String]) -> Result<PathBuf> {
        if self.library() == Library::Std {
            let what = format!(
                "`{}` has `std`: its tests do not run in VMs",
                self.package.name
            );
            let help = "run them on this machine: cargo test";
            return Err(Failure::new(Status::Usage, what).help(help).into());
        }
        let mut command = self.guest_command("rustc")?;
        command.args(["--profile", TEST_PROFILE]);
        for setting in TEST_SETTINGS {
            command.args(["--config", &format!("profile.{TEST_PROFILE}.{setting}")]);
        }
        // Tests for the host are left out, so what only they use looks unused.
        command
            .args(arguments)
            .args(["--", "--cfg", "test", "-Aunused"]);
        let help = "what only tests of this machine can do goes below \
                    #[cfg(all(test, not(denali)))]";
        run(command, &self.package, &self.bin, help)
    }

    /// Checks what crates made for Linux may bring along. A program without `std` may do as it likes:
    /// its assembly is written for VMs.
    ///
    /// # Errors
    ///
    /// It makes system calls by itself: [`Status::Build`].
    pub fn check_program(&self, program: &[u8]) -> Result<(), Failure> {
        match self.library() {
            Library::Std => elf::check_system_calls(program),
            Library::None => Ok(()),
        }
    }

    /// Returns what the package has between itself and the runtime.
    fn library(&self) -> Library {
        let mut dependencies = self.package.dependencies.iter();
        if dependencies.any(|dependency| dependency.name == link::STD_CRATE) {
            Library::Std
        } else {
            Library::None
        }
    }

    /// Returns a command of cargo that builds the binary as a guest.
    fn guest_command(&self, verb: &str) -> Result<Command> {
        let rustflags = rustflags(&self.workspace_root, &self.target_dir, self.library())?;
        let mut command = command();
        command
            .args([verb, "--target", TARGET])
            .args(["--message-format", message_format()])
            .arg("--manifest-path")
            .arg(&self.package.manifest_path)
            .args(["--bin", &self.bin])
            .arg("--target-dir")
            .arg(&self.target_dir)
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags);
        Ok(command)
    }
}

/// Builds the package `name` of the workspace in `folder` as an ordinary program of this machine
/// and returns the executable; the kernel is one, it brings its own linker arguments.
///
/// # Errors
///
/// It does not build: [`Status::Build`].
pub fn build_program(folder: &Path, name: &str, target_dir: &Path) -> Result<PathBuf> {
    let request = BuildRequest {
        manifest_path: Some(folder.join("Cargo.toml")),
        package: Some(name.to_owned()),
        ..BuildRequest::default()
    };
    let (_, package) = find_package(&request)?;
    let bin = choose_bin(&package, None)?;
    let mut command = command();
    command
        .args(["build", "--release", "--message-format", message_format()])
        .arg("--manifest-path")
        .arg(&package.manifest_path)
        .args(["--bin", &bin])
        .arg("--target-dir")
        .arg(target_dir);
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    run(command, &package, &bin, BUILD_HELP)
}

/// Runs `cargo build` and returns the executable it reports.
fn run(mut command: Command, package: &Package, bin: &str, help: &str) -> Result<PathBuf> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo, which must be on the PATH")?;
    let stdout = child.stdout.take().context("reading cargo's messages")?;
    let (id, name) = (package.id.clone(), bin.to_owned());
    let reader = thread::spawn(move || read_messages(BufReader::new(stdout), &id, &name));
    let status = wait(&mut child)?;
    let outcome = reader
        .join()
        .map_err(|_| anyhow!("reading cargo's messages"))??;
    if !status.success() {
        let what = format!("`{}` does not build", package.name);
        return Err(match outcome.diagnosis {
            Some(found) => {
                Failure::new(Status::Build, format!("{what}: {}", found.what)).help(found.help)
            }
            None => Failure::new(Status::Build, what).help(help),
        }
        .into());
    }
    outcome.executable.context("cargo reported no executable")
}

/// Waits for cargo's end, or ends it after Ctrl-C.
fn wait(child: &mut Child) -> Result<ExitStatus> {
    let ended = interrupt::wait_for(Duration::MAX, || {
        child.try_wait().context("waiting for cargo")
    });
    if interrupt::is_interrupted() {
        // From a terminal cargo has got Ctrl-C as well; either call fails only if it has ended.
        child.kill().ok();
        child.wait().ok();
    }
    ended?.context("waiting for cargo")
}

/// Returns how cargo is to write its messages: as JSON that has the compiler's words as people read
/// them.
fn message_format() -> &'static str {
    if std::io::stderr().is_terminal() {
        "json-diagnostic-rendered-ansi"
    } else {
        "json"
    }
}

/// What cargo's messages tell.
#[derive(Debug, Default)]
struct Outcome {
    executable: Option<PathBuf>,
    diagnosis: Option<Diagnosis>,
}

/// Reads cargo's messages to their end: which executable they report for a binary, and why there is
/// none.
fn read_messages(messages: impl BufRead, package: &PackageId, bin: &str) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for message in Message::parse_stream(messages) {
        match message.context("reading cargo's messages")? {
            Message::CompilerArtifact(artifact)
                if artifact.package_id == *package
                    && artifact.target.name == bin
                    && artifact.target.is_bin() =>
            {
                outcome.executable = artifact.executable.map(Utf8PathBuf::into_std_path_buf);
            }
            Message::CompilerMessage(message) => {
                let rendered = message.message.rendered.as_deref().unwrap_or_default();
                console::note(rendered.trim_end());
                outcome.diagnosis = outcome
                    .diagnosis
                    .or_else(|| diagnosis::of(&message.message));
            }
            _ => (),
        }
    }
    Ok(outcome)
}

fn find_package(request: &BuildRequest) -> Result<(Metadata, Package)> {
    let manifest_path = match &request.manifest_path {
        Some(path) => path.clone(),
        None => find_manifest()?,
    };
    let manifest_path = manifest_path.canonicalize().map_err(|error| {
        Failure::new(
            Status::Usage,
            format!("`{}`: {error}", manifest_path.display()),
        )
    })?;
    let metadata = MetadataCommand::new()
        .cargo_path(command().get_program())
        .manifest_path(&manifest_path)
        .no_deps()
        .exec()
        .map_err(|error| Failure::new(Status::Usage, metadata_message(&error)))?;
    let package = metadata
        .packages
        .iter()
        .find(|package| match &request.package {
            Some(name) => *package.name == *name,
            None => package.manifest_path.as_std_path() == manifest_path,
        })
        .cloned();
    let package = package.ok_or_else(|| match &request.package {
        Some(name) => Failure::new(Status::Usage, format!("there is no package `{name}` here")),
        None => Failure::new(
            Status::Usage,
            format!(
                "`{}` is a workspace without a package of its own",
                manifest_path.display()
            ),
        )
        .help("name one of its packages: cargo denali build -p NAME"),
    })?;
    Ok((metadata, package))
}

/// Returns the nearest manifest, from the current folder upwards.
fn find_manifest() -> Result<PathBuf> {
    let here = env::current_dir().context("finding the current folder")?;
    let found = here
        .ancestors()
        .map(|folder| folder.join("Cargo.toml"))
        .find(|path| path.exists());
    found.ok_or_else(|| {
        Failure::new(
            Status::Usage,
            format!("there is no Cargo.toml in `{}` or above it", here.display()),
        )
        .help("change to a project, or make one: cargo denali new NAME")
        .into()
    })
}

/// Returns cargo's own words without its `error: `.
fn metadata_message(error: &cargo_metadata::Error) -> String {
    match error {
        cargo_metadata::Error::CargoMetadata { stderr } => {
            stderr.trim().trim_start_matches("error: ").to_owned()
        }
        other => format!("asking cargo for the project: {other}"),
    }
}

fn choose_bin(package: &Package, wanted: Option<&str>) -> Result<String, Failure> {
    let is_bin = |target: &&cargo_metadata::Target| target.kind.contains(&TargetKind::Bin);
    let names: Vec<&str> = package
        .targets
        .iter()
        .filter(is_bin)
        .map(|target| target.name.as_str())
        .collect();
    let wrong = |what: String| {
        Failure::new(Status::Usage, what).help(format!("its binaries: {}", names.join(", ")))
    };
    match (wanted, names.as_slice()) {
        (Some(name), _) if names.contains(&name) => Ok(name.to_owned()),
        (Some(name), _) => Err(wrong(format!("`{}` has no binary `{name}`", package.name))),
        (None, [name]) => Ok((*name).to_owned()),
        (None, []) => Err(Failure::new(
            Status::Usage,
            format!("`{}` has no binary, and a service is one", package.name),
        )
        .help("add src/main.rs")),
        (None, _) => Err(wrong(format!(
            "`{}` has several binaries: choose one with --bin",
            package.name
        ))),
    }
}

/// Returns the encoded flags, with every folder of this machine renamed: the same sources give
/// the same bytes wherever they lie.
fn rustflags(workspace_root: &Path, target_dir: &Path, library: Library) -> Result<String> {
    let scripts = link::write_scripts(target_dir, library)?;
    let sysroot = sysroot(workspace_root)?;
    let cargo_home = cargo_home();
    Ok(link::encoded_rustflags(
        &scripts,
        library,
        &[
            (workspace_root, "/project"),
            (target_dir, "/project/target/denali"),
            (&cargo_home, "/cargo"),
            (&sysroot, "/rust"),
        ],
    ))
}

fn sysroot(folder: &Path) -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(folder)
        .output()
        .context("starting rustc, which must be on the PATH")?;
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}

fn cargo_home() -> PathBuf {
    let default = || env::home_dir().unwrap_or_default().join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(default, PathBuf::from)
}
