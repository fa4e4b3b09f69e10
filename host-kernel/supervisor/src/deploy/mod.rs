//! Deployment: from a checked package to a running VM, or to nothing at all.

mod copies;
mod switch;

pub(crate) use switch::Aside;
use switch::Fallback;
pub use switch::{Begun, Farewell};

use crate::admission::{self, Need, Place, Predecessor};
use crate::kernel::ImageId;
use crate::package::Package;
use crate::refusal::Refused;
use crate::service::{Origin, Service, has_ended};
use crate::supervisor::Supervisor;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::Ipv4Addr;
use denali_abi::control::{HostStatus, VmConfig, vm_flags};
use denali_abi::errno::Errno;
use denali_abi::layout::PAGE_SIZE;
use denali_abi::net::{NetworkConfig, addressing};
use denali_protocol as protocol;
use denali_protocol::Address;
use sha2::{Digest as _, Sha256};

/// Hardware addresses tried for one service, at most.
const MAC_TRIES_MAX: u32 = 64;

/// What a deployment brought about.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The service.
    pub service: protocol::Service,
    /// Whether it took the place of another release.
    pub replaced: bool,
    /// The number of its release, on a host that keeps them.
    pub release: Option<u32>,
    /// Memory promised to it in bytes.
    pub memory: u64,
    /// Memory the host still has to give in bytes.
    pub available: u64,
}

/// What is kept of a service that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It ran.
    Running,
    /// It was stopped by order.
    Stopped,
    /// Its next release had begun, and nobody had found it healthy: which one a VM runs is not
    /// known, unless there are two.
    Unfinished,
}

impl Supervisor {
    /// Creates the service in `package`, and lets its predecessor go once the new one runs.
    ///
    /// # Errors
    ///
    /// The rule that is broken, or the room that is missing; nothing was changed then, except that
    /// a predecessor which had to make way was started anew.
    pub fn deploy(&mut self, package: Package<'_>) -> Result<Deployed, Refused> {
        let begun = self.begin(package)?;
        self.finish(begun, Farewell::AtOnce)
    }

    /// Creates the service in `package`; until [`finish`](Self::finish) its predecessor is the one
    /// that counts, if there is room for both.
    ///
    /// # Errors
    ///
    /// As [`deploy`](Self::deploy).
    pub fn begin(&mut self, package: Package<'_>) -> Result<Begun, Refused> {
        self.table.admit(&package.manifest)?;
        if package.dormant {
            self.admit_dormant(&package)?;
        }
        let name = package.manifest.name.clone();
        let old = self.table.get(&name).cloned();
        self.drain_service(&name);
        let network = self.network(&name, package.manifest.address, old.as_ref())?;
        let need = Need {
            image_pages: package.header.content_pages(),
            memory_pages: u64::from(package.memory_pages),
        };
        // Two VMs cannot have the same volume.
        let is_in_the_way = !package.origin.volumes.is_empty();
        let predecessor = old
            .as_ref()
            .and_then(|old| self.predecessor(old, is_in_the_way));
        let (host, place) = self.place(need, predecessor)?;
        let lived = match (place, &old) {
            (Place::Instead, Some(old)) => self.make_way(old)?,
            _ => false,
        };
        if package.dormant && network.addressing == addressing::DHCP {
            return Err(Refused::conflict(
                "a dormant service needs an address before it runs, and this one would ask for it \
                 by DHCP: give it `address` in [package.metadata.denali]",
            ));
        }
        let mut service = new_service(&package, network);
        if let Err(errno) = self.create(&mut service, &package) {
            let refused = admission::refused_by_kernel(errno, need, &host);
            return Err(match (place, old) {
                (Place::Instead, Some(old)) if lived => {
                    let outcome = self.take_back(old);
                    Refused {
                        message: format!("{}; {outcome}", refused.message),
                        ..refused
                    }
                }
                _ => refused,
            });
        }
        self.begun(service, old, place, lived)
    }

    /// Holds a service that was just created beside its predecessor.
    fn begun(
        &mut self,
        service: Service,
        old: Option<Service>,
        place: Place,
        lived: bool,
    ) -> Result<Begun, Refused> {
        let vm = service
            .vm
            .ok_or_else(|| Refused::admission("it vanished"))?;
        let name = Arc::clone(&service.name);
        self.put_aside(service, vm);
        let old = old.map(|old| Service {
            vm: old.vm.filter(|_| place == Place::Beside),
            ..old
        });
        let serves = old.as_ref().and_then(|old| old.vm);
        let fallback = match serves {
            Some(vm) if !self.has_ended(vm) => Fallback::Serving,
            None if lived => Fallback::MadeWay,
            _ => Fallback::Nothing,
        };
        Ok(Begun {
            name,
            vm,
            old,
            fallback,
        })
    }

