//! Starts a local host, waits until it answers, and ends it.

use super::boot::{self, NetworkSettings};
use super::keys::Keys;
use super::state::{self, Running, State};
use super::{Target, artifacts, data, network};
use crate::client::Client;
use crate::failure::{Failure, Status};
use crate::free_port::free_port;
use crate::ports::Ports;
use crate::qemu::{self, Internet, Machine};
use crate::{directories, install, interrupt, qmp};
use anyhow::{Context, Result};
use denali_protocol::BootConfig;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

/// How long a host may take until it answers; without hardware acceleration it takes seconds.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);

/// How long services that a host kept may take to come back.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long QEMU may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Most disks of a host: as many as the kernel uses.
const DISKS_MAX: usize = 8;

/// Lines of a log shown when a host does not start.
const TAIL_LINES: usize = 12;

/// How to start a local host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Its memory in bytes.
    pub memory: u64,
    /// The port on 127.0.0.1 for the supervisor; `None` takes a free one.
    pub port: Option<u16>,
    /// Sizes of its disks in bytes; at most eight.
    pub disks: Vec<u64>,
    /// Where it keeps what outlives it.
    pub data: Data,
    /// Whether services reach what this machine reaches.
    pub internet: Internet,
    /// A folder for the sockets of its Ethernet, instead of QEMU's user network.
    pub ethernet: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
    /// The port on 127.0.0.1 for its metrics, if they are told over HTTP.
    pub metrics: Option<u16>,
}

/// Where a host keeps what outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// On the disk it has already, if it has one.
    AsBefore,
    /// On its disk, which is made with so many bytes if it has none.
    Disk(u64),
    /// Nowhere.
    None,
}

/// Returns what the supervisor is told.
fn config(options: &Options, keys: &Keys) -> Result<BootConfig> {
    let config = boot::config(&options.name, NetworkSettings::local(), keys)?;
    Ok(BootConfig {
        metrics_port: options.metrics.map(|_| network::METRICS_PORT),
        ..config
    })
}

/// Starts a host and returns when its supervisor answers.
///
/// # Errors
///
/// It is up already, something is missing, or it does not boot. Nothing is left running then.
pub fn up(options: &Options) -> Result<Running> {
    let folder = state::folder(&options.name)?;
    check_down(&options.name)?;
    install::ensure(&[install::QEMU])?;
    let artifacts = artifacts::build()?;
    let keys = Keys::load()?;
    directories::create_private(folder.parent().unwrap_or(Path::new("/")))?;
    let _lock = directories::lock(&state::lock_of(&folder))?;
    if let Some(running) = state::find(&options.name)? {
        return Err(Failure::new(
            Status::Failed,
            format!(
                "the host `{}` is up already at {}",
                options.name,
                running.address()
            ),
        )
        .help("use it, or end it: cargo denali host down")
        .into());
    }
    state::remove(&folder)?;
    directories::create_private(&folder)?;
    let mut starting = Starting {
        folder: Some(folder.clone()),
        child: None,
    };

    let config = config(options, &keys)?;
    let supervisor = fs::read(&artifacts.supervisor)
        .with_context(|| format!("reading `{}`", artifacts.supervisor.display()))?;
    let module = folder.join("boot-module");
    directories::write(
        &module,
        &boot::module(&supervisor, &config)?,
        directories::PRIVATE,
    )?;
    let mut disks = make_disks(&folder, &options.disks)?;
    disks.extend(match options.data {
        Data::AsBefore => data::find(&options.name)?,
        Data::Disk(size) => Some(data::find_or_make(&options.name, size)?),
        Data::None => None,
    });
    check_count(disks.len())?;
    let port = choose_port(options)?;
    let machine = Machine {
        kernel: artifacts.kernel,
        module,
        memory: options.memory,
        disks,
        ssh_port: port,
        metrics_port: options.metrics,
        internet: options.internet,
        ethernet: options.ethernet.clone(),
        command_line: options.command_line.clone(),
        monitor: state::monitor_in(&folder),
        serial_log: state::serial_log_in(&folder),
        log: folder.join("qemu.log"),
    };
    let child = starting.child.insert(qemu::spawn(&machine)?);
    let memory = options.memory;
    let state = State {
        name: options.name.clone(),
        pid: child.id(),
        port,
        memory,
        internet: options.internet,
    };
    let running = state::save(&folder, state)?;
    wait_until_it_answers(child, &running, &machine, &keys)?;
    publish_restored(&running, &keys)?;
    starting.keep();
    Ok(running)
}

fn choose_port(options: &Options) -> Result<u16> {
    match (options.port, &options.ethernet) {
        // Whoever is at the other end of the Ethernet has it already.
        (Some(port), Some(_)) => Ok(port),
        (port, _) => port.map_or_else(free_port, check_port),
    }
}

fn check_count(disks: usize) -> Result<()> {
    if disks > DISKS_MAX {
        let what = format!("{disks} disks: a host has at most {DISKS_MAX}");
        return Err(Failure::new(Status::Usage, what).into());
    }
    Ok(())
}

