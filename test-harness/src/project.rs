//! Projects made from templates, as `cargo denali new` makes them.

use crate::cli;
use crate::home::Home;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A project.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    /// Keeps a shared project to one test at a time; released when dropped.
    _lock: Option<File>,
}

impl Project {
    /// Makes a project in `home`'s folder, outside the repository.
    ///
    /// # Panics
    ///
    /// If `new` fails.
    #[must_use]
    pub fn new(home: &Home, name: &str, template: &str) -> Self {
        home.denali(["new", name, "--template", template])
            .succeeds();
        Self {
            folder: home.path().join(name),
            _lock: None,
        }
    }

    /// Makes a project that all tests share, so that its dependencies are built once. Its name is
    /// its template's. Waits while another test has it.
    ///
    /// # Panics
    ///
    /// If `new` fails, or the project cannot be written.
    #[must_use]
    pub fn shared(home: &Home, template: &str) -> Self {
        let fresh = Self::new(home, template, template);
        let shared = cli::target_dir().join("harness/projects");
        let folder = shared.join(template);
        fs::create_dir_all(&shared).expect("a folder below target");
        let lock = File::create(shared.join(format!("{template}.lock"))).expect("a lock");
        lock.lock().expect("locks");
        mirror(&fresh.folder, &folder);
        fs::remove_dir_all(&fresh.folder).expect("a folder of ours");
        Self {
            folder,
            _lock: Some(lock),
        }
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Publishes `port` of the host instead of the port the template names.
    ///
    /// # Panics
    ///
    /// If the manifest names none.
    pub fn publish(&self, port: u16) {
        self.edit(
            "publish = [\"8080:80\"]",
            &format!("publish = [\"{port}:80\"]"),
        );
    }

    /// Replaces a part of the manifest.
    ///
    /// # Panics
    ///
    /// If it has no such part.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).expect("a manifest");
        assert!(text.contains(from), "no {from:?} in {text}");
        fs::write(&path, text.replace(from, to)).expect("a manifest that can be written");
    }
}

/// Folders of a project that building or git makes.
const MADE: [&str; 2] = ["target", ".git"];

/// Makes `to` the same as `from`, but for what is [`MADE`]; files that are equal already keep
/// their times, by which cargo decides what to build.
pub(crate) fn mirror(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder below target");
    let names = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).expect("a readable folder");
        let names = entries.map(|entry| entry.expect("a readable entry").file_name());
        names
            .filter(|name| !MADE.iter().any(|made| name == made))
            .collect()
    };
    for name in names(to) {
        let (source, path) = (from.join(&name), to.join(&name));
        if path.is_dir() && !source.is_dir() {
            fs::remove_dir_all(&path).expect("a folder of ours");
        } else if path.is_file() && !source.is_file() {
            fs::remove_file(&path).expect("a file of ours");
        }
    }
    for name in names(from) {
        let (source, path) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            mirror(&source, &path);
        } else {
            write_if_changed(&path, &fs::read(&source).expect("a readable file"));
        }
    }
}

/// Writes a file unless it has these contents already.
pub(crate) fn write_if_changed(path: &Path, contents: &[u8]) {
    if fs::read(path).is_ok_and(|old| old == contents) {
        return;
    }
    // Renamed into place, so that a cargo that reads it meanwhile sees a whole file.
    let partial = path.with_extension("partial");
    fs::write(&partial, contents).expect("a folder that can be written");
    fs::rename(&partial, path).expect("a folder that can be written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_drops_what_is_gone_and_keeps_what_was_built() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for path in ["from/src", "to/src", "to/old", "to/target"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for path in [
            "from/src/main.rs",
            "to/src/lib.rs",
            "to/old/file",
            "to/target/file",
        ] {
            fs::write(folder.path().join(path), path).unwrap();
        }
        mirror(&from, &to);
        assert_eq!(
            fs::read_to_string(to.join("src/main.rs")).unwrap(),
            "from/src/main.rs"
        );
        assert!(to.join("target/file").exists());
        assert!(!to.join("old").exists() && !to.join("src/lib.rs").exists());
    }
}
