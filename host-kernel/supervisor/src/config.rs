//! The boot configuration, checked: what the host is called, where it lives and who may log in.

use crate::{hex, keys};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use denali_protocol::BootConfig;
use zssh::ed25519_dalek::VerifyingKey;

/// Keys that may log in, at most.
pub const AUTHORIZED_KEYS_MAX: usize = 32;

/// Everything the supervisor was told at boot.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host's name.
    pub name: String,
    /// The supervisor's own place in the network, or `None` for DHCP.
    pub subnet: Option<Subnet>,
    /// First address of the pool for services; without one they use DHCP.
    pub pool_start: Option<Ipv4Addr>,
    /// The TCP port of the SSH server.
    pub ssh_port: u16,
    /// The TCP port of the metrics, if they are told over HTTP.
    pub metrics_port: Option<u16>,
    /// Whether deployments must be signed.
    pub signed_only: bool,
    /// Seed of the host key.
    pub host_key: [u8; 32],
    /// Keys that may log in.
    pub authorized_keys: Vec<VerifyingKey>,
}

/// An IPv4 subnet and what serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The supervisor's address.
    pub address: Ipv4Addr,
    /// Length of the subnet's prefix, 1 to 30.
    pub prefix_len: u8,
    /// The router.
    pub gateway: Option<Ipv4Addr>,
    /// The name server.
    pub dns: Option<Ipv4Addr>,
}

impl Subnet {
    /// Returns the subnet's first address, which is nobody's.
    #[must_use]
    pub fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.mask())
    }

    /// Returns the subnet's last address, which is everybody's.
    #[must_use]
    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask())
    }

    /// Returns whether a service may ask for `address`: inside, and neither the host's nor the
    /// router's. The name server's it may, for the name server can be a service.
    #[must_use]
    pub fn allows(&self, address: Ipv4Addr) -> bool {
        address > self.network()
            && address < self.broadcast()
            && address != self.address
            && Some(address) != self.gateway
    }

    /// Returns whether `address` may be given to a service that asked for none in particular.
    #[must_use]
    pub fn has_room_for(&self, address: Ipv4Addr) -> bool {
        self.allows(address) && Some(address) != self.dns
    }

    fn mask(&self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix_len))
            .unwrap_or(0)
    }
}

/// Reads and checks the boot configuration.
///
/// # Errors
///
/// One line that names the key and what is wrong with it.
pub fn parse(json: &[u8]) -> Result<Settings, String> {
    if json.is_empty() {
        return Err("the boot module has no configuration behind the image".into());
    }
    let config: BootConfig =
        serde_json::from_slice(json).map_err(|error| format!("malformed JSON: {error}"))?;
    if config.ssh_port == 0 {
        return Err("`ssh-port` is 0".into());
    }
    if config.metrics_port == Some(0) || config.metrics_port == Some(config.ssh_port) {
        return Err("`metrics-port` is 0, or that of SSH".into());
    }
    let host_key =
        hex::decode(&config.host_key).ok_or("`host-key` is not 64 hexadecimal digits")?;
    let subnet = config
        .address
        .as_deref()
        .map(|text| subnet(text, &config))
        .transpose()?;
    let pool_start = address("pool", config.pool.as_deref())?;
    match (pool_start, subnet) {
        (Some(_), None) => return Err("`pool` needs `address`".into()),
        (Some(pool), Some(subnet)) if pool <= subnet.network() || pool >= subnet.broadcast() => {
            return Err(format!("`pool` {pool} is outside the subnet of `address`"));
        }
        _ => {}
    }
    Ok(Settings {
        name: config.name,
        subnet,
        pool_start,
        ssh_port: config.ssh_port,
        metrics_port: config.metrics_port,
        signed_only: config.signed_only,
        host_key,
        authorized_keys: authorized_keys(&config.authorized_keys)?,
    })
}

