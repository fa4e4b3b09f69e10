//! What can be set on a connection, and what it is ready for.

use super::super::connection::KeepAlive;
use super::super::fake::World;
use super::super::{Buffers, Shutdown, Take};
use super::{PORT, SERVER, at, connect, failed, ready};
use crate::io::ErrorKind;
use crate::net::readiness::Readiness;
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;

const WRITABLE: Readiness = Readiness {
    readable: false,
    writable: true,
    read_closed: false,
    closed: false,
    error: false,
};

const PROBES: KeepAlive = KeepAlive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(5),
    probes: 3,
};

#[test]
fn a_peer_that_answers_is_probed_once_in_a_while_and_kept() {
    let mut world = World::new(1);
    let (client, _) = connect(&mut world);
    world.a.set_keep_alive(client, Some(PROBES));
    world.pass(Duration::from_secs(1));
    let before = world.frames;
    world.pass(Duration::from_secs(600));
    let frames = world.frames - before;
    // A probe and its answer; a question for the hardware address and its answer, for a minute is
    // as old as such an answer gets.
    assert!(
        (36..=44).contains(&frames),
        "{frames} frames in ten silences"
    );
    assert_eq!(world.a.readiness(client), WRITABLE);
}

#[test]
fn a_peer_that_is_gone_is_noticed_after_the_last_probe() {
    let mut world = World::new(1);
    let (client, _) = connect(&mut world);
    world.a.set_keep_alive(client, Some(PROBES));
    world.pass(Duration::from_secs(1));
    world.faults.lose = 1000;
    world.pass(Duration::from_secs(72));
    assert!(world.a.read(client, &mut [0; 1]).is_pending());
    world.pass(Duration::from_secs(4));
    assert_eq!(
        failed(world.a.read(client, &mut [0; 1])),
        ErrorKind::TimedOut
    );
    let end = world.a.readiness(client);
    assert!(end.readable && end.writable && end.closed && end.error);
    assert_eq!(world.a.take_error(client), Some(ErrorKind::TimedOut));
    assert_eq!(world.a.take_error(client), None);
    assert_eq!(ready(world.a.read(client, &mut [0; 1])), 0);
}

#[test]
fn a_user_timeout_ends_what_is_not_acknowledged_in_time() {
    let mut world = World::new(1);
    let (client, _) = connect(&mut world);
    world
        .a
        .set_user_timeout(client, Some(Duration::from_secs(7)));
    world.faults.lose = 1000;
    ready(world.a.write(client, b"anybody there?"));
    world.pass(Duration::from_secs(6));
    assert!(world.a.read(client, &mut [0; 1]).is_pending());
    world.pass(Duration::from_secs(2));
    assert_eq!(failed(world.a.write(client, b"x")), ErrorKind::TimedOut);
}

#[test]
fn readiness_follows_a_connection_through_its_life() {
    let mut world = World::new(1);
    world.b.listen(at(PORT), 8, Buffers::DEFAULT).unwrap();
    let client = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap()
        .id;
    assert_eq!(world.a.readiness(client), Readiness::default());
    assert_eq!(world.a.read(client, &mut [0; 1]), Poll::Pending);
    assert_eq!(world.a.write(client, b"early"), Poll::Pending);
    assert_eq!(world.b.listener_readiness(PORT), Readiness::default());
    world.settle();
    assert!(world.b.listener_readiness(PORT).readable);
    let server = ready(world.b.accept(PORT)).id;
    assert!(!world.b.listener_readiness(PORT).readable);
    assert_eq!(world.a.readiness(client), WRITABLE);

    ready(world.b.write(server, b"hello"));
    world.settle();
    assert!(world.a.readiness(client).readable);
    assert_eq!(ready(world.a.peek(client, &mut [0; 9])), 5);
    assert_eq!(ready(world.a.read(client, &mut [0; 9])), 5);
    assert_eq!(world.a.readiness(client), WRITABLE);

    world.b.shutdown(server, Shutdown::Write).unwrap();
    world.settle();
    let half = world.a.readiness(client);
    assert!(half.readable && half.writable && half.read_closed && !half.closed);
    world.a.shutdown(client, Shutdown::Write).unwrap();
    world.settle();
    let end = world.a.readiness(client);
    assert!(end.readable && end.writable && end.closed && !end.error);
}

