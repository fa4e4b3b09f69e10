//! The boot module: the supervisor's image, directly followed by the boot configuration.

use super::keys::Keys;
use super::network;
use crate::failure::{Failure, Status};
use crate::image::hexadecimal;
use anyhow::{Context, Result};
use denali_abi::registers::ARGUMENTS_MAX;
use denali_protocol::BootConfig;

/// The network settings of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The supervisor's address with prefix length, or `None` for DHCP.
    pub address: Option<String>,
    /// The router.
    pub gateway: Option<String>,
    /// The name server.
    pub dns: Option<String>,
    /// First address of the pool for services; without one they use DHCP.
    pub pool: Option<String>,
}

impl NetworkSettings {
    /// Returns the settings of a host in QEMU's user network.
    #[must_use]
    pub fn local() -> Self {
        Self {
            address: Some(network::SUPERVISOR_SUBNET.to_owned()),
            gateway: Some(network::GATEWAY.to_owned()),
            dns: Some(network::DNS.to_owned()),
            pool: Some(network::POOL.to_owned()),
        }
    }
}

/// Returns the boot configuration of a host of this user.
///
/// # Errors
///
/// A key cannot be written.
pub fn config(name: &str, settings: NetworkSettings, keys: &Keys) -> Result<BootConfig> {
    Ok(BootConfig {
        name: name.to_owned(),
        address: settings.address,
        gateway: settings.gateway,
        dns: settings.dns,
        pool: settings.pool,
        ssh_port: network::SSH_PORT,
        metrics_port: None,
        signed_only: true,
        host_key: hexadecimal(&keys.host_seed()?),
        authorized_keys: vec![keys.user_public_line()?],
    })
}

/// Returns the boot module.
///
/// # Errors
///
/// The configuration is longer than the kernel hands on.
pub fn module(supervisor_image: &[u8], config: &BootConfig) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(config).context("writing the boot configuration")?;
    if json.len() > ARGUMENTS_MAX {
        return Err(Failure::new(
            Status::Usage,
            format!(
                "the boot configuration has {} bytes, a host takes {ARGUMENTS_MAX}",
                json.len()
            ),
        )
        .help("use a shorter name")
        .into());
    }
    Ok([supervisor_image, &json].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str) -> BootConfig {
        BootConfig {
            name: name.to_owned(),
            address: None,
            gateway: None,
            dns: None,
            pool: None,
            ssh_port: 22,
            metrics_port: None,
            signed_only: true,
            host_key: "00".repeat(32),
            authorized_keys: Vec::new(),
        }
    }

    #[test]
    fn the_configuration_follows_the_image() {
        let module = module(b"image", &settings("local")).unwrap();
        let json = module.strip_prefix(b"image").unwrap();
        assert_eq!(
            serde_json::from_slice::<BootConfig>(json).unwrap(),
            settings("local")
        );
    }

    #[test]
    fn a_configuration_too_long_for_the_kernel_is_refused() {
        let error = module(b"image", &settings(&"x".repeat(4000))).unwrap_err();
        assert!(error.to_string().contains("a host takes 3072"), "{error}");
    }
}