    /// Finds a place, if need be where releases are that only finish what they have begun.
    fn place(
        &mut self,
        need: Need,
        predecessor: Option<Predecessor>,
    ) -> Result<(HostStatus, Place), Refused> {
        let host = self.kernel.host_status();
        let placed = admission::place(need, &host, predecessor);
        let must_wait = predecessor.is_some_and(|old| old.is_in_the_way);
        let is_best = matches!(placed, Ok(Place::Beside)) || placed.is_ok() && must_wait;
        if is_best || !self.drain_all() {
            return placed.map(|place| (host, place));
        }
        let host = self.kernel.host_status();
        admission::place(need, &host, predecessor).map(|place| (host, place))
    }

    /// Brings back the service in `package`, which was kept. One that is there already, as its VM
    /// outlived an earlier supervisor, is left as it is and known again.
    ///
    /// # Errors
    ///
    /// As [`deploy`](Self::deploy).
    pub fn restore(&mut self, package: Package<'_>, kept: Kept) -> Result<(), Refused> {
        let name = package.manifest.name.clone();
        let present = match (self.table.get(&name).cloned(), kept) {
            (Some(younger), Kept::Unfinished) => self.take_older(younger),
            (present, _) => present,
        };
        if let Some(service) = present {
            self.table.insert(Service {
                asked_to_stop: kept == Kept::Stopped,
                origin: Some(package.origin),
                ..service
            });
            return Ok(());
        }
        self.deploy(package)?;
        if kept == Kept::Stopped
            && let Err(failure) = self.stop(&name)
        {
            log::warn!("{name} was stopped before the reboot and is not now: {failure:?}");
        }
        Ok(())
    }

    /// Goes back to the predecessor of a release that nobody found healthy, if it runs.
    fn take_older(&mut self, younger: Service) -> Option<Service> {
        let older = self.recall(&younger.name)?;
        self.table.insert(older.clone());
        self.free_old(&younger);
        Some(older)
    }

    /// Tells the boot log how many more of a service that was just deployed fit.
    pub fn log_fit(&mut self, service: &protocol::Service) {
        let fit = self.fit(service.memory, 0);
        let (name, vms, binds) = (&service.name, fit.vms, &fit.binds);
        log::info!("{name}: {vms} more VMs of this image fit, bound by {binds}");
    }

    pub(super) fn deployed(&mut self, name: &str, replaced: bool) -> Option<Deployed> {
        let service = self.view(name)?;
        let available = admission::available_pages(&self.kernel.host_status()) * PAGE_SIZE;
        Some(Deployed {
            memory: service.memory,
            service,
            replaced,
            release: None,
            available,
        })
    }

    /// Makes VM and image, unless another service has one of the same bytes; on an error neither is left.
    fn create(&mut self, service: &mut Service, package: &Package<'_>) -> Result<(), Errno> {
        let dormant = if package.dormant {
            vm_flags::DORMANT
        } else {
            0
        };
        let flags = dormant | vm_flags::SUCCESSOR;
        let Origin {
            arguments, volumes, ..
        } = &*package.origin;
        let config = |service: &Service| VmConfig {
            flags,
            ..service.vm_config()
        };
        if let Some(image) = self.table.image_for(service) {
            service.image = image;
            let vm = self.kernel.vm_create(config(service), arguments, volumes)?;
            service.vm = Some(vm);
            return Ok(());
        }
        service.image = self.kernel.image_create(&package.header)?;
        let created = self
            .kernel
            .image_write(service.image, 0, package.contents)
            .and_then(|()| self.kernel.vm_create(config(service), arguments, volumes));
        match created {
            Ok(vm) => {
                service.vm = Some(vm);
                Ok(())
            }
            Err(errno) => {
                if let Err(error) = self.kernel.image_destroy(service.image) {
                    log::warn!("cannot free a new image of {}: {error}", service.name);
                }
                Err(errno)
            }
        }
    }

    /// Checks that services can be dormant here.
    fn admit_dormant(&mut self, package: &Package<'_>) -> Result<(), Refused> {
        if !package.origin.volumes.is_empty() {
            return Err(Refused::usage(
                "a service with volumes cannot be dormant: deploy it without --dormant",
            ));
        }
        if self.kernel.host_status().paging.swap_blocks > 0 {
            return Ok(());
        }
        Err(Refused::admission(
            "this host has no disk, so no service can be dormant: \
             start it with `--disk`, or deploy without --dormant",
        ))
    }

    /// Returns what comes back when the VM of `old` goes, if it has one.
    fn predecessor(&mut self, old: &Service, is_in_the_way: bool) -> Option<Predecessor> {
        let status = self.kernel.vm_status(old.vm?).ok()?;
        let memory_pages = if has_ended(&status) {
            0
        } else {
            u64::from(status.memory_pages)
        };
        Some(Predecessor {
            memory_pages,
            is_in_the_way,
        })
    }

    /// Frees the VM of `old`, whose image stays. Returns whether it lived.
    fn make_way(&mut self, old: &Service) -> Result<bool, Refused> {
        let Some(vm) = old.vm else { return Ok(false) };
        let refused = |error: Errno| {
            Refused::admission(format!(
                "cannot stop the last release: {error}; stop it first"
            ))
        };
        let status = self.kernel.vm_status(vm).map_err(refused)?;
        self.kernel.vm_stop(vm).map_err(refused)?;
        self.kernel.vm_destroy(vm).map_err(refused)?;
        self.table.change(&old.name, |entry| entry.vm = None);
        Ok(!has_ended(&status))
    }

