//! Many connections, backlogs and memory.

use super::super::Buffers;
use super::super::fake::{World, host_config, stack};
use super::{PORT, SERVER, at, connect, ready};
use crate::time::Duration;
use std::vec::Vec;

#[test]
fn a_thousand_connections_live_side_by_side_and_leave_nothing() {
    let mut world = World::new(1);
    let pairs: Vec<_> = (0..1000).map(|_| connect(&mut world)).collect();
    assert_eq!(world.b.stats().connections, 1000);
    for (number, (client, _)) in (0_u32..).zip(&pairs) {
        ready(world.a.write(*client, &number.to_le_bytes()));
    }
    world.settle();
    for (number, (_, server)) in (0_u32..).zip(&pairs) {
        let mut buffer = [0; 4];
        assert_eq!(ready(world.b.read(*server, &mut buffer)), 4);
        assert_eq!(u32::from_le_bytes(buffer), number);
    }
    for (client, server) in pairs {
        world.a.release(client, world.now);
        world.b.release(server, world.now);
    }
    world.pass(Duration::from_secs(2));
    let (a, b) = (world.a.stats(), world.b.stats());
    assert_eq!(
        (a.connections, b.connections, a.buffer_bytes, b.buffer_bytes),
        (0, 0, 0, 0)
    );
    // One deadline is left: to give back the memory in which a thousand ports are remembered.
    let end = world.a.poll(world.now).expect("a deadline");
    assert!(end <= world.now + Duration::from_secs(10));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.a.stats().time_wait, 0);
    assert_eq!(world.a.poll(world.now), None);
}

#[test]
fn thousands_of_connections_one_after_the_other_reuse_everything() {
    let mut world = World::new(1);
    for _ in 0..3000 {
        let (client, server) = connect(&mut world);
        world.b.release(server, world.now);
        world.settle();
        world.a.release(client, world.now);
        world.pass(Duration::from_millis(5));
    }
    assert!(world.b.stats().time_wait <= 1024);
    assert_eq!(
        (world.a.stats().connections, world.b.stats().connections),
        (0, 0)
    );
}

#[test]
fn the_cost_of_a_segment_does_not_grow_with_the_connections() {
    let cost = |others: usize| {
        let mut world = World::new(1);
        for _ in 0..others {
            connect(&mut world);
        }
        let (client, server) = connect(&mut world);
        let exchange = || {
            let start = std::time::Instant::now();
            ready(world.a.write(client, b"ping"));
            world.settle();
            ready(world.b.read(server, &mut [0; 4]));
            start.elapsed()
        };
        // The shortest is the one that nothing else on this machine has interrupted.
        std::iter::repeat_with(exchange).take(200).min()
    };
    let (few, many) = (cost(1).unwrap(), cost(1000).unwrap());
    assert!(
        many < few * 5 + Duration::from_micros(100),
        "{few:?} became {many:?}"
    );
}

#[test]
fn a_full_backlog_drops_requests_until_there_is_room() {
    let mut world = World::new(1);
    world.b.listen(at(PORT), 4, Buffers::DEFAULT).unwrap();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            world
                .a
                .connect(SERVER, 0, Buffers::DEFAULT, world.now)
                .unwrap()
                .id
        })
        .collect();
    world.settle();
    assert!(world.b.stats().backlog_overflows >= 6);
    for _ in 0..10 {
        while world.b.accept(PORT).is_ready() {}
        world.pass(Duration::from_secs(1));
    }
    for client in clients {
        ready(world.a.connected(client));
    }
}

#[test]
fn without_memory_a_request_is_dropped_and_counted() {
    let mut world = World::new(1);
    world.b = stack(host_config(2));
    world.b.memory_left = || 300 * 1024;
    world
        .b
        .listen(
            at(PORT),
            128,
            Buffers {
                receive: 20 * 1024,
                transmit: 20 * 1024,
            },
        )
        .unwrap();
    let client = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap()
        .id;
    world.settle();
    ready(world.a.connected(client));
    world.b.memory_left = || 0;
    let refused = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap()
        .id;
    world.settle();
    assert!(world.a.connected(refused).is_pending());
    assert_eq!(world.b.stats().memory_refusals, 1);
    // What the first one used may be used again.
    let server = ready(world.b.accept(PORT)).id;
    world.b.release(server, world.now);
    world.a.release(client, world.now);
    world.pass(Duration::from_secs(4));
    ready(world.a.connected(refused));
}

#[test]
fn buffers_shrink_so_that_many_connections_fit() {
    use super::super::connection::{Connection, Signals};
    use crate::sync::WaitQueue;
    use smoltcp::iface::SocketStorage;
    let fixed = size_of::<Connection<WaitQueue>>()
        + size_of::<SocketStorage<'static>>()
        + size_of::<Signals<WaitQueue>>()
        + 2 * size_of::<usize>();
    std::println!("a connection: {fixed} bytes beside its buffers");
    assert!(fixed < 1536);
    for (limit, used, expected) in [(8 << 20, 1 << 20, 256), (256 << 20, 1 << 20, 10_000)] {
        let mut left = limit - used;
        let mut connections = 0;
        let mut before = Buffers::BULK.bytes();
        while left > limit / 16 {
            let bytes = Buffers::DEFAULT.resolved(left, limit).bytes();
            assert!(bytes <= before);
            before = bytes;
            left -= bytes + fixed;
            connections += 1;
        }
        assert!(connections > expected, "{connections} in {limit} bytes");
    }
    let explicit = Buffers {
        receive: 100,
        transmit: 3000,
    };
    let resolved = explicit.resolved(0, 8 << 20);
    assert_eq!((resolved.receive, resolved.transmit), (1024, 3000));
}
