//! After a restore connections go on; in a clone they have ended, and listeners serve at the new
//! address.

use super::super::fake::{World, host_config};
use super::super::{Buffers, Take};
use super::{PORT, at, connect, failed, ready};
use crate::io::ErrorKind;
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;

const SEED: [u64; 2] = [0x1357_9bdf_0246_8ace, 0xfdb9_7531_eca8_6420];

/// Longer than it takes to find a neighbour.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_restored_vm_keeps_its_connections() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    world.b.resume(&host_config(2), SEED, world.now);
    ready(world.a.write(client, b"still there?"));
    world.pass(SOON);
    let mut buffer = [0; 32];
    assert_eq!(ready(world.b.read(server, &mut buffer)), 12);
    ready(world.b.write(server, b"yes"));
    world.pass(SOON);
    assert_eq!(ready(world.a.read(client, &mut buffer)), 3);
}

#[test]
fn a_clone_is_somebody_else_and_serves_at_its_own_address() {
    let mut world = World::new(1);
    let (_, server) = connect(&mut world);
    let woken = world.b.address.changed();
    let before = woken.0.get();
    world.b.resume(&host_config(3), SEED, world.now);
    assert_eq!(woken.0.get(), before + 1);
    let mut buffer = [0; 32];
    assert_eq!(
        failed(world.b.read(server, &mut buffer)),
        ErrorKind::ConnectionReset
    );
    world.b.release(server, world.now);
    let own = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)), PORT);
    let client = world.a.connect(own, 0, Buffers::DEFAULT, world.now);
    let client = client.unwrap();
    world.pass(SOON);
    ready(world.a.connected(client.id));
    let accepted = ready(world.b.accept(PORT));
    ready(world.a.write(client.id, b"hello"));
    world.pass(SOON);
    assert_eq!(ready(world.b.read(accepted.id, &mut buffer)), 5);
}

#[test]
fn a_bound_socket_of_a_clone_receives_at_the_new_address() {
    let mut world = World::new(1);
    let (bound, _) = world.b.bind_datagram(at(5000)).unwrap();
    world.b.resume(&host_config(3), SEED, world.now);
    let (sender, _) = world.a.bind_datagram(at(6000)).unwrap();
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)), 5000);
    ready(world.a.send_datagram(sender, b"datagram", to, world.now));
    world.pass(SOON);
    let mut buffer = [0; 32];
    match world.b.receive_from(bound, &mut buffer, Take::Remove) {
        Poll::Ready(Ok((count, _))) => assert_eq!(count, 8),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vm_with_dhcp_asks_again() {
    let mut world = World::new(1);
    let leased = denali_abi::net::NetworkConfig {
        addressing: denali_abi::net::addressing::DHCP,
        ..host_config(4)
    };
    world.b.resume(&leased, SEED, world.now);
    assert!(world.b.address.ipv4().is_none());
    assert!(world.b.address.is_leased());
    world.b.poll(world.now);
    let frames = &world.b.link.outbox;
    let discover = |frame: &&std::vec::Vec<u8>| frame.get(36..38) == Some(&[0, 67][..]);
    assert_eq!(frames.iter().filter(discover).count(), 1);
}