fn authorized_keys(lines: &[String]) -> Result<Vec<VerifyingKey>, String> {
    if lines.is_empty() {
        return Err("`authorized-keys` is empty: nobody could log in".into());
    }
    if lines.len() > AUTHORIZED_KEYS_MAX {
        return Err(format!(
            "`authorized-keys` has more than {AUTHORIZED_KEYS_MAX} keys"
        ));
    }
    let key = |line: &String| keys::parse(line).map_err(|why| format!("`authorized-keys`: {why}"));
    lines.iter().map(key).collect()
}

fn subnet(text: &str, config: &BootConfig) -> Result<Subnet, String> {
    let malformed = || format!("`address` is `{text}`, not like `10.90.0.15/16`");
    let (host, prefix) = text.split_once('/').ok_or_else(malformed)?;
    let host = host.parse().map_err(|_| malformed())?;
    let prefix_len = prefix.parse().map_err(|_| malformed())?;
    if !(1..=30).contains(&prefix_len) {
        return Err(format!(
            "`address` has prefix length {prefix_len}, not 1 to 30"
        ));
    }
    Ok(Subnet {
        address: host,
        prefix_len,
        gateway: address("gateway", config.gateway.as_deref())?,
        dns: address("dns", config.dns.as_deref())?,
    })
}

fn address(key: &str, text: Option<&str>) -> Result<Option<Ipv4Addr>, String> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| format!("`{key}` is `{text}`, not an IPv4 address"))
    };
    text.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::boot_config;

    fn parse_config(change: impl FnOnce(&mut BootConfig)) -> Result<Settings, String> {
        let mut config = boot_config();
        change(&mut config);
        parse(&serde_json::to_vec(&config).unwrap())
    }

    #[test]
    fn a_sound_configuration_is_accepted() {
        let settings = parse_config(|_| {}).unwrap();
        let subnet = settings.subnet.unwrap();
        assert_eq!(subnet.network(), Ipv4Addr::new(10, 90, 0, 0));
        assert_eq!(subnet.broadcast(), Ipv4Addr::new(10, 90, 255, 255));
        assert!(subnet.has_room_for(Ipv4Addr::new(10, 90, 1, 1)));
        assert!(
            subnet.allows(Ipv4Addr::new(10, 90, 0, 3)),
            "the name server may be a service"
        );
        for taken in [
            [10, 90, 0, 0],
            [10, 90, 0, 2],
            [10, 90, 0, 15],
            [10, 90, 255, 255],
        ] {
            assert!(!subnet.has_room_for(taken.into()), "{taken:?}");
        }
    }

    #[test]
    fn dhcp_needs_no_addresses() {
        let settings = parse_config(|config| {
            (config.address, config.pool) = (None, None);
        });
        assert_eq!(settings.unwrap().subnet, None);
    }

    #[test]
    fn each_mistake_is_named_by_its_key() {
        type Change = fn(&mut BootConfig);
        let cases: [(&str, Change); 11] = [
            ("metrics-port", |config| config.metrics_port = Some(22)),
            ("ssh-port", |config| config.ssh_port = 0),
            ("host-key", |config| config.host_key = "12".into()),
            ("address", |config| {
                config.address = Some("10.90.0.15".into());
            }),
            ("address", |config| {
                config.address = Some("10.90.0.15/31".into());
            }),
            ("gateway", |config| config.gateway = Some("router".into())),
            ("dns", |config| config.dns = Some("1.2.3".into())),
            ("pool", |config| config.address = None),
            ("pool", |config| config.pool = Some("10.91.0.1".into())),
            ("authorized-keys", |config| config.authorized_keys.clear()),
            ("authorized-keys", |config| {
                config.authorized_keys.push("ssh-rsa AAAA".into());
            }),
        ];
        for (key, change) in cases {
            let message = parse_config(change).expect_err(key);
            assert!(message.contains(&format!("`{key}`")), "{message}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for json in [
            &b""[..],
            b"{",
            b"[]",
            b"\xff\xff",
            b"{\"name\":\"x\",\"extra\":1}",
        ] {
            assert!(parse(json).is_err());
        }
    }
}
