//! Where `cargo denali` keeps its files on this machine (XDG base directories).
//!
//! `DENALI_HOME` puts them all below one folder.

use crate::failure::{Failure, Status};
use anyhow::{Context, Result};
use std::env;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Returns the folder for keys and settings.
pub(crate) fn config() -> Result<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config", "config")
}

/// Returns the folder for what can be built again.
pub(crate) fn cache() -> Result<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache", "cache")
}

/// Returns the folder for running hosts.
pub(crate) fn state() -> Result<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state", "state")
}

fn folder(variable: &str, below_home: &str, below_denali_home: &str) -> Result<PathBuf> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(home) = absolute("DENALI_HOME") {
        return Ok(home.join(below_denali_home));
    }
    if let Some(base) = absolute(variable) {
        return Ok(base.join("denali"));
    }
    let home = env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| {
            Failure::new(Status::Usage, "this user has no home folder")
                .help("set DENALI_HOME to a folder that can be written")
        })?;
    Ok(home.join(below_home).join("denali"))
}

/// Makes a folder only this user can read, with all above it.
pub(crate) fn create_private(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("creating the folder `{}`", folder.display()))
}

/// Permissions of files with secrets.
pub(crate) const PRIVATE: u32 = 0o600;

/// Permissions of files anybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file; an existing one is replaced as a whole or not at all.
pub(crate) fn write(path: &Path, contents: &[u8], permissions: u32) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".partial");
    let write = || {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(permissions);
        let mut file = options.open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().or_else(|error| {
        // Writing failed already; a file that stays behind is the smaller trouble.
        std::fs::remove_file(&temporary).ok();
        Err(error).with_context(|| format!("writing `{}`", path.display()))
    })
}

/// Waits until no other process holds the lock on `path`, and holds it while the value lives.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let open = || {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(PRIVATE)
            .open(path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|error: std::io::Error| {
        anyhow::Error::new(error).context(format!("locking `{}`", path.display()))
    })
}
