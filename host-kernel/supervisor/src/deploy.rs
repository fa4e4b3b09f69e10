//! Deployment: from a checked package to a running VM, or to nothing at all.

use crate::admission::{self, Need, Place, Predecessor};
use crate::kernel::{ImageId, VmId};
use crate::package::Package;
use crate::refusal::Refused;
use crate::service::{Origin, Service, has_ended};
use crate::supervisor::Supervisor;
use alloc::format;
use core::net::Ipv4Addr;
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
    /// Memory promised to it in bytes.
    pub memory: u64,
    /// Memory the host still has to give in bytes.
    pub available: u64,
}

impl Supervisor {
    /// Creates the service in `package`, and lets its predecessor go once the new one runs.
    ///
    /// # Errors
    ///
    /// The rule that is broken, or the room that is missing; nothing was changed then, except that
    /// a predecessor which had to make way was started anew.
    pub fn deploy(&mut self, package: Package<'_>) -> Result<Deployed, Refused> {
        self.table.admit(&package.manifest)?;
        let name = package.manifest.name.clone();
        let old = self.table.get(&name).cloned();
        let network = self.network_for(&package, old.as_ref())?;
        let host = self.kernel.host_status();
        let need = Need {
            image_pages: package.header.content_pages(),
            memory_pages: u64::from(package.memory_pages),
        };
        let predecessor = old.as_ref().and_then(|old| self.predecessor(old, &network));
        let place = admission::place(need, &host, predecessor)?;
        let lived = match (place, &old) {
            (Place::Instead, Some(old)) => self.make_way(old)?,
            _ => false,
        };
        let origin = Origin {
            build_id: package.header.build_id,
            manifest: package.manifest.clone(),
            arguments: package.arguments.clone(),
        };
        let mut service = Service {
            name: name.clone(),
            image: ImageId(0),
            vm: None,
            network,
            memory_pages: package.memory_pages,
            origin: Some(origin),
        };
        if let Err(errno) = self.create(&mut service, &package) {
            let refused = admission::refused_by_kernel(errno, need, &host);
            return Err(match (place, old) {
                (Place::Instead, Some(old)) => self.take_back(old, lived, refused),
                _ => refused,
            });
        }
        self.table.insert(service);
        if let Some(old) = &old {
            let old = Service {
                vm: old.vm.filter(|_| place == Place::Beside),
                ..old.clone()
            };
            if let Err(error) = self.free(&old) {
                log::warn!("cannot free the last release of {name}: {error}");
            }
        }
        self.deployed(&name, old.is_some())
            .ok_or_else(|| Refused::admission("it vanished"))
    }

    fn deployed(&mut self, name: &str, replaced: bool) -> Option<Deployed> {
        let service = self.view(name)?;
        let available = admission::available_pages(&self.kernel.host_status()) * PAGE_SIZE;
        Some(Deployed {
            memory: service.memory,
            service,
            replaced,
            available,
        })
    }

