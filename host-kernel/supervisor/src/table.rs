//! The table of services and the rules under which they live side by side.

use crate::kernel::ImageId;
use crate::refusal::Refused;
use crate::service::Service;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::ops::Bound;
use denali_protocol::{Address, Manifest, PublishedPort, Transport};

/// Services in the table, at most; the kernel's VM table has a limit of its own.
pub const SERVICES_MAX: usize = 1 << 17;

/// Bytes of the supervisor's heap that one service takes at most on average: its record, its name
/// and its places in the indexes, whose nodes may be half full.
pub const SERVICE_BYTES: usize = 448;

/// Services by name, and what they have by what it is, so that a question costs the same however
/// many there are.
#[derive(Debug)]
pub struct Table {
    services: BTreeMap<Arc<str>, Box<Service>>,
    /// How many services have an address.
    addresses: BTreeMap<[u8; 4], u32>,
    /// How many services have a hardware address.
    macs: BTreeMap<[u8; 6], u32>,
    /// Who publishes a port.
    ports: BTreeMap<(u16, Transport), Arc<str>>,
    /// How many services have an image.
    images: BTreeMap<ImageId, u32>,
    /// Images by the digest of their bytes.
    digests: BTreeMap<[u8; 32], ImageId>,
    limit: usize,
}

impl Table {
    /// Makes an empty table for at most `limit` services.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            services: BTreeMap::new(),
            addresses: BTreeMap::new(),
            macs: BTreeMap::new(),
            ports: BTreeMap::new(),
            images: BTreeMap::new(),
            digests: BTreeMap::new(),
            limit,
        }
    }

    /// Returns how many services there can be.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Returns how many services there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Returns the service `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Service> {
        self.services.get(name).map(|service| &**service)
    }

    /// Changes the service `name`, if there is one. Its name, network, image and origin stay.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(name) {
            change(service);
        }
    }

    /// Returns all services in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.services.values().map(|service| &**service)
    }

    /// Returns the services behind the name `after` in order, or all.
    pub fn iter_behind(&self, after: Option<&str>) -> impl Iterator<Item = &Service> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.services.range::<str, _>((start, Bound::Unbounded));
        range.map(|(_, service)| &**service)
    }

    /// Returns the services in order of name from `first` on.
    pub fn iter_from(&self, first: &str) -> impl Iterator<Item = &Service> {
        let range = (Bound::Included(first), Bound::Unbounded);
        let range = self.services.range::<str, _>(range);
        range.map(|(_, service)| &**service)
    }

    /// Puts a service in, in place of the one of its name.
    pub fn insert(&mut self, service: Service) {
        self.remove(&service.name);
        *self.addresses.entry(service.network.address).or_default() += 1;
        *self.macs.entry(service.network.mac).or_default() += 1;
        *self.images.entry(service.image).or_default() += 1;
        for port in service.publish() {
            let key = (port.host, port.protocol);
            self.ports.insert(key, Arc::clone(&service.name));
        }
        if let Some(digest) = service.digest() {
            self.digests.insert(*digest, service.image);
        }
        let name = Arc::clone(&service.name);
        self.services.insert(name, Box::new(service));
    }

    /// Takes the service `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Box<Service>> {
        let service = self.services.remove(name)?;
        take_one(&mut self.addresses, &service.network.address);
        take_one(&mut self.macs, &service.network.mac);
        for port in service.publish() {
            let key = (port.host, port.protocol);
            if self.ports.get(&key).is_some_and(|owner| **owner == *name) {
                self.ports.remove(&key);
            }
        }
        if take_one(&mut self.images, &service.image)
            && let Some(digest) = service.digest()
            && self.digests.get(digest) == Some(&service.image)
        {
            self.digests.remove(digest);
        }
        Some(service)
    }

    /// Returns the image of another service with the same digest, if there is one.
    #[must_use]
    pub fn image_for(&self, service: &Service) -> Option<ImageId> {
        let image = *self.digests.get(service.digest()?)?;
        let own = self.get(&service.name).map(|own| own.image) == Some(image);
        (self.users_of(image) > u32::from(own)).then_some(image)
    }

    /// Returns whether another service than this one, or another release of it, has its image.
    #[must_use]
    pub fn shares_image(&self, service: &Service) -> bool {
        let same = |own: &Service| own.image == service.image && own.vm == service.vm;
        let own = self.get(&service.name).is_some_and(same);
        self.users_of(service.image) > u32::from(own)
    }

    fn users_of(&self, image: ImageId) -> u32 {
        self.images.get(&image).copied().unwrap_or(0)
    }

    /// Returns whether a service has `address`.
    #[must_use]
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains_key(&address.octets())
    }

    /// Returns whether a service has the hardware address `mac`.
    #[must_use]
    pub fn has_mac(&self, mac: [u8; 6]) -> bool {
        self.macs.contains_key(&mac)
    }

    /// Checks that a service with this name, address and ports could stand beside all others but the
    /// one of its own name.
    ///
    /// # Errors
    ///
    /// The port or address that is taken, and by whom; or that the table is full.
    pub fn admit(&self, manifest: &Manifest) -> Result<(), Refused> {
        let limit = self.limit;
        if self.services.len() >= limit && self.get(&manifest.name).is_none() {
            return Err(Refused::admission(format!(
                "all {limit} places for services are taken: remove one with `rm`"
            )));
        }
        self.admit_ports(&manifest.name, &manifest.publish)?;
        if let Some(Address::Static(address)) = manifest.address {
            let address = Ipv4Addr::from(address);
            if let Some(name) = self.owner_of(address, &manifest.name) {
                return Err(Refused::conflict(format!(
                    "address {address} belongs to `{name}`: choose another one or remove `{name}`"
                )));
            }
        }
        Ok(())
    }

    /// Checks that nobody but the service `own` publishes one of these ports.
    pub(crate) fn admit_ports(&self, own: &str, publish: &[PublishedPort]) -> Result<(), Refused> {
        for PublishedPort { host, protocol, .. } in publish {
            let owner = self.ports.get(&(*host, *protocol));
            if let Some(name) = owner.filter(|name| ***name != *own) {
                let protocol = transport_name(*protocol);
                return Err(Refused::conflict(format!(
                    "host port {host}/{protocol} is published by `{name}`: \
                     publish another one or remove `{name}`"
                )));
            }
        }
        Ok(())
    }

    /// Returns the name of a service with `address` other than the service `own`.
    fn owner_of(&self, address: Ipv4Addr, own: &str) -> Option<&str> {
        if !self.has_address(address) {
            return None;
        }
        let owns = |it: &&Service| it.address() == Some(address) && *it.name != *own;
        self.iter().find(owns).map(|it| &*it.name)
    }
}

