//! What a package says of its service.

use crate::limits::Limits;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a package says of the service inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// [`PACKAGE_FORMAT`](crate::PACKAGE_FORMAT).
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
    /// What happens when it ends though nobody asked it to.
    #[serde(default, skip_serializing_if = "Restart::is_never")]
    pub restart: Restart,
}

/// What happens when a service ends though nobody asked it to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Nothing.
    #[default]
    Never,
    /// It runs again if it crashed, or fails its health check again and again.
    OnFailure,
    /// It runs again, also if it ended with exit code 0.
    Always,
}

impl Restart {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Never, Self::OnFailure, Self::Always];

    /// Returns its name in a manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }

    const fn is_never(&self) -> bool {
        matches!(self, Self::Never)
    }
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
    /// It says so by the line `denali: ready` on its console (`denali_rt::process::ready`).
    Ready,
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