    /// Runs `old` again, which made way in vain. Returns in words what came of it.
    fn take_back(&mut self, old: Service) -> String {
        let origin = old.origin.as_ref();
        let arguments = origin.map_or(&[][..], |origin| &origin.arguments);
        let volumes = origin.map_or(&[][..], |origin| &origin.volumes);
        let created = self.kernel.vm_create(old.vm_config(), arguments, volumes);
        let vm = created.ok();
        self.table.insert(Service { vm, ..old });
        switch::words_of(created)
    }

    /// Chooses the hardware and the IPv4 address of a new VM: those of its predecessor, unless it is to
    /// have others.
    pub(crate) fn network(
        &mut self,
        name: &str,
        wanted: Option<Address>,
        old: Option<&Service>,
    ) -> Result<NetworkConfig, Refused> {
        let kept = old.filter(|old| match wanted {
            None => old.address().is_some() && old.network.addressing == addressing::STATIC,
            Some(Address::Dhcp) => old.network.addressing == addressing::DHCP,
            Some(Address::Static(address)) => old.network.address == address,
        });
        if let Some(old) = kept {
            return Ok(NetworkConfig {
                // What a DHCP server has told is for the switch to know.
                address: match old.network.addressing {
                    addressing::DHCP => [0; 4],
                    _ => old.network.address,
                },
                ..old.network
            });
        }
        let mac = self.mac_for(name)?;
        let dhcp = NetworkConfig {
            mac,
            addressing: addressing::DHCP,
            ..NetworkConfig::default()
        };
        let address = match wanted {
            Some(Address::Dhcp) => return Ok(dhcp),
            Some(Address::Static(address)) => Ipv4Addr::from(address),
            None => match self.take_address()? {
                Some(address) => address,
                None => return Ok(dhcp),
            },
        };
        let Some(subnet) = self.settings.subnet else {
            return Err(Refused::conflict(
                "this host has its own address from DHCP and knows no subnet: \
                 use `address = \"dhcp\"`",
            ));
        };
        if !subnet.allows(address) {
            let (network, len) = (subnet.network(), subnet.prefix_len);
            return Err(Refused::conflict(format!(
                "address {address} is outside {network}/{len} or the host's own: \
                 choose another one"
            )));
        }
        let octets = |address: Option<Ipv4Addr>| address.map_or([0; 4], |it| it.octets());
        Ok(NetworkConfig {
            mac,
            addressing: addressing::STATIC,
            address: address.octets(),
            prefix_len: u32::from(subnet.prefix_len),
            gateway: octets(subnet.gateway),
            dns: octets(subnet.dns),
            ..NetworkConfig::default()
        })
    }

    /// Takes an address from the pool; `None` if there is no pool.
    fn take_address(&mut self) -> Result<Option<Ipv4Addr>, Refused> {
        let Self {
            pool, table, aside, ..
        } = self;
        let Some(pool) = pool else { return Ok(None) };
        let address = pool
            .take(|address| table.has_address(address) || Self::is_address_aside(aside, address))
            .ok_or_else(|| {
                Refused::admission("the address pool is exhausted: remove a service with `rm`")
            })?;
        Ok(Some(address))
    }

    /// Returns a locally administered unicast address (IEEE 802 §8.2) that no service here has.
    ///
    /// It follows from host and name, so that a DHCP server sees the same client after a reboot.
    fn mac_for(&mut self, name: &str) -> Result<[u8; 6], Refused> {
        let nic = self.kernel.host_status().nic_mac;
        for attempt in 0..MAC_TRIES_MAX {
            let digest = Sha256::new()
                .chain_update(nic)
                .chain_update(attempt.to_le_bytes())
                .chain_update(name)
                .finalize();
            let mac = [0x02, digest[0], digest[1], digest[2], digest[3], digest[4]];
            if mac != nic && !self.table.has_mac(mac) && !self.is_mac_aside(mac) {
                return Ok(mac);
            }
        }
        Err(Refused::admission(
            "no free hardware address: remove a service with `rm`",
        ))
    }
}

/// Returns a service like another, without a VM.
fn new_copy(model: &Service, name: &str, network: NetworkConfig, origin: Arc<Origin>) -> Service {
    Service {
        name: name.into(),
        image: model.image,
        vm: None,
        network,
        memory_pages: model.memory_pages,
        limits: model.limits,
        asked_to_stop: false,
        origin: Some(origin),
    }
}

/// Returns the service of a package, without image and VM.
fn new_service(package: &Package<'_>, network: NetworkConfig) -> Service {
    Service {
        name: package.manifest.name.as_str().into(),
        image: ImageId(0),
        vm: None,
        network,
        memory_pages: package.memory_pages,
        limits: package.manifest.limits,
        asked_to_stop: false,
        origin: Some(Arc::clone(&package.origin)),
    }
}

#[cfg(test)]
mod tests;
