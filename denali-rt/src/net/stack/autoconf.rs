//! IPv6 addresses, made of what routers advertise and the VM's own interface identifier.
//!
//! Stateless autoconfiguration (RFC 4862) with the identifier of the hardware address (RFC 4291
//! appendix A): the switch lets no other through, and hardware addresses differ, so there is nothing
//! to detect duplicates of. A router is asked when the stack starts, and again when the VM happens
//! to be awake in the second half of a lifetime; an idle VM is not woken for it.

use super::{ndisc, smol};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use smoltcp::phy::{ChecksumCapabilities, Device, TxToken};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, Icmpv6Packet, Icmpv6Repr, Ipv6Cidr, Ipv6Packet,
    NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr,
};

/// Prefixes kept; the first come stay.
const PREFIXES_MAX: usize = 3;

/// Routers kept; the first is used.
const ROUTERS_MAX: usize = 2;

/// How often and at what interval a router is asked (RFC 4861 §10).
const SOLICITATIONS: u32 = 3;
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);

/// All routers of the link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// What the VM knows of its IPv6 neighbourhood.
#[derive(Debug)]
pub(super) struct Autoconf {
    mac: EthernetAddress,
    prefixes: Vec<Entry<Ipv6Addr>>,
    routers: Vec<Entry<Ipv6Addr>>,
    /// Solicitations still to be sent if no router answers.
    solicitations: u32,
    /// When the next is due, or its answer has failed to come.
    due: Option<Instant>,
}

/// Something that holds for a time; for good, if it was configured.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    value: T,
    since: Instant,
    until: Option<Instant>,
}

impl<T> Entry<T> {
    /// Returns when to ask whether it still holds: halfway.
    fn renew_at(&self) -> Option<Instant> {
        let until = self.until?;
        Some(self.since + (until - self.since) / 2)
    }
}

impl Autoconf {
    /// Prepares to ask for routers.
    pub(super) fn new(mac: EthernetAddress, now: Instant) -> Self {
        Self {
            mac,
            prefixes: Vec::new(),
            routers: Vec::new(),
            solicitations: SOLICITATIONS,
            due: Some(now),
        }
    }

    /// Returns our addresses, the one of the link first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv6Cidr> + '_ {
        const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
        let prefixes = self.prefixes.iter().map(|prefix| prefix.value);
        core::iter::once(LINK_LOCAL)
            .chain(prefixes)
            .map(|prefix| Ipv6Cidr::new(self.address_in(prefix), 64))
    }

    /// Returns the router.
    pub(super) fn router(&self) -> Option<Ipv6Addr> {
        self.routers.first().map(|router| router.value)
    }

    /// Returns whether an answer of a router may still come.
    pub(super) fn is_asking(&self) -> bool {
        self.due.is_some()
    }

    /// Returns our address in the network with a 64-bit prefix.
    fn address_in(&self, prefix: Ipv6Addr) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0;
        let mut octets = prefix.octets();
        octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        octets.into()
    }

    /// Sets a network with a 64-bit prefix, and its router, for good.
    pub(super) fn configure(&mut self, prefix: Ipv6Addr, router: Option<Ipv6Addr>, now: Instant) {
        keep(
            &mut self.prefixes,
            PREFIXES_MAX,
            network_of(prefix),
            now,
            None,
        );
        if let Some(router) = router {
            keep(&mut self.routers, ROUTERS_MAX, router, now, None);
        }
        self.due = None;
    }

    /// Takes note of a router's advertisement. Returns whether it changed anything.
    pub(super) fn hear(&mut self, frame: &[u8], now: Instant) -> bool {
        let Some((router, lifetime, prefix)) = parse(frame) else {
            return false;
        };
        let lease = |lifetime: smoltcp::time::Duration| {
            let micros = lifetime.total_micros();
            (micros > 0).then(|| now + Duration::from_micros(micros))
        };
        let before = self.snapshot();
        match lease(lifetime) {
            Some(until) => keep(&mut self.routers, ROUTERS_MAX, router, now, Some(until)),
            None => forget(&mut self.routers, router),
        }
        if let Some(prefix) = prefix.filter(is_usable) {
            let network = network_of(prefix.prefix);
            match lease(prefix.valid_lifetime) {
                Some(until) => keep(&mut self.prefixes, PREFIXES_MAX, network, now, Some(until)),
                None => forget(&mut self.prefixes, network),
            }
        }
        self.due = None;
        self.solicitations = SOLICITATIONS;
        before != self.snapshot()
    }

    fn snapshot(&self) -> (Vec<Ipv6Addr>, Option<Ipv6Addr>) {
        (
            self.prefixes.iter().map(|p| p.value).collect(),
            self.router(),
        )
    }

    /// Asks for routers if that is due. Returns whether anything changed.
    pub(super) fn poll(&mut self, link: &mut impl Device, now: Instant) -> bool {
        let mut entries = self.prefixes.iter().chain(&self.routers);
        if self.due.is_none() && entries.any(|entry| entry.renew_at().is_some_and(|at| at <= now)) {
            self.due = Some(now);
        }
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        if self.solicitations > 0 {
            let Some(token) = link.transmit(smol(now)) else {
                return false;
            };
            self.solicit(token);
            self.solicitations -= 1;
            self.due = Some(now + SOLICITATION_INTERVAL);
            return false;
        }
        // Nobody answered: what is over is over, and what is not is asked for when it is.
        self.due = None;
        let expired = |entry: &Entry<Ipv6Addr>| entry.until.is_some_and(|until| until <= now);
        self.prefixes.retain(|entry| !expired(entry));
        self.routers.retain(|entry| !expired(entry));
        for entry in self.prefixes.iter_mut().chain(&mut self.routers) {
            entry.since = now;
        }
        self.solicitations = SOLICITATIONS;
        true
    }

    /// Returns when to poll next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    fn solicit(&self, token: impl TxToken) {
        let source = self.address_in(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
        let message = NdiscRepr::RouterSolicit {
            lladdr: Some(self.mac.into()),
        };
        ndisc::send(token, self.mac, source, ALL_ROUTERS, message);
    }
}