#[test]
fn a_full_buffer_is_not_writable_until_the_peer_reads() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    while world.a.write(client, &[7; 1000]).is_ready() {
        world.settle();
    }
    assert!(!world.a.readiness(client).writable);
    let mut received = std::vec::Vec::new();
    super::drain(&mut world.b, server, &mut received);
    world.settle();
    assert!(world.a.readiness(client).writable);
}

#[test]
fn a_refused_connection_is_ready_with_its_error() {
    let mut world = World::new(1);
    let client = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap()
        .id;
    world.settle();
    let end = world.a.readiness(client);
    assert!(end.writable && end.error && end.closed);
    assert_eq!(
        world.a.take_error(client),
        Some(ErrorKind::ConnectionRefused)
    );
}

#[test]
fn a_closed_read_half_reads_an_end_after_what_has_come() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    ready(world.b.write(server, b"last"));
    world.settle();
    world.a.shutdown(client, Shutdown::Read).unwrap();
    assert_eq!(ready(world.a.read(client, &mut [0; 9])), 4);
    assert_eq!(ready(world.a.read(client, &mut [0; 9])), 0);
    ready(world.a.write(client, b"still"));
    world.settle();
    assert_eq!(ready(world.b.read(server, &mut [0; 9])), 5);
}

#[test]
fn a_reset_tells_the_peer_at_once() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    ready(world.a.write(client, b"lost"));
    world.a.reset(client, world.now);
    world.settle();
    assert_eq!(
        failed(world.b.read(server, &mut [0; 9])),
        ErrorKind::ConnectionReset
    );
    assert_eq!(world.a.stats().connections, 0);
}

#[test]
fn finishing_waits_for_the_acknowledgement_of_the_end() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    ready(world.a.write(client, b"all of it"));
    world.a.shutdown(client, Shutdown::Write).unwrap();
    assert!(world.a.finished(client).is_pending());
    world.pass(Duration::from_secs(1));
    ready(world.a.finished(client));
    assert_eq!(ready(world.b.read(server, &mut [0; 16])), 9);
}

#[test]
fn a_local_port_can_be_chosen_but_not_twice_for_one_peer() {
    let mut world = World::new(1);
    world.b.listen(at(PORT), 8, Buffers::DEFAULT).unwrap();
    let first = world
        .a
        .connect(SERVER, 5555, Buffers::DEFAULT, world.now)
        .unwrap();
    world.settle();
    assert_eq!(world.a.local_addr(first.id).port(), 5555);
    let second = world.a.connect(SERVER, 5555, Buffers::DEFAULT, world.now);
    assert_eq!(second.unwrap_err(), ErrorKind::AddrInUse);
}

#[test]
fn a_connected_datagram_socket_hears_its_peer_alone() {
    let mut world = World::new(1);
    let (port, _) = world.b.bind_datagram(at(7)).unwrap();
    for sender in [1000, 1001] {
        world.a.bind_datagram(at(sender)).unwrap();
    }
    let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 1001);
    world.b.connect_datagram(port, Some(peer));
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), port);
    ready(world.a.send_datagram(1000, b"stranger", to, world.now));
    ready(world.a.send_datagram(1001, b"friend", to, world.now));
    assert!(!world.b.datagram_readiness(port).readable);
    world.settle();
    assert!(world.b.datagram_readiness(port).readable);
    let mut buffer = [0; 16];
    for take in [Take::Copy, Take::Remove] {
        assert_eq!(
            ready(world.b.receive_from(port, &mut buffer, take)),
            (6, peer)
        );
    }
    assert!(
        world
            .b
            .receive_from(port, &mut buffer, Take::Remove)
            .is_pending()
    );
}
