//! The table of services and the rules under which they live side by side.

use crate::kernel::ImageId;
use crate::refusal::Refused;
use crate::service::Service;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::net::Ipv4Addr;
use denali_protocol::{Address, Manifest, Transport};

/// Services in the table, at most; the kernel's VM table has a limit of its own.
pub const SERVICES_MAX: usize = 1 << 17;

/// Services by name.
#[derive(Debug, Default)]
pub struct Table {
    services: BTreeMap<String, Service>,
}

impl Table {
    /// Returns the service `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    /// Returns the service `name`, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Service> {
        self.services.get_mut(name)
    }

    /// Returns all services in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// Puts a service in, in place of the one of its name.
    pub fn insert(&mut self, service: Service) {
        self.services.insert(service.name.clone(), service);
    }

    /// Takes the service `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Service> {
        self.services.remove(name)
    }

    /// Returns the image of another service with the same digest, if there is one.
    #[must_use]
    pub fn image_for(&self, service: &Service) -> Option<ImageId> {
        let digest = service.digest?;
        let mut same = self.iter().filter(|other| other.digest == Some(digest));
        same.find(|other| other.name != service.name)
            .map(|other| other.image)
    }

    /// Returns whether another service than this one, or another release of it, has its image.
    #[must_use]
    pub fn shares_image(&self, service: &Service) -> bool {
        let mut same = self.iter().filter(|other| other.image == service.image);
        same.any(|other| other.name != service.name || other.vm != service.vm)
    }

    /// Returns whether a service has `address`.
    #[must_use]
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.iter()
            .any(|service| service.address() == Some(address))
    }

    /// Returns whether a service has the hardware address `mac`.
    #[must_use]
    pub fn has_mac(&self, mac: [u8; 6]) -> bool {
        self.iter().any(|service| service.network.mac == mac)
    }

    /// Checks that a service with this manifest could stand beside all others but the one of its
    /// own name.
    ///
    /// # Errors
    ///
    /// The port or address that is taken, and by whom; or that the table is full.
    pub fn admit(&self, manifest: &Manifest) -> Result<(), Refused> {
        if self.services.len() >= SERVICES_MAX && self.get(&manifest.name).is_none() {
            return Err(Refused::admission(format!(
                "all {SERVICES_MAX} places for services are taken: remove one with `rm`"
            )));
        }
        for other in self.iter().filter(|other| other.name != manifest.name) {
            let name = &other.name;
            for port in &manifest.publish {
                let same = |theirs: &&denali_protocol::PublishedPort| {
                    theirs.host == port.host && theirs.protocol == port.protocol
                };
                if other.publish().iter().find(same).is_some() {
                    let (host, protocol) = (port.host, transport_name(port.protocol));
                    return Err(Refused::conflict(format!(
                        "host port {host}/{protocol} is published by `{name}`: \
                         publish another one or remove `{name}`"
                    )));
                }
            }
            if let Some(Address::Static(address)) = manifest.address
                && other.address() == Some(address.into())
            {
                let address = Ipv4Addr::from(address);
                return Err(Refused::conflict(format!(
                    "address {address} belongs to `{name}`: choose another one or remove `{name}`"
                )));
            }
        }
        Ok(())
    }
}

/// Returns a protocol's name as people write it.
#[must_use]
pub const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{manifest, service};
    use denali_protocol::Refusal;

    fn table() -> Table {
        let mut table = Table::default();
        table.insert(service("first", [10, 90, 1, 1]));
        table
    }

    #[test]
    fn a_published_port_is_refused_to_others_by_the_owner_s_name() {
        let refused = table().admit(&manifest("second")).unwrap_err();
        assert_eq!(refused.kind, Refusal::Conflict);
        assert!(refused.message.contains("8080/tcp is published by `first`"));
    }

    #[test]
    fn the_same_port_of_another_protocol_is_free() {
        let mut udp = manifest("second");
        udp.publish[0].protocol = Transport::Udp;
        assert_eq!(table().admit(&udp), Ok(()));
    }

    #[test]
    fn a_new_release_may_keep_ports_and_address() {
        let mut release = manifest("first");
        release.address = Some(Address::Static([10, 90, 1, 1]));
        assert_eq!(table().admit(&release), Ok(()));
    }

    #[test]
    fn an_address_in_use_is_refused_by_the_owner_s_name() {
        let mut other = manifest("second");
        other.publish.clear();
        other.address = Some(Address::Static([10, 90, 1, 1]));
        let refused = table().admit(&other).unwrap_err();
        assert_eq!(refused.kind, Refusal::Conflict);
        assert!(refused.message.contains("10.90.1.1 belongs to `first`"));
    }

    #[test]
    fn a_full_table_takes_new_releases_only() {
        let mut table = Table::default();
        for index in 0..SERVICES_MAX {
            let mut service = service(&format!("s{index}"), [0; 4]);
            service.origin = None;
            table.insert(service);
        }
        assert_eq!(
            table.admit(&manifest("new")).unwrap_err().kind,
            Refusal::Admission
        );
        assert_eq!(table.admit(&manifest("s7")), Ok(()));
    }
}
