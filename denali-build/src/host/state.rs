//! Which hosts run on this machine: a folder for each, with its state, logs and sockets.

use crate::directories;
use crate::failure::{Failure, Status};
use crate::qemu::Internet;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

const STATE_FILE: &str = "state.json";

/// What is remembered of a running host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// Its name.
    pub name: String,
    /// QEMU's process id.
    pub pid: u32,
    /// The port on 127.0.0.1 that leads to the supervisor.
    pub port: u16,
    /// Its memory in bytes.
    pub memory: u64,
    /// What its services reach.
    pub internet: Internet,
}

/// A host that runs on this machine.
#[derive(Clone, Debug)]
pub struct Running {
    /// What is remembered of it.
    pub state: State,
    folder: PathBuf,
}

impl Running {
    /// Returns the address its supervisor answers at.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.state.port)
    }

    /// Returns the socket of QEMU's monitor.
    #[must_use]
    pub fn monitor(&self) -> PathBuf {
        monitor_in(&self.folder)
    }

    /// Returns the file with everything the kernel wrote to its serial line.
    #[must_use]
    pub fn serial_log(&self) -> PathBuf {
        serial_log_in(&self.folder)
    }

    /// Returns whether its QEMU still lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        // The monitor's path on the command line tells our QEMU from a later process of that id.
        let command_line = fs::read(format!("/proc/{}/cmdline", self.state.pid));
        let monitor = self.monitor();
        command_line
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&*monitor.to_string_lossy()))
    }

    /// Removes its folder.
    pub(super) fn forget(&self) -> Result<()> {
        // Nobody minds a file that stays behind.
        fs::remove_file(lock_of(&self.folder)).ok();
        remove(&self.folder)
    }
}

/// Returns the folder of the host `name`.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
        return Err(Failure::new(
            Status::Usage,
            format!("`{name}` is not a host's name: 1 to 32 letters, digits, `-` and `_`"),
        )
        .into());
    }
    Ok(directories::state()?.join("hosts").join(name))
}

/// Returns the file that is locked while the host of a folder starts.
pub(super) fn lock_of(folder: &Path) -> PathBuf {
    folder.with_extension("lock")
}

pub(super) fn monitor_in(folder: &Path) -> PathBuf {
    folder.join("monitor.socket")
}

pub(super) fn serial_log_in(folder: &Path) -> PathBuf {
    folder.join("serial.log")
}

/// Remembers a host.
pub(super) fn save(folder: &Path, state: State) -> Result<Running> {
    let json = serde_json::to_vec_pretty(&state).context("writing the host's state")?;
    directories::write(&folder.join(STATE_FILE), &json, directories::PRIVATE)?;
    Ok(Running {
        state,
        folder: folder.to_owned(),
    })
}

/// Returns the running host `name`; what a dead one left behind is removed.
///
/// # Errors
///
/// The name is wrong, or the state cannot be read.
pub fn find(name: &str) -> Result<Option<Running>> {
    let folder = folder(name)?;
    let Ok(json) = fs::read(folder.join(STATE_FILE)) else {
        return Ok(None);
    };
    let state = serde_json::from_slice(&json)
        .with_context(|| format!("reading the state in `{}`", folder.display()))?;
    let running = Running { state, folder };
    if running.is_alive() {
        return Ok(Some(running));
    }
    running.forget()?;
    Ok(None)
}

/// Returns all running hosts in order of name.
///
/// # Errors
///
/// As [`find`].
pub fn all() -> Result<Vec<Running>> {
    let Ok(entries) = fs::read_dir(directories::state()?.join("hosts")) else {
        return Ok(Vec::new());
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.contains('.'))
        .collect();
    names.sort();
    let found: Result<Vec<_>> = names.iter().map(|name| find(name)).collect();
    Ok(found?.into_iter().flatten().collect())
}

pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}
