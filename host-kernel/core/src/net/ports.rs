//! Who is at the switch, with which addresses.

use super::ethernet::Mac;
use super::group::GroupFilter;
use super::source::{Addressing, Identity};
use super::succession::{SUCCESSIONS_MAX, Succession};
use super::switch::{PORTS_MAX, Port, Switch};
use denali_abi::convert::u32_to_usize;
use denali_abi::errno::Errno;
use denali_abi::net::{NetworkConfig, addressing};

impl Switch {
    /// Gives the VM with index `vm` a port. Allocates; frames never do.
    ///
    /// # Errors
    ///
    /// * [`Errno::Invalid`]: an address or prefix length that no host can have, or an unknown way
    ///   of addressing
    /// * [`Errno::Exists`]: the MAC or IPv4 address is taken, or the VM has a port
    /// * [`Errno::TableFull`]: `vm` is [`PORTS_MAX`] or more
    /// * [`Errno::OutOfMemory`]: the kernel has no memory for the tables
    pub fn connect(&mut self, vm: u32, config: &NetworkConfig) -> Result<(), Errno> {
        let identity = identity(config)?;
        let taken = identity
            .address
            .is_some_and(|address| self.owner(address).is_some());
        if taken || self.by_mac.get(identity.mac.key()).is_some() {
            return Err(Errno::Exists);
        }
        self.plug_in(vm, identity)?;
        self.lead_to(vm);
        Ok(())
    }

    /// Gives the VM with index `vm` a port with the addresses of another, if one has them, whose place it
    /// takes when told to ([`succeed`](Self::succeed)), or when the other goes. Until then, what VM
    /// `checker` begins is for it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and:
    ///
    /// * [`Errno::Invalid`]: the VM that has the hardware address does not have the IPv4 address
    /// * [`Errno::Exists`]: it has a successor, or is one
    pub fn connect_successor(
        &mut self,
        vm: u32,
        config: &NetworkConfig,
        checker: Option<u32>,
    ) -> Result<(), Errno> {
        let wanted = identity(config)?;
        let Some(elder) = self.by_mac.get(wanted.mac.key()) else {
            return self.connect(vm, config);
        };
        let theirs = self.port(elder).ok_or(Errno::NotFound)?.identity;
        let is_same = wanted.address.is_none() || wanted.address == theirs.address;
        if !is_same || wanted.addressing != theirs.addressing {
            return Err(Errno::Invalid);
        }
        if self.twin(elder).is_some() {
            return Err(Errno::Exists);
        }
        if self.successions.len() >= SUCCESSIONS_MAX {
            return Err(Errno::TableFull);
        }
        self.successions
            .try_reserve(1)
            .map_err(|_| Errno::OutOfMemory)?;
        let succession = Succession::new(elder, vm, checker)?;
        self.plug_in(vm, theirs)?;
        self.successions.push(succession);
        Ok(())
    }

    /// Has `vm` take the place of the VM whose addresses it has, if it waits for one: what begins is for it
    /// from now on.
    pub fn succeed(&mut self, vm: u32) {
        let mut all = self.successions.iter_mut();
        if all.any(|succession| succession.take_over(vm)) {
            self.lead_to(vm);
        }
    }

    /// Removes the port of `vm`, if it has one. What it had in common with another is the other's.
    pub fn disconnect(&mut self, vm: u32) {
        let Some(port) = self.ports.get_mut(u32_to_usize(vm)).and_then(Option::take) else {
            return;
        };
        self.connected -= 1;
        self.by_mac.remove(port.identity.mac.key());
        if let Some(address) = port.identity.address {
            self.by_address.remove(address_key(address));
        }
        let with = |succession: &Succession| succession.twin(vm).is_some();
        if let Some(at) = self.successions.iter().position(with)
            && let Some(twin) = self.successions.swap_remove(at).twin(vm)
        {
            self.lead_to(twin);
        }
    }

    /// Makes room for `vm` in all tables, and gives it a port.
    fn plug_in(&mut self, vm: u32, identity: Identity) -> Result<(), Errno> {
        if vm >= PORTS_MAX {
            return Err(Errno::TableFull);
        }
        if self.port(vm).is_some() {
            return Err(Errno::Exists);
        }
        self.by_mac.reserve(self.connected + 1)?;
        self.by_address.reserve(self.connected + 1)?;
        let index = u32_to_usize(vm);
        if index >= self.ports.len() {
            let more = index + 1 - self.ports.len();
            self.ports
                .try_reserve(more)
                .map_err(|_| Errno::OutOfMemory)?;
            self.ports.resize(index + 1, None);
        }
        if let Some(port) = self.ports.get_mut(index) {
            *port = Some(Port {
                identity,
                transaction: None,
                groups: GroupFilter::default(),
                awaits_router: false,
            });
        }
        self.connected += 1;
        Ok(())
    }

    /// Has the addresses of `vm` lead to it. There is room for those of each port.
    fn lead_to(&mut self, vm: u32) {
        let Some(Port { identity, .. }) = self.port(vm).copied() else {
            return;
        };
        let by_mac = self.by_mac.insert(identity.mac.key(), vm);
        let by_address = identity
            .address
            .map_or(Ok(()), |it| self.by_address.insert(address_key(it), vm));
        debug_assert!(by_mac.and(by_address).is_ok(), "room was reserved");
    }
}

pub(super) fn address_key(address: [u8; 4]) -> u64 {
    u64::from(u32::from_be_bytes(address))
}

/// Returns whether a host may have this IPv4 address: neither this network, loopback, multicast
/// nor reserved (RFC 6890 §2.2.2).
pub(super) const fn is_host_address(address: [u8; 4]) -> bool {
    !matches!(address[0], 0 | 127 | 224..=255)
}

fn identity(config: &NetworkConfig) -> Result<Identity, Errno> {
    let mac = Mac(config.mac);
    let unset = config.address == [0; 4];
    let addressing = match config.addressing {
        addressing::STATIC => Addressing::Static,
        addressing::DHCP if unset => Addressing::Dhcp,
        _ => return Err(Errno::Invalid),
    };
    let usable = unset || is_host_address(config.address);
    if !mac.is_station() || !usable || config.prefix_len > 32 {
        return Err(Errno::Invalid);
    }
    Ok(Identity {
        mac,
        address: (!unset).then_some(config.address),
        addressing,
    })
}
