//! What the supervisor and `cargo denali` tell each other: plain data as JSON, over SSH.
//!
//! A *package* is a `tar` with the entries [`MANIFEST_ENTRY`], [`IMAGE_ENTRY`] and
//! [`BUILD_ID_ENTRY`]. Commands are lines of text (`ls --json`, `deploy --sha256 … --length …`);
//! answers with `--json` are the types below, one JSON value (or one a line for streams).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod events;
pub mod keys;
pub mod limits;
mod manifest;
pub mod releases;
pub mod scripts;
pub mod signing;
mod states;

use alloc::string::String;
use alloc::vec::Vec;
pub use limits::Limits;
pub use manifest::{Address, Check, Manifest, PublishedPort, Restart, Transport, VolumeRequest};
use serde::{Deserialize, Serialize};
pub use states::ServiceState;

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
    /// Memory of its image that it shows, which all of the same bytes share, in bytes.
    #[serde(default)]
    pub shared: u64,
    /// CPU time used in nanoseconds.
    pub cpu_ns: u64,
    /// Time since its VM was created in nanoseconds.
    pub age_ns: u64,
    /// Pages given to it on demand.
    #[serde(default)]
    pub faults: u64,
    /// Pages of it read back from swap one by one.
    #[serde(default)]
    pub page_ins: u64,
    /// Times it was called back into memory.
    #[serde(default)]
    pub wakes: u64,
    /// The time from the packet it was last called back for to its answer in nanoseconds.
    #[serde(default)]
    pub wake_ns: u64,
    /// Frames received and sent.
    pub rx_frames: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// What it may take of CPU and network.
    #[serde(default)]
    pub limits: Limits,
    /// How often in a row it ended though nobody asked it to.
    #[serde(default)]
    pub restarts: u32,
}

/// By what services are put in order, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// CPU time.
    Cpu,
    /// Resident memory.
    Resident,
    /// Memory on swap.
    Swapped,
    /// Pages given on demand.
    Faults,
    /// Frames received.
    Frames,
    /// Times called back into memory.
    Wakes,
}

impl SortKey {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cpu,
        Self::Resident,
        Self::Swapped,
        Self::Faults,
        Self::Frames,
        Self::Wakes,
    ];

    /// Returns its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Resident => "resident",
            Self::Swapped => "swapped",
            Self::Faults => "faults",
            Self::Frames => "frames",
            Self::Wakes => "wakes",
        }
    }

    /// Returns what has this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// Returns this number of a service.
    #[must_use]
    pub const fn of(self, service: &Service) -> u64 {
        match self {
            Self::Cpu => service.cpu_ns,
            Self::Resident => service.resident,
            Self::Swapped => service.swapped,
            Self::Faults => service.faults,
            Self::Frames => service.rx_frames,
            Self::Wakes => service.wakes,
        }
    }
}

/// How many more VMs of an image fit, as `fit --json` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fit {
    /// How many: the least of all bounds.
    pub vms: u64,
    /// What binds: the first bound that allows no more.
    pub binds: String,
    /// Each bound and how many VMs it allows.
    pub bounds: Vec<Bound>,
}

/// One bound of [`Fit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bound {
    /// `memory`, `swap`, `descriptors`, `services` or `addresses`.
    pub what: String,
    /// How many VMs it allows.
    pub vms: u64,
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
    /// What of it the supervisor uses itself, in bytes.
    #[serde(default)]
    pub memory_supervisor: u64,
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
#[serde(rename_all = "kebab-case", default)]
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
    /// Times from the first packet for a VM on swap to the first frame it sends in nanoseconds:
    /// bounds of half of them, of 90 and of 99 of a hundred, and of all.
    pub wake_latency_ns: [u64; 4],
    /// Faults that waited for a disk.
    pub faults: u64,
    /// Pages read for them, those read ahead included.
    pub page_ins: u64,
    /// Pages of busy VMs that went one by one.
    pub page_outs: u64,
    /// Blocks read from disks.
    pub blocks_read: u64,
    /// Blocks written to disks.
    pub blocks_written: u64,
    /// Pages that went without being written, since they said nothing new.
    pub pages_dropped: u64,
    /// VMs kept before the gate since those in memory fault too much.
    pub gate_closed: u64,
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

/// What `scale --json` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scaled {
    /// The service.
    pub name: String,
    /// How many copies there were.
    pub before: u32,
    /// How many there are.
    pub copies: u32,
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
    Ready {
        /// The host's key as OpenSSH prints it, for the signature.
        host: String,
        /// The number that the release will have, for the signature; 0 on a host that keeps none.
        release: u32,
    },
    /// The package arrived whole and its digest is right.
    Verified {
        /// Bytes received.
        length: u64,
    },
    /// Some of several copies are made.
    Copied {
        /// How many.
        copies: u32,
        /// The host's time since its boot in nanoseconds.
        uptime_ns: u64,
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
    /// The key that logged in may not do that.
    pub const NOT_ALLOWED: u32 = 4;
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
    /// The TCP port of the metrics (HTTP); `None` tells them over SSH only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_port: Option<u16>,
    /// Whether deployments must be signed.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub signed_only: bool,
    /// The Ed25519 host key's secret seed, 64 hexadecimal digits.
    pub host_key: String,
    /// Public keys that may log in, as OpenSSH prints them (`ssh-ed25519 AAAA… comment`).
    pub authorized_keys: Vec<String>,
}
