//! The guests of `guests/`, each made a project with a manifest of its own.
//!
//! They live in one generated workspace below `target`, so that what they share is built once.

use crate::cli::{repository, target_dir};
use crate::project::write_if_changed;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A guest and what it asks of its host.
#[derive(Clone, Debug)]
pub struct Guest {
    source: String,
    settings: String,
}

impl Guest {
    /// Takes the guest `guests/src/bin/NAME.rs`, with 1 MiB of memory.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            source: name.to_owned(),
            settings: String::new(),
        }
    }

    /// Publishes ports, such as `8080:80` or `53:53/udp`.
    #[must_use]
    pub fn publish(self, ports: &[String]) -> Self {
        self.set("publish", &format!("{ports:?}"))
    }

    /// Passes arguments.
    #[must_use]
    pub fn arguments(self, arguments: &[&str]) -> Self {
        self.set("arguments", &format!("{arguments:?}"))
    }

    /// Takes this address: `dhcp`, or four numbers.
    #[must_use]
    pub fn address(self, address: &str) -> Self {
        self.set("address", &format!("{address:?}"))
    }

    /// Asks for this much memory.
    #[must_use]
    pub fn memory(self, memory: &str) -> Self {
        self.set("memory", &format!("{memory:?}"))
    }

    /// Writes the project and returns its folder.
    ///
    /// # Panics
    ///
    /// If there is no such guest, or the project cannot be written.
    #[must_use]
    pub fn project(&self) -> PathBuf {
        let folder = workspace().join(&self.source);
        write_if_changed(&folder.join("Cargo.toml"), self.manifest().as_bytes());
        folder
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        writeln!(self.settings, "{key} = {value}").expect("a string takes everything");
        self
    }

    fn manifest(&self) -> String {
        let Self { source, settings } = self;
        let memory = if settings.contains("memory = ") {
            ""
        } else {
            "memory = \"1M\""
        };
        let root = repository().display();
        format!(
            "[package]\nname = \"{source}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [[bin]]\nname = \"{source}\"\n\
             path = \"{root}/test-harness/guests/src/bin/{source}.rs\"\n\n\
             [package.metadata.denali]\n{memory}\n{settings}\n\
             [dependencies]\ndenali-abi = {{ path = \"{root}/host-kernel/abi\" }}\n\
             denali-rt = {{ path = \"{root}/denali-rt\" }}\n"
        )
    }
}

/// Returns the folder of the workspace, in which every guest has a project.
fn workspace() -> &'static PathBuf {
    static WORKSPACE: OnceLock<PathBuf> = OnceLock::new();
    WORKSPACE.get_or_init(|| {
        let folder = target_dir().join("harness/guests");
        let sources = repository().join("test-harness/guests/src/bin");
        let mut members = Vec::new();
        for entry in fs::read_dir(sources).expect("the guests") {
            let path = entry.expect("a readable folder").path();
            let name = path
                .file_stem()
                .and_then(|name| name.to_str())
                .expect("a plain name");
            let project = folder.join(name);
            fs::create_dir_all(&project).expect("a folder below target");
            if !project.join("Cargo.toml").exists() {
                let manifest = Guest::new(name).manifest();
                write_if_changed(&project.join("Cargo.toml"), manifest.as_bytes());
            }
            members.push(name.to_owned());
        }
        members.sort();
        let manifest = format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n\
             [profile.release]\npanic = \"abort\"\nopt-level = \"s\"\ncodegen-units = 1\n\
             debug = \"line-tables-only\"\n"
        );
        write_if_changed(&folder.join("Cargo.toml"), manifest.as_bytes());
        take_versions(&folder);
        folder
    })
}

/// Gives the workspace the versions of the repository. Cargo then adds the guests to its lock file
/// and drops what they do not use, so the file as it was taken is kept beside it.
fn take_versions(folder: &Path) {
    let lock = fs::read(repository().join("Cargo.lock")).expect("the lock file");
    let taken = folder.join("Cargo.lock.taken");
    if !fs::read(&taken).is_ok_and(|old| old == lock) {
        write_if_changed(&folder.join("Cargo.lock"), &lock);
        write_if_changed(&taken, &lock);
    }
}