/// Counts one fewer of `key`. Returns whether it was the last.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) -> bool {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => {
            *count -= 1;
            false
        }
        Some(_) => counts.remove(key).is_some(),
        None => false,
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
        let mut table = Table::new(SERVICES_MAX);
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
    fn what_a_service_had_is_free_when_it_goes_or_changes() {
        let mut table = table();
        assert!(table.has_address([10, 90, 1, 1].into()));
        table.insert(service("first", [10, 90, 1, 2]));
        assert!(!table.has_address([10, 90, 1, 1].into()));
        let second = service("second", [10, 90, 1, 2]);
        assert!(table.shares_image(&second));
        table.remove("first");
        assert_eq!(table.admit(&manifest("second")), Ok(()));
        assert!(!table.has_address([10, 90, 1, 2].into()));
        assert!(!table.has_mac([0; 6]) && !table.shares_image(&second));
        assert_eq!(table.image_for(&second), None);
    }

    #[test]
    fn walking_goes_on_behind_a_name() {
        let mut table = Table::new(SERVICES_MAX);
        for name in ["a", "b", "d"] {
            table.insert(service(name, [0; 4]));
        }
        let behind = |after| -> alloc::string::String {
            table.iter_behind(after).map(|it| &*it.name).collect()
        };
        assert_eq!(behind(None), "abd");
        assert_eq!(
            (behind(Some("b")), behind(Some("c"))),
            ("d".into(), "d".into())
        );
        assert_eq!(behind(Some("d")), "");
    }

    #[test]
    fn a_full_table_takes_new_releases_only() {
        let mut table = Table::new(10_000);
        for index in 0..10_000 {
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
