//! Hosts on this machine, under QEMU: from the SDK's sources to an answering supervisor.

mod artifacts;
pub mod boot;
pub mod data;
pub mod iso;
pub mod keys;
mod launch;
pub mod state;
pub mod target;

pub use artifacts::{Artifacts, build as build_artifacts};
pub use launch::{Data, Options, ThrowAway, down, up};
pub use state::Running;
pub use target::Target;

/// The local host without a name of its own.
pub const DEFAULT_NAME: &str = "local";

/// The network of local hosts, which QEMU provides.
pub mod network {
    /// The network itself: two to the power of 17 addresses, as many as a host can have services.
    pub const NETWORK: &str = "10.90.0.0/15";
    /// The router.
    pub const GATEWAY: &str = "10.90.0.2";
    /// The name server.
    pub const DNS: &str = "10.90.0.3";
    /// First address of QEMU's DHCP server, for services that ask for one.
    pub const DHCP_START: &str = "10.90.0.100";
    /// The supervisor.
    pub const SUPERVISOR: &str = "10.90.0.15";
    /// The supervisor with its prefix length.
    pub const SUPERVISOR_SUBNET: &str = "10.90.0.15/15";
    /// First address of the pool for services.
    pub const POOL: &str = "10.90.1.1";
    /// The TCP port of the supervisor's SSH server.
    pub const SSH_PORT: u16 = 22;
    /// The supervisor's port for metrics over HTTP.
    pub const METRICS_PORT: u16 = 9100;
}