/// Makes the disks' files: they take room as the host writes to them.
fn make_disks(folder: &Path, sizes: &[u64]) -> Result<Vec<PathBuf>> {
    let make = |(nth, &bytes): (usize, &u64)| {
        let path = folder.join(format!("disk{nth}.raw"));
        fs::File::create_new(&path)
            .and_then(|file| file.set_len(bytes))
            .with_context(|| format!("making the disk `{}`", path.display()))?;
        Ok(path)
    };
    sizes.iter().enumerate().map(make).collect()
}

fn check_down(name: &str) -> Result<()> {
    let Some(running) = state::find(name)? else {
        return Ok(());
    };
    Err(Failure::new(
        Status::Failed,
        format!("the host `{name}` is up already at {}", running.address()),
    )
    .help(format!(
        "use it, or end it: cargo denali host down --name {name}"
    ))
    .into())
}

/// A host on its way up; dropped, it is ended and its folder removed.
struct Starting {
    folder: Option<PathBuf>,
    child: Option<Child>,
}

impl Starting {
    fn keep(mut self) {
        self.folder = None;
        self.child = None;
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Either fails only if QEMU has ended already.
            child.kill().ok();
            child.wait().ok();
        }
        if let Some(folder) = self.folder.take() {
            state::remove(&folder).ok();
        }
    }
}

/// Checks that nobody has a port of 127.0.0.1.
fn check_port(port: u16) -> Result<u16> {
    TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        Failure::new(
            Status::Refused,
            format!("port {port} of this machine: {error}"),
        )
        .help("choose another with --port, or leave the choice: cargo denali host up")
    })?;
    Ok(port)
}

fn wait_until_it_answers(
    child: &mut Child,
    running: &Running,
    machine: &Machine,
    keys: &Keys,
) -> Result<()> {
    let target = Target::local(running.clone(), keys.clone())?;
    let answer = interrupt::wait_for(BOOT_TIMEOUT, || {
        if let Some(status) = child.try_wait().context("looking after QEMU")? {
            return Err(does_not_start(&format!("QEMU ended ({status})"), machine));
        }
        if !target.access().greets() {
            return Ok(None);
        }
        Client::connect(&target)?.host().map(Some)
    });
    match answer {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            let after = BOOT_TIMEOUT.as_secs();
            Err(does_not_start(
                &format!("no answer after {after} s"),
                machine,
            ))
        }
        Err(error) => Err(error),
    }
}

/// Waits until the services have come back that the host kept, and forwards their ports.
fn publish_restored(running: &Running, keys: &Keys) -> Result<()> {
    let client = Client::connect(&Target::local(running.clone(), keys.clone())?)?;
    let restored = interrupt::wait_for(RESTORE_TIMEOUT, || {
        let store = client.host()?.store;
        Ok(store
            .is_none_or(|store| store.restoring == 0)
            .then_some(store))
    })?;
    if restored.flatten().is_none_or(|store| store.services == 0) {
        return Ok(());
    }
    let mut ports = Ports::of(running)?;
    for service in client.services()? {
        if service.state.is_alive() && !service.publish.is_empty() && service.address.is_some() {
            ports.publish(&service)?;
        }
    }
    Ok(())
}

fn does_not_start(what: &str, machine: &Machine) -> anyhow::Error {
    let mut message = format!("the host does not start: {what}");
    for log in [&machine.log, &machine.serial_log] {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            message.push_str("\n    ");
            message.push_str(line.trim_end());
        }
    }
    Failure::new(Status::Failed, message)
        .help("more memory, or another port, may help: cargo denali host up --memory 512M")
        .into()
}

/// Ends a host and forgets it.
///
/// # Errors
///
/// QEMU does not end, or its folder cannot be removed.
pub fn down(running: &Running) -> Result<()> {
    if running.is_alive() {
        // QEMU may close the connection before it has answered; whether it ends is what counts.
        qmp::Monitor::connect(&running.monitor())
            .and_then(|mut monitor| monitor.quit())
            .ok();
        if !has_ended(running) {
            return Err(Failure::new(
                Status::Failed,
                format!("the host `{}` does not end", running.state.name),
            )
            .help(format!("end QEMU by hand: kill {}", running.state.pid))
            .into());
        }
    }
    running.forget()
}

/// Waits for QEMU's end, whatever Ctrl-C says: this is how Ctrl-C ends things.
fn has_ended(running: &Running) -> bool {
    let deadline = Instant::now() + END_TIMEOUT;
    while running.is_alive() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    !running.is_alive()
}

/// A host that ends when this value is dropped.
#[derive(Debug)]
pub struct ThrowAway(Option<Running>);

impl ThrowAway {
    /// Takes charge of a host.
    #[must_use]
    pub const fn new(running: Running) -> Self {
        Self(Some(running))
    }

    /// Ends the host.
    ///
    /// # Errors
    ///
    /// As [`down`].
    pub fn end(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), |running| down(&running))
    }

    /// Lets the host run on.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        if let Some(running) = self.0.take()
            && let Err(error) = down(&running)
        {
            crate::console::note(&format!("warning: {error:#}"));
        }
    }
}
