//! What the supervisor and `cargo denali` tell each other: plain data as JSON, over SSH.
//!
//! A *package* is a `tar` with the entries [`MANIFEST_ENTRY`], [`IMAGE_ENTRY`] and
//! [`BUILD_ID_ENTRY`]. Commands are lines of text (`ls --json`, `deploy --sha256 … --length …`);
//! answers with `--json` are the types below, one JSON value (or one a line for streams).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod limits;
pub mod releases;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
pub use limits::Limits;
use serde::{Deserialize, Serialize};

/// Name of the manifest inside a package.
pub const MANIFEST_ENTRY: &str = "manifest.json";

/// Name of the flat image inside a package.
pub const IMAGE_ENTRY: &str = "image";

/// Name of the entry with the build-id in hexadecimal digits.
pub const BUILD_ID_ENTRY: &str = "build-id";

/// The format of packages; a supervisor refuses others.
pub const PACKAGE_FORMAT: u32 = 1;

/// Longest package in bytes.
pub const PACKAGE_LEN_MAX: u64 = 16 << 20;

/// The user everybody logs in as.
pub const ADMIN_USER: &str = "admin";

/// What a package says of the service inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// [`PACKAGE_FORMAT`].
    pub format: u32,
    /// Name of the service: letters, digits, `-` and `_`, at most 32 bytes.
    pub name: String,
    /// Version of the service's crate.
    pub version: String,
    /// The image's build-id in hexadecimal digits.
    pub build_id: String,
    /// Memory limit in bytes, a multiple of 4,096.
    pub memory: u64,
    /// Ports to publish on the host.
    pub publish: Vec<PublishedPort>,
    /// Arguments of the service.
    pub arguments: Vec<String>,
    /// Environment of the service.
    pub environment: BTreeMap<String, String>,
    /// `None` takes an address from the host's pool.
    pub address: Option<Address>,
    /// What it may take of CPU and network.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Disks of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeRequest>,
    /// How to tell that it does what it is for; `None` connects to its first published TCP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Check>,
}

/// How to tell that a service does what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Check {
    /// It accepts a TCP connection.
    Tcp {
        /// On this port.
        port: u16,
    },
    /// It answers a GET with a status from 200 to 399.
    Http {
        /// On this port.
        port: u16,
        /// For this path.
        path: String,
    },
}

/// A disk that a service asks for; it outlives releases and reboots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VolumeRequest {
    /// Its name within the service: letters, digits, `-` and `_`, at most 24 bytes.
    pub name: String,
    /// Its size in bytes, a multiple of 4,096.
    pub size: u64,
}

/// One port of the service made reachable on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PublishedPort {
    /// The port on the host, 1 to 65,535.
    pub host: u16,
    /// The port the service listens on, 1 to 65,535.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Transport,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How a service gets its IPv4 address, if not from the host's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// From the DHCP server on the host's Ethernet.
    Dhcp,
    /// This one.
    Static([u8; 4]),
}

/// What a service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Its VM is runnable.
    Running,
    /// Its VM waits for a packet or an alarm.
    Idle,
    /// Its VM is not admitted at present.
    Dormant,
    /// Stopped by order.
    Stopped,
    /// Ended by itself with exit code 0.
    Exited,
    /// Ended by a fault or with an exit code other than 0.
    Crashed,
}

/// One service, as `ls --json` shows it (an array of these).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Version of its crate.
    pub version: String,
    /// The image's build-id in hexadecimal digits.
    pub build_id: String,
    /// What it is doing.
    pub state: ServiceState,
    /// Why it ended, in words (`stack overflow at 0x20040ff8 (rip 0x112233)`), if it did.
    pub reason: Option<String>,
    /// The exit code, if it terminated by itself.
    pub exit_code: Option<i32>,
    /// Its IPv4 address in dotted notation, if it has one already.
    pub address: Option<String>,
    /// Its published ports.
    pub publish: Vec<PublishedPort>,
    /// Memory limit in bytes.
    pub memory: u64,
    /// Resident memory of its own in bytes.
    pub resident: u64,
    /// Memory of its own on swap in bytes.
    #[serde(default)]
    pub swapped: u64,
    /// CPU time used in nanoseconds.
    pub cpu_ns: u64,
    /// Time since its VM was created in nanoseconds.
    pub age_ns: u64,
    /// Frames received and sent.
    pub rx_frames: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// What it may take of CPU and network.
    #[serde(default)]
    pub limits: Limits,
}

