//! Sleepers are woken: from the first packet for one to the first byte of its answer.

use super::crowd::Crowd;
use crate::load::Zipf;
use denali_protocol::Service;
use std::net::Ipv4Addr;

/// Wakes sleepers one after the other, then as many several at once. Returns whether every answer was
/// right.
///
/// # Panics
///
/// If there are not so many who sleep.
pub(super) fn run(crowd: &mut Crowd<'_>) -> bool {
    let (wake, clients) = (crowd.plan.wake as usize, crowd.plan.clients);
    let mut fine = true;
    for (name, clients) in [
        ("woken one by one".to_owned(), 1),
        (format!("woken {clients} at once"), clients),
    ] {
        let mut sleepers = sleepers(crowd);
        assert!(sleepers.len() >= wake, "only {} sleep", sleepers.len());
        sleepers.truncate(wake);
        let mut sleepers = sleepers.into_iter();
        fine &= crowd.part(&name, clients, || sleepers.next());
    }
    fine
}

/// Returns the addresses of services that are on swap whole, in an order that is not that of their
/// making.
fn sleepers(crowd: &Crowd<'_>) -> Vec<Ipv4Addr> {
    let list = ["ls", "--json", "--state", "paged"];
    let mut paged: Vec<Service> = crowd.host.denali(list).succeeds().json();
    paged.retain(|service| service.resident == 0);
    let addresses = paged.iter().filter_map(|service| service.address.as_ref());
    let mut addresses: Vec<Ipv4Addr> = addresses.flat_map(|address| address.parse()).collect();
    Zipf::shuffle(&mut addresses, 0x5eed);
    addresses
}
