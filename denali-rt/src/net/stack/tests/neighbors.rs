//! Who does not answer keeps nobody from those who do.

use super::super::fake::World;
use super::super::{Buffers, Take};
use super::{PORT, at, ready};
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::Poll;

/// Less than smoltcp waits between two questions for hardware addresses.
const AT_ONCE: Duration = Duration::from_millis(10);

/// Connects to hosts that are not there, each at another time, and then to one that is.
fn connects_beside_the_dead(living: SocketAddr, dead: impl Fn(u8) -> IpAddr) {
    let mut world = World::new(1);
    let backlog = 4;
    world.b.listen(at(PORT), backlog, Buffers::DEFAULT).unwrap();
    for host in 77..87 {
        let dead = SocketAddr::new(dead(host), PORT);
        world
            .a
            .connect(dead, 0, Buffers::DEFAULT, world.now)
            .unwrap();
        world.pass(Duration::from_millis(300));
    }
    let client = world.a.connect(living, 0, Buffers::DEFAULT, world.now);
    let client = client.unwrap();
    world.pass(AT_ONCE);
    ready(world.a.connected(client.id));
}

#[test]
fn hosts_that_are_not_there_delay_no_connection() {
    let living = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 2).into(), PORT);
    connects_beside_the_dead(living, |host| Ipv4Addr::new(10, 0, 0, host).into());
}

#[test]
fn nor_do_they_over_ipv6() {
    let mut world = World::new(1);
    let own = world
        .b
        .address()
        .ipv6()
        .nth(1)
        .expect("an address in the network");
    let living = SocketAddr::new(own.into(), PORT);
    world.settle();
    let [a, b, c, d, e, f, g, _] = own.segments();
    connects_beside_the_dead(living, |host| {
        Ipv6Addr::new(a, b, c, d, e, f, g, host.into()).into()
    });
}

#[test]
fn a_datagram_nobody_takes_holds_up_none_behind_it_for_long() {
    let mut world = World::new(1);
    let (from, _) = world.a.bind_datagram(at(6000)).unwrap();
    let (to, _) = world.b.bind_datagram(at(5000)).unwrap();
    for (host, payload) in [(77, b"lost"), (77, b"lost"), (2, b"here")] {
        let to = SocketAddr::new(Ipv4Addr::new(10, 0, 0, host).into(), 5000);
        ready(world.a.send_datagram(from, payload, to, world.now));
    }
    world.pass(Duration::from_secs(5));
    let mut buffer = [0; 32];
    match world.b.receive_from(to, &mut buffer, Take::Remove) {
        Poll::Ready(Ok((count, _))) => assert_eq!(buffer[..count], *b"here"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_neighbour_is_asked_for_once_a_second() {
    let mut world = World::new(1);
    for port in 1..=20 {
        let dead = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 77).into(), port);
        world
            .a
            .connect(dead, 0, Buffers::DEFAULT, world.now)
            .unwrap();
        world.pass(Duration::from_millis(150));
    }
    // Three seconds have passed.
    assert!((3..=7).contains(&world.frames), "{} frames", world.frames);
}
