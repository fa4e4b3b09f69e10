//! A VM's network configuration as its descriptor keeps it: without what is the same for all.

use denali_abi::net::{FRAME_LEN_MAX, NetworkConfig};

/// What a VM was given; checked by [`Switch::connect`](crate::net::switch::Switch::connect).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its hardware address.
    pub mac: [u8; 6],
    addressing: u8,
    prefix_len: u8,
    address: [u8; 4],
    gateway: [u8; 4],
    dns: [u8; 4],
}

const _: () = assert!(size_of::<Network>() == 20);

impl Network {
    /// Keeps what is in `config`.
    #[must_use]
    pub fn new(config: &NetworkConfig) -> Self {
        Self {
            mac: config.mac,
            // Connected VMs have small numbers here.
            addressing: u8::try_from(config.addressing).unwrap_or(u8::MAX),
            prefix_len: u8::try_from(config.prefix_len).unwrap_or(u8::MAX),
            address: config.address,
            gateway: config.gateway,
            dns: config.dns,
        }
    }

    /// Returns the configuration with what the kernel adds to it, the flags that a guest may use
    /// among it.
    #[must_use]
    pub fn offered(&self, features: u16) -> NetworkConfig {
        NetworkConfig {
            mac: self.mac,
            frame_len_max: u16::try_from(FRAME_LEN_MAX).unwrap_or(u16::MAX),
            features: u32::from(features),
            addressing: u32::from(self.addressing),
            address: self.address,
            prefix_len: u32::from(self.prefix_len),
            gateway: self.gateway,
            dns: self.dns,
        }
    }
}
