//! The guests of `guests/`, each made a project with a manifest of its own.
//!
//! They live in a generated workspace below `target`, so that what they share is built once. Test programs that run
//! beside each other have a workspace each.

use crate::cli::{repository, target_dir};
use crate::home::Home;
use crate::project::write_if_changed;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A guest and what it asks of its host.
#[derive(Clone, Debug)]
pub struct Guest {
    name: String,
    source: PathBuf,
    settings: String,
    /// What it needs beside the runtime, as a manifest has it.
    dependencies: String,
}

impl Guest {
    /// Takes the guest `guests/src/bin/NAME.rs`, with 1 MiB of memory.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let source = repository().join("test-harness/guests/src/bin").join(name);
        Self::from_source(name, source.with_extension("rs"))
    }

    /// Takes the example `examples/NAME`, with 1 MiB of memory.
    ///
    /// # Panics
    ///
    /// If there is no such example.
    #[must_use]
    pub fn example(name: &str) -> Self {
        let folder = repository().join("examples").join(name);
        let read = |path: &Path| fs::read_to_string(path).expect("a manifest");
        let own = read(&folder.join("Cargo.toml"));
        let root = read(&repository().join("Cargo.toml"));
        let mut guest = Self::from_source(name, folder.join("src/main.rs"));
        guest.dependencies = foreign_dependencies(&own, &root);
        guest
    }

    fn from_source(name: &str, source: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            source,
            settings: String::new(),
            dependencies: String::new(),
        }
    }

    /// Gives the service another name than its source has.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self
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

    /// Sets environment variables.
    #[must_use]
    pub fn environment(self, variables: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = variables
            .iter()
            .map(|(name, value)| format!("{name} = {value:?}"))
            .collect();
        self.set_raw(&format!("environment = {{ {} }}", pairs.join(", ")))
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

    /// Asks for volumes, such as `data:64M`.
    #[must_use]
    pub fn volumes(self, volumes: &[&str]) -> Self {
        self.set("volume", &format!("{volumes:?}"))
    }

    /// Sets what happens when it ends though nobody asked it to.
    #[must_use]
    pub fn restart(self, policy: &str) -> Self {
        self.set("restart", &format!("{policy:?}"))
    }

    /// Writes the project and returns its folder.
    ///
    /// # Panics
    ///
    /// If there is no such guest, or the project cannot be written.
    #[must_use]
    pub fn project(&self) -> PathBuf {
        let folder = workspace().join(&self.name);
        fs::create_dir_all(&folder).expect("a folder below target");
        write_if_changed(&folder.join("Cargo.toml"), self.manifest().as_bytes());
        folder
    }

    /// Builds the guest and returns its image.
    ///
    /// # Panics
    ///
    /// As [`project`](Self::project), or if it does not build.
    #[must_use]
    pub fn image(&self, home: &Home) -> PathBuf {
        home.denali(["build"]).within(self.project()).succeeds();
        workspace().join(format!("target/denali/{}.image", self.name))
    }

    fn set(self, key: &str, value: &str) -> Self {
        self.set_raw(&format!("{key} = {value}"))
    }

    fn set_raw(mut self, line: &str) -> Self {
        writeln!(self.settings, "{line}").expect("a string takes everything");
        self
    }

    fn manifest(&self) -> String {
        let Self {
            name,
            source,
            settings,
            dependencies,
        } = self;
        let source = source.display();
        let memory = if settings.contains("memory = ") {
            ""
        } else {
            "memory = \"1M\""
        };
        let root = repository().display();
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [[bin]]\nname = \"{name}\"\n\
             path = \"{source}\"\n\n\
             [package.metadata.denali]\n{memory}\n{settings}\n\
             [dependencies]\ndenali-abi = {{ path = \"{root}/host-kernel/abi\" }}\n\
             denali-rt = {{ path = \"{root}/denali-rt\" }}\n{dependencies}\n\
             [lints.rust]\n\
             unexpected_cfgs = {{ level = \"warn\", check-cfg = [\"cfg(denali)\"] }}\n"
        )
    }
}

/// Returns the dependencies that the manifest `own` takes from the manifest `root` and that are not
/// ours, as a manifest elsewhere has them.
fn foreign_dependencies(own: &str, root: &str) -> String {
    let section = own.split("[dependencies]\n").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split_once(" = "));
    let foreign = names.filter(|(name, _)| !name.starts_with("denali-"));
    foreign
        .map(|(name, _)| {
            let start = format!("{name} = ");
            let line = root.lines().find(|line| line.starts_with(&start));
            format!(
                "{}\n",
                line.unwrap_or_else(|| panic!("no `{name}` in the root manifest"))
            )
        })
        .collect()
}

/// Returns the folder of the workspace, in which every guest has a project.
fn workspace() -> &'static Path {
    static WORKSPACE: LazyLock<(File, PathBuf)> = LazyLock::new(|| {
        let guests = target_dir().join("harness/guests");
        fs::create_dir_all(&guests).expect("a folder below target");
        let (claim, folder) = (0..)
            .find_map(|number| claim(&guests, number))
            .expect("numbers do not end");
        // A guest is a member once it has been asked for; one that is gone must not stay.
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let project = entry.expect("a readable entry").path();
            if project.join("Cargo.toml").is_file() {
                fs::remove_dir_all(project).expect("a folder of ours");
            }
        }
        write_if_changed(&folder.join("Cargo.toml"), WORKSPACE_MANIFEST.as_bytes());
        take_versions(&folder);
        (claim, folder)
    });
    &WORKSPACE.1
}

/// Makes workspace `number` this program's as long as it runs, unless it is another's.
fn claim(guests: &Path, number: u32) -> Option<(File, PathBuf)> {
    let folder = guests.join(number.to_string());
    fs::create_dir_all(&folder).expect("a folder below target");
    let lock = File::create(folder.join("lock")).expect("a lock");
    lock.try_lock().is_ok().then_some((lock, folder))
}

/// The profile is that of the templates, but without link-time optimization: guests are many, and
/// small enough.
const WORKSPACE_MANIFEST: &str = r#"[workspace]
resolver = "3"
members = ["*"]
exclude = ["target"]

[profile.release]
panic = "abort"
opt-level = "s"
codegen-units = 1
debug = "line-tables-only"
"#;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_its_dependencies_elsewhere_too() {
        let own = "[dependencies]\ndenali-rt = { workspace = true }\nlog = { workspace = true }\n\n[lints]\nx = 1\n";
        let root = "log4 = \"2\"\nlog = { version = \"0.4\" }\n";
        assert_eq!(
            foreign_dependencies(own, root),
            "log = { version = \"0.4\" }\n"
        );
    }
}