/// Returns router, its lifetime and the prefix of an advertisement that is valid (RFC 4861 §6.1.2).
fn parse(
    frame: &[u8],
) -> Option<(
    Ipv6Addr,
    smoltcp::time::Duration,
    Option<NdiscPrefixInformation>,
)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    if ip.hop_limit() != ndisc::HOP_LIMIT || !source.is_unicast_link_local() {
        return None;
    }
    let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    let checksums = ChecksumCapabilities::default();
    match Icmpv6Repr::parse(&source, &destination, &icmp, &checksums).ok()? {
        Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
            router_lifetime,
            prefix_info,
            ..
        }) => Some((source, router_lifetime, prefix_info)),
        _ => None,
    }
}

/// Returns whether addresses are made of a prefix (RFC 4862 §5.5.3).
fn is_usable(prefix: &NdiscPrefixInformation) -> bool {
    prefix.flags.contains(NdiscPrefixInfoFlags::ADDRCONF)
        && prefix.prefix_len == 64
        && prefix.preferred_lifetime <= prefix.valid_lifetime
        && !prefix.prefix.is_unicast_link_local()
        && !prefix.prefix.is_multicast()
        && !network_of(prefix.prefix).is_unspecified()
}

fn network_of(address: Ipv6Addr) -> Ipv6Addr {
    let mut octets = address.octets();
    octets[8..].fill(0);
    octets.into()
}

/// Keeps `value` until then, if there is room.
fn keep(
    entries: &mut Vec<Entry<Ipv6Addr>>,
    most: usize,
    value: Ipv6Addr,
    now: Instant,
    until: Option<Instant>,
) {
    let entry = Entry {
        value,
        since: now,
        until,
    };
    let place = entries.iter().position(|entry| entry.value == value);
    match place {
        // What was configured does not expire.
        Some(place) if entries[place].until.is_none() => {}
        Some(place) => entries[place] = entry,
        None if entries.len() < most => entries.push(entry),
        None => {}
    }
}

/// Forgets `value`, unless it was configured.
fn forget(entries: &mut Vec<Entry<Ipv6Addr>>, value: Ipv6Addr) {
    entries.retain(|entry| entry.value != value || entry.until.is_none());
}