/// The host, as `host --json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// Version of the supervisor.
    pub version: String,
    /// Version of the kernel's interface.
    pub abi_version: u32,
    /// Memory for VMs and images in bytes.
    pub memory_total: u64,
    /// Memory not promised to anybody in bytes.
    pub memory_available: u64,
    /// Memory not in use in bytes.
    pub memory_free: u64,
    /// VMs there are.
    pub vms: u64,
    /// VMs there can be.
    pub vms_max: u64,
    /// Time since boot in nanoseconds.
    pub uptime_ns: u64,
    /// Time the CPU was idle in nanoseconds.
    pub idle_ns: u64,
    /// Frames from the wire.
    pub nic_rx_frames: u64,
    /// Frames to the wire.
    pub nic_tx_frames: u64,
    /// Frames dropped.
    pub nic_dropped: u64,
    /// Paging; all zero on a host without disks.
    #[serde(default)]
    pub paging: Paging,
    /// What is kept across reboots; `None` if nothing is.
    #[serde(default)]
    pub store: Option<StoreStatus>,
}

/// What of the store is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoreStatus {
    /// Services that are kept.
    pub services: u64,
    /// Services that were kept before this boot and are still to come back.
    pub restoring: u64,
    /// Room for packages in bytes.
    pub packages_total: u64,
    /// What of it is free in bytes.
    pub packages_free: u64,
}

/// What paging has, and did since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Paging {
    /// Swap space in bytes.
    pub swap_total: u64,
    /// Swap space that belongs to no VM in bytes.
    pub swap_available: u64,
    /// VMs that left memory.
    pub departures: u64,
    /// VMs that came back.
    pub arrivals: u64,
    /// Calls for VMs on swap.
    pub wakes: u64,
    /// Mean time from a call until the VM was in memory, in nanoseconds.
    pub wake_mean_ns: u64,
    /// Times a VM waited for memory.
    pub stalls: u64,
    /// Requests to disks that failed.
    pub disk_errors: u64,
    /// VMs that ended because a disk gave back something else than what was written.
    pub corrupt: u64,
    /// Frames for VMs on swap that were dropped because too much was held already.
    pub frames_dropped: u64,
    /// VMs refused because swap space was full.
    pub refused: u64,
}

/// The supervisor's versions, as `version --json` shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Version {
    /// Version of the supervisor.
    pub version: String,
    /// Version of the kernel's interface it was built for.
    pub abi_version: u32,
}

/// One line of a service's console, as `logs --json` shows it (one value a line).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LogLine {
    /// The line without its end; bytes that are no UTF-8 are replaced.
    pub line: String,
}

/// What `rm --json` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Removed {
    /// The service that is gone.
    pub name: String,
}

/// One step of a deploy, a JSON line each; the last is `done` or `refused`.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, never in a collection"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum DeployStep {
    /// The host is ready for the package; nothing was created yet.
    Ready,
    /// The package arrived whole and its digest is right.
    Verified {
        /// Bytes received.
        length: u64,
    },
    /// The gatekeeper admitted the VM.
    Admitted {
        /// Memory promised to it in bytes.
        memory: u64,
        /// Memory the host still has to give in bytes.
        available: u64,
    },
    /// The service runs, and replaced the one of this name if there was one.
    Done {
        /// The service.
        service: Service,
        /// Whether it took the place of another.
        replaced: bool,
        /// The number of its release; `None` on a host that keeps nothing.
        #[serde(default)]
        release: Option<u32>,
    },
    /// Nothing was changed.
    Refused {
        /// Which rule: decides the exit code.
        kind: Refusal,
        /// One line that says what is wrong and what to do.
        message: String,
    },
}

/// Why a deploy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The package is malformed, truncated, or its digest is wrong.
    Package,
    /// It does not fit: memory or tables.
    Admission,
    /// A port or address is taken.
    Conflict,
    /// The command line is malformed.
    Usage,
    /// The new release crashed or is not healthy; the last one serves on.
    Unhealthy,
}

/// Exit status of a supervisor command over SSH.
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// It failed; one line on standard error says why.
    pub const FAILED: u32 = 1;
    /// The command line is wrong.
    pub const USAGE: u32 = 2;
    /// No service of that name.
    pub const NOT_FOUND: u32 = 3;
    /// Refused by the gatekeeper, or in conflict with another service.
    pub const REFUSED: u32 = 5;
    /// The new release crashed or is not healthy; the last one serves on.
    pub const UNHEALTHY: u32 = 7;
}

/// The boot configuration: what `host up` and `host image` put behind the supervisor's image in the
/// boot module, and the kernel hands to the supervisor unread as its arguments. JSON, at most 3,072
/// bytes (`denali_abi::registers::ARGUMENTS_MAX`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BootConfig {
    /// The host's name.
    pub name: String,
    /// The supervisor's address with prefix length (`10.90.0.15/16`), or `None` for DHCP.
    pub address: Option<String>,
    /// The router.
    pub gateway: Option<String>,
    /// The name server.
    pub dns: Option<String>,
    /// First address of the pool for services; the pool ends with the subnet.
    pub pool: Option<String>,
    /// The TCP port of the SSH server.
    pub ssh_port: u16,
    /// The Ed25519 host key's secret seed, 64 hexadecimal digits.
    pub host_key: String,
    /// Public keys that may log in, as OpenSSH prints them (`ssh-ed25519 AAAA… comment`).
    pub authorized_keys: Vec<String>,
}