    /// Makes image and VM; on an error neither is left.
    fn create(&mut self, service: &mut Service, package: &Package<'_>) -> Result<(), Errno> {
        service.image = self.kernel.image_create(&package.header)?;
        let created = self
            .kernel
            .image_write(service.image, package.contents)
            .and_then(|()| {
                self.kernel
                    .vm_create(service.vm_config(), &package.arguments)
            });
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

    /// Returns what comes back when the VM of `old` goes, if it has one.
    fn predecessor(&mut self, old: &Service, network: &NetworkConfig) -> Option<Predecessor> {
        let status = self.kernel.vm_status(old.vm?).ok()?;
        let memory_pages = if has_ended(&status) {
            0
        } else {
            u64::from(status.memory_pages)
        };
        let shares_address = network.address != [0; 4] && network.address == old.network.address;
        Some(Predecessor {
            memory_pages,
            shares_address,
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
        if let Some(entry) = self.table.get_mut(&old.name) {
            entry.vm = None;
        }
        Ok(!has_ended(&status))
    }

    /// Runs `old` again, which made way in vain.
    fn take_back(&mut self, old: Service, lived: bool, refused: Refused) -> Refused {
        if !lived {
            return refused;
        }
        let arguments = old
            .origin
            .as_ref()
            .map_or(&[][..], |origin| &origin.arguments);
        let created: Result<VmId, Errno> = self.kernel.vm_create(old.vm_config(), arguments);
        let vm = created.ok();
        let outcome = match created {
            Ok(_) => "the last release was started again".into(),
            Err(error) => format!("the last release could not be started again: {error}"),
        };
        self.table.insert(Service { vm, ..old });
        Refused {
            message: format!("{}; {outcome}", refused.message),
            ..refused
        }
    }

    /// Chooses the hardware and the IPv4 address of a new VM.
    fn network_for(
        &mut self,
        package: &Package<'_>,
        old: Option<&Service>,
    ) -> Result<NetworkConfig, Refused> {
        let mac = self.mac_for(&package.manifest.name)?;
        let dhcp = NetworkConfig {
            mac,
            addressing: addressing::DHCP,
            ..NetworkConfig::default()
        };
        let address = match package.manifest.address {
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
        let kept = old.and_then(Service::address) == Some(address);
        if !subnet.has_room_for(address) && !kept {
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
        let Self { pool, table, .. } = self;
        let Some(pool) = pool else { return Ok(None) };
        let address = pool
            .take(|address| table.has_address(address))
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
            if mac != nic && !self.table.has_mac(mac) {
                return Ok(mac);
            }
        }
        Err(Refused::admission(
            "no free hardware address: remove a service with `rm`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, SharedKernel, manifest};
    use crate::kernel::Kernel as _;
    use crate::kernel::fake::Call;
    use crate::package;
    use denali_abi::end::EndReason;
    use denali_protocol::{Manifest, Refusal, ServiceState};

    /// Pages one service of [`manifest`] takes: 256 of memory, 3 of image.
    const SERVICE_PAGES: u64 = 259;

    fn deploy(supervisor: &mut Supervisor, manifest: &Manifest) -> Result<Deployed, Refused> {
        let bytes = fixtures::package(manifest);
        supervisor.deploy(package::parse(&bytes, &manifest.name).expect("a sound package"))
    }

    /// VMs that live, images, and pages promised.
    fn holdings(kernel: &SharedKernel) -> (usize, usize, u64) {
        let mut kernel = kernel.lock();
        let living = kernel
            .vms
            .values()
            .filter(|vm| !has_ended(&vm.status))
            .count();
        let committed = kernel.host_status().frames_committed;
        (living, kernel.images.len(), committed)
    }

    #[test]
    fn a_service_runs_with_its_arguments_and_an_address_from_the_pool() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        let deployed = deploy(&mut supervisor, &manifest("web")).unwrap();
        assert!(!deployed.replaced);
        assert_eq!(deployed.service.address.as_deref(), Some("10.90.1.1"));
        assert_eq!(deployed.service.state, ServiceState::Running);
        assert_eq!(deployed.available, (1000 - SERVICE_PAGES) * 4096);
        let vm = kernel.vm_named("web");
        let kernel = kernel.lock();
        assert_eq!(kernel.vms[&vm.0].arguments, b"--verbose\0\0LEVEL=info\0");
        let network = kernel.vms[&vm.0].status.network;
        assert_eq!(
            (network.gateway, network.dns),
            ([10, 90, 0, 2], [10, 90, 0, 3])
        );
        assert_eq!(network.mac[0], 2);
        assert_eq!(kernel.images.values().next().unwrap().1.len(), 3 * 4096);
    }

    #[test]
    fn a_new_release_takes_the_place_of_the_last_one() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        deploy(&mut supervisor, &manifest("web")).unwrap();
        let deployed = deploy(&mut supervisor, &manifest("web")).unwrap();
        assert!(deployed.replaced);
        assert_eq!(deployed.service.address.as_deref(), Some("10.90.1.2"));
        assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
        assert_eq!(kernel.lock().vms.len(), 1);
    }

    #[test]
    fn each_failing_call_leaves_nothing_behind() {
        let calls = [Call::ImageCreate, Call::ImageWrite, Call::VmCreate];
        for (call, errno) in calls
            .into_iter()
            .flat_map(|call| Errno::ALL.map(|it| (call, it)))
        {
            for others in [0, 1] {
                let kernel = SharedKernel::new(1000);
                let mut supervisor = kernel.supervisor();
                if others == 1 {
                    deploy(&mut supervisor, &manifest("web")).unwrap();
                }
                let before = holdings(&kernel);
                kernel.lock().failures.push((call, errno));
                deploy(&mut supervisor, &manifest("web")).unwrap_err();
                assert_eq!(holdings(&kernel), before, "{call:?} {errno:?}");
                assert_eq!(supervisor.list().len(), others);
                deploy(&mut supervisor, &manifest("web")).unwrap();
            }
        }
    }

    #[test]
    fn a_release_that_fits_only_in_its_place_gets_it() {
        let kernel = SharedKernel::new(SERVICE_PAGES + 10);
        let mut supervisor = kernel.supervisor();
        deploy(&mut supervisor, &manifest("web")).unwrap();
        assert!(deploy(&mut supervisor, &manifest("web")).unwrap().replaced);
        assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
    }

    #[test]
    fn the_last_release_runs_again_if_the_new_one_fails_in_its_place() {
        for call in [Call::ImageCreate, Call::ImageWrite, Call::VmCreate] {
            let kernel = SharedKernel::new(SERVICE_PAGES + 10);
            let mut supervisor = kernel.supervisor();
            deploy(&mut supervisor, &manifest("web")).unwrap();
            kernel.lock().failures.push((call, Errno::OutOfMemory));
            let refused = deploy(&mut supervisor, &manifest("web")).unwrap_err();
            assert!(
                refused.message.contains("started again"),
                "{}",
                refused.message
            );
            assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
            assert_eq!(supervisor.list()[0].state, ServiceState::Running);
            assert_eq!(supervisor.list()[0].address.as_deref(), Some("10.90.1.1"));
        }
    }

    #[test]
    fn a_service_that_had_ended_is_not_started_by_a_failed_deployment() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        let mut fixed = manifest("web");
        fixed.address = Some(Address::Static([10, 90, 2, 2]));
        deploy(&mut supervisor, &fixed).unwrap();
        kernel.end("web", EndReason::BadAddress, 8);
        kernel
            .lock()
            .failures
            .push((Call::VmCreate, Errno::OutOfMemory));
        deploy(&mut supervisor, &fixed).unwrap_err();
        assert_eq!(holdings(&kernel), (0, 1, 3));
        assert_eq!(supervisor.list()[0].state, ServiceState::Stopped);
    }

    #[test]
    fn a_release_with_the_same_static_address_waits_for_its_predecessor_to_go() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        let mut fixed = manifest("web");
        fixed.address = Some(Address::Static([10, 90, 2, 2]));
        deploy(&mut supervisor, &fixed).unwrap();
        let deployed = deploy(&mut supervisor, &fixed).unwrap();
        assert_eq!(deployed.service.address.as_deref(), Some("10.90.2.2"));
        assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
    }

    #[test]
    fn static_addresses_must_be_free_and_inside_the_subnet() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        for address in [
            [10, 91, 0, 1],
            [10, 90, 0, 2],
            [10, 90, 0, 15],
            [10, 90, 255, 255],
        ] {
            let mut fixed = manifest("web");
            fixed.address = Some(Address::Static(address));
            let refused = deploy(&mut supervisor, &fixed).unwrap_err();
            assert_eq!(refused.kind, Refusal::Conflict, "{address:?}");
        }
        assert_eq!(holdings(&kernel), (0, 0, 0));
    }

    #[test]
    fn a_service_with_dhcp_has_no_address_of_ours() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        let mut dhcp = manifest("web");
        dhcp.address = Some(Address::Dhcp);
        let deployed = deploy(&mut supervisor, &dhcp).unwrap();
        assert_eq!(deployed.service.address, None);
        let vm = kernel.vm_named("web");
        assert_eq!(
            kernel.lock().vms[&vm.0].status.network.addressing,
            addressing::DHCP
        );
        // The switch learns the address from the server's answer; the supervisor shows it then.
        kernel
            .lock()
            .vms
            .get_mut(&vm.0)
            .unwrap()
            .status
            .network
            .address = [192, 168, 7, 7];
        assert_eq!(supervisor.list()[0].address.as_deref(), Some("192.168.7.7"));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let kernel = SharedKernel::new(SERVICE_PAGES + 100);
        let mut supervisor = kernel.supervisor();
        deploy(&mut supervisor, &manifest("first")).unwrap();
        let mut second = manifest("second");
        second.publish.clear();
        let refused = deploy(&mut supervisor, &second).unwrap_err();
        assert_eq!(refused.kind, Refusal::Admission);
        assert!(
            refused
                .message
                .starts_with("needs 1036 KiB, 400 KiB available")
        );
        assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
    }

    #[test]
    fn a_supervisor_that_restarts_finds_the_services_again() {
        let kernel = SharedKernel::new(1000);
        deploy(&mut kernel.supervisor(), &manifest("web")).unwrap();
        let mut supervisor = kernel.supervisor();
        let found = supervisor.list();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].state),
            ("web", ServiceState::Running)
        );
        assert_eq!(found[0].address.as_deref(), Some("10.90.1.1"));
        let mut other = manifest("other");
        other.publish.clear();
        let deployed = deploy(&mut supervisor, &other).unwrap();
        assert_eq!(deployed.service.address.as_deref(), Some("10.90.1.2"));
        supervisor.remove("web").unwrap();
        assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
    }

    #[test]
    fn an_interrupted_replacement_is_completed_after_a_restart() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        deploy(&mut supervisor, &manifest("web")).unwrap();
        let old = kernel.vm_named("web");
        // The new VM was created, and the supervisor died before it freed the old one.
        supervisor.table.remove("web");
        supervisor
            .table
            .insert(fixtures::service("hold", [10, 90, 1, 1]));
        supervisor.table.get_mut("hold").unwrap().network =
            kernel.lock().vms[&old.0].status.network;
        supervisor.table.get_mut("hold").unwrap().origin = None;
        deploy(&mut supervisor, &manifest("web")).unwrap();
        assert_eq!(holdings(&kernel).0, 2);
        let mut supervisor = kernel.supervisor();
        assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
        assert!(!kernel.lock().vms.contains_key(&old.0));
        assert_eq!(supervisor.list()[0].address.as_deref(), Some("10.90.1.2"));
    }
}
