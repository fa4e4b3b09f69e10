//! The command line of QEMU for a local host.

use crate::host::network;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// The name of the host's network card in QEMU's monitor.
pub(crate) const NETDEV: &str = "net0";

/// Names of the sockets of an Ethernet whose frames are datagrams: QEMU receives at the first and sends
/// to the second, which belongs to whoever is at the other end.
pub const UPLINK: [&str; 2] = ["host", "peer"];

/// Longest path of a Unix socket in bytes (`sockaddr_un`, unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// Whether a local host reaches what this machine reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Internet {
    /// Services reach each other and nothing else.
    Closed,
    /// Services reach what this machine reaches.
    Open,
}

/// A machine to start.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's ELF file, started by PVH.
    pub kernel: PathBuf,
    /// The boot module.
    pub module: PathBuf,
    /// Memory in bytes.
    pub memory: u64,
    /// Files that are its disks.
    pub disks: Vec<PathBuf>,
    /// The port on 127.0.0.1 that leads to the supervisor.
    pub ssh_port: u16,
    /// The port on 127.0.0.1 that leads to the supervisor's metrics, if one does.
    pub metrics_port: Option<u16>,
    /// What the machine reaches.
    pub internet: Internet,
    /// A folder with the sockets that are its Ethernet, instead of QEMU's user network: see
    /// [`UPLINK`].
    pub ethernet: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
    /// Unix socket for the monitor.
    pub monitor: PathBuf,
    /// File for the serial line.
    pub serial_log: PathBuf,
    /// File for what QEMU itself says.
    pub log: PathBuf,
}

/// Starts the machine in the background, in a process group of its own: Ctrl-C does not reach it.
///
/// # Errors
///
/// QEMU cannot be started, or a path does not fit its command line.
pub fn spawn(machine: &Machine) -> Result<Child> {
    if machine.monitor.as_os_str().len() > SOCKET_PATH_MAX {
        anyhow::bail!(
            "the path `{}` is too long for a socket; set DENALI_HOME to a shorter one",
            machine.monitor.display()
        );
    }
    let log = File::create(&machine.log)
        .with_context(|| format!("writing `{}`", machine.log.display()))?;
    let errors = log.try_clone().context("starting QEMU")?;
    Command::new(PROGRAM)
        .args(arguments(machine))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .context("starting QEMU")
}

/// Returns QEMU's arguments.
#[must_use]
pub fn arguments(machine: &Machine) -> Vec<String> {
    let restrict = match machine.internet {
        Internet::Closed => "on",
        Internet::Open => "off",
    };
    let netdev = format!(
        "user,id={NETDEV},net={},host={},dns={},dhcpstart={},restrict={restrict},\
         hostfwd=tcp:127.0.0.1:{}-{}:{}",
        network::NETWORK,
        network::GATEWAY,
        network::DNS,
        network::DHCP_START,
        machine.ssh_port,
        network::SUPERVISOR,
        network::SSH_PORT
    );
    let metrics = machine.metrics_port.map(|port| {
        let (supervisor, guest) = (network::SUPERVISOR, network::METRICS_PORT);
        format!(",hostfwd=tcp:127.0.0.1:{port}-{supervisor}:{guest}")
    });
    let netdev = netdev + &metrics.unwrap_or_default();
    let memory = format!("{}M", machine.memory >> 20);
    let kernel = text(&machine.kernel);
    let module = text(&machine.module);
    let serial = format!("file:{}", text(&machine.serial_log).replace(',', ",,"));
    let monitor = format!(
        "unix:{},server=on,wait=off",
        text(&machine.monitor).replace(',', ",,")
    );
    let netdev = machine.ethernet.as_deref().map_or(netdev, uplink);
    let device = format!("virtio-net-pci,netdev={NETDEV},disable-legacy=on,romfile=");
    let fixed = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-machine",
        "q35",
        "-accel",
        accelerator(),
        "-cpu",
        "max",
        "-m",
        &memory,
        "-kernel",
        &kernel,
        "-initrd",
        &module,
        "-netdev",
        &netdev,
        "-device",
        &device,
        "-serial",
        &serial,
        "-qmp",
        &monitor,
    ]
    .map(str::to_owned);
    let disks = machine.disks.iter().enumerate();
    fixed
        .into_iter()
        .chain(disks.flat_map(|(nth, file)| disk(nth, file)))
        .chain(command_line(&machine.command_line))
        .collect()
}

/// Returns the network that leads to the sockets in a folder.
fn uplink(folder: &Path) -> String {
    let [near, far] = UPLINK.map(|end| text(&folder.join(end)).replace(',', ",,"));
    format!(
        "dgram,id={NETDEV},local.type=unix,local.path={near},remote.type=unix,remote.path={far}"
    )
}

fn command_line(words: &str) -> impl Iterator<Item = String> {
    let given = (!words.is_empty()).then(|| ["-append".to_owned(), words.to_owned()]);
    given.into_iter().flatten()
}

/// Returns the arguments of one disk.
fn disk(nth: usize, file: &Path) -> [String; 4] {
    let file = text(file).replace(',', ",,");
    [
        "-drive".to_owned(),
        format!("if=none,id=disk{nth},format=raw,discard=unmap,file={file}"),
        "-device".to_owned(),
        format!("virtio-blk-pci,drive=disk{nth},disable-legacy=on"),
    ]
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Returns `kvm` where this machine can use it, else `tcg`.
fn accelerator() -> &'static str {
    let device = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_extensions = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| {
            line.split_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        });
    if device.is_ok() && has_extensions {
        "kvm"
    } else {
        "tcg"
    }
}
