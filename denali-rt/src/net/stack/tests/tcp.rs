//! One connection at a time.

use super::super::connection::{LINGER_MAX, UNANSWERED_MAX};
use super::super::fake::World;
use super::super::{Buffers, Shutdown};
use super::{PORT, SERVER, at, connect, drain, failed, ready};
use crate::io::ErrorKind;
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;
use std::vec;
use std::vec::Vec;

#[test]
fn an_echo_comes_back_without_time_passing() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    assert_eq!(ready(world.a.write(client, b"hello")), 5);
    world.settle();
    let mut buffer = [0; 16];
    assert_eq!(ready(world.b.read(server, &mut buffer)), 5);
    assert_eq!(ready(world.b.write(server, &buffer[..5])), 5);
    world.settle();
    assert_eq!(ready(world.a.read(client, &mut buffer)), 5);
    assert_eq!(&buffer[..5], b"hello");
    assert_eq!(world.a.read(client, &mut buffer), Poll::Pending);
}

#[test]
fn writes_of_one_turn_leave_in_one_segment() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    let before = world.frames;
    for _ in 0..10 {
        ready(world.a.write(client, b"0123456789"));
    }
    world.settle();
    assert_eq!(world.frames - before, 1);
    let mut received = Vec::new();
    drain(&mut world.b, server, &mut received);
    assert_eq!(received.len(), 100);
}

#[test]
fn an_established_connection_without_traffic_has_no_deadline() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    ready(world.a.write(client, b"x"));
    world.settle();
    ready(world.b.read(server, &mut [0; 1]));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.a.poll(world.now), None);
    assert_eq!(world.b.poll(world.now), None);
    let timers = (world.a.stats().timers, world.b.stats().timers);
    world.pass(Duration::from_secs(3600));
    assert_eq!((world.a.stats().timers, world.b.stats().timers), timers);
    ready(world.b.write(server, b"y"));
    world.settle();
    assert_eq!(ready(world.a.read(client, &mut [0; 1])), 1);
}

#[test]
fn bulk_data_arrives_intact_in_both_directions_at_once() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    let data: Vec<u8> = (0..300_000_u32)
        .map(|i| i.to_le_bytes()[usize::from(i % 3 == 0)])
        .collect();
    let (mut sent_a, mut sent_b, mut got_a, mut got_b) = (0, 0, Vec::new(), Vec::new());
    while got_a.len() < data.len() || got_b.len() < data.len() {
        if let Poll::Ready(count) = world.a.write(client, &data[sent_a..]) {
            sent_a += count.unwrap();
        }
        if let Poll::Ready(count) = world.b.write(server, &data[sent_b..]) {
            sent_b += count.unwrap();
        }
        let limit = world.now + Duration::from_secs(1);
        world.advance(limit);
        drain(&mut world.a, client, &mut got_a);
        drain(&mut world.b, server, &mut got_b);
        assert!(world.now.as_ns() < 60_000_000_000, "too slow");
    }
    assert!(got_a == data && got_b == data);
}

#[test]
fn a_full_window_stops_the_writer_until_the_reader_reads() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    let mut written = 0;
    while let Poll::Ready(count) = world.a.write(client, &[7; 1000]) {
        written += count.unwrap();
        world.settle();
    }
    // What the receiver has left may not be worth a segment.
    let buffers = Buffers::DEFAULT.resolved(usize::MAX, usize::MAX);
    assert!(written > buffers.bytes() - 1460);
    world.pass(Duration::from_secs(30));
    let mut received = Vec::new();
    while received.len() < written {
        let before = received.len();
        drain(&mut world.b, server, &mut received);
        assert!(received.len() > before, "stuck at {before}");
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(received.len(), written);
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    ready(world.a.write(client, b"request"));
    world.a.shutdown(client, Shutdown::Write).unwrap();
    assert_eq!(
        failed(world.a.write(client, b"more")),
        ErrorKind::BrokenPipe
    );
    world.settle();
    let mut received = Vec::new();
    assert!(drain(&mut world.b, server, &mut received));
    assert_eq!(received, b"request");
    ready(world.b.write(server, &vec![1; 5000]));
    world.b.release(server, world.now);
    world.settle();
    let mut answer = Vec::new();
    assert!(drain(&mut world.a, client, &mut answer));
    assert_eq!(answer.len(), 5000);
}

#[test]
fn a_dropped_stream_delivers_what_was_written_and_leaves_twenty_bytes() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    ready(world.b.write(server, &vec![9; 6000]));
    world.b.release(server, world.now);
    world.settle();
    let mut received = Vec::new();
    assert!(drain(&mut world.a, client, &mut received));
    assert_eq!(received.len(), 6000);
    world.a.release(client, world.now);
    world.pass(Duration::from_secs(1));
    let (a, b) = (world.a.stats(), world.b.stats());
    assert_eq!(
        (a.connections, a.buffer_bytes, b.connections, b.buffer_bytes),
        (0, 0, 0, 0)
    );
    assert_eq!((a.time_wait, b.time_wait), (0, 1));
    world.pass(Duration::from_secs(11));
    world.b.poll(world.now);
    assert_eq!(world.b.stats().time_wait, 0);
}

#[test]
fn a_peer_that_never_closes_is_cut_off_after_a_while() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    world.b.release(server, world.now);
    world.pass(LINGER_MAX - Duration::from_secs(1));
    assert_eq!(world.b.stats().connections, 1);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.b.stats().connections, 0);
    assert_eq!(
        failed(world.a.read(client, &mut [0; 1])),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let mut world = World::new(1);
    let client = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    assert_eq!(world.a.connected(client.id), Poll::Pending);
    world.settle();
    assert_eq!(
        failed(world.a.connected(client.id)),
        ErrorKind::ConnectionRefused
    );
    world.a.release(client.id, world.now);
    assert_eq!(world.a.stats().connections, 0);
}

#[test]
fn a_host_that_does_not_exist_times_out() {
    let mut world = World::new(1);
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99)), PORT);
    let client = world
        .a
        .connect(nowhere, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    world.pass(UNANSWERED_MAX + Duration::from_secs(3));
    assert_eq!(failed(world.a.connected(client.id)), ErrorKind::TimedOut);
    world.a.release(client.id, world.now);
    world.pass(LINGER_MAX + Duration::from_secs(3));
    assert_eq!(world.a.stats().connections, 0);
    assert_eq!(world.a.poll(world.now), None);
}

#[test]
fn a_peer_that_falls_silent_times_out_only_if_it_owes_an_answer() {
    let mut world = World::new(1);
    let (quiet, _) = connect(&mut world);
    let (talking, _) = connect(&mut world);
    world.faults.lose = 1000;
    ready(world.a.write(talking, b"anybody there?"));
    world.pass(UNANSWERED_MAX + Duration::from_secs(3));
    assert_eq!(
        failed(world.a.read(talking, &mut [0; 1])),
        ErrorKind::TimedOut
    );
    assert_eq!(failed(world.a.write(talking, b"x")), ErrorKind::TimedOut);
    assert_eq!(world.a.read(quiet, &mut [0; 1]), Poll::Pending);
}

#[test]
fn a_handshake_never_completed_is_forgotten() {
    let mut world = World::new(1);
    world.b.listen(at(PORT), 8, Buffers::DEFAULT).unwrap();
    world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    for _ in 0..20 {
        world.a.poll(world.now);
        let frames = core::mem::take(&mut world.a.link_mut().outbox);
        world.b.link_mut().inbox.extend(frames);
        world.b.poll(world.now);
        let frames = core::mem::take(&mut world.b.link_mut().outbox);
        let arp = frames.into_iter().filter(|frame| frame[12..14] == [8, 6]);
        world.a.link_mut().inbox.extend(arp);
    }
    assert_eq!(world.b.listeners[&PORT].half_open, 1);
    world.a = super::super::fake::stack(super::super::fake::host_config(1));
    world.faults.lose = 1000;
    world.pass(Duration::from_secs(20));
    assert_eq!(world.b.listeners[&PORT].half_open, 0);
    assert_eq!(world.b.stats().connections, 0);
}

#[test]
fn closing_a_listener_resets_whom_nobody_accepted() {
    let mut world = World::new(1);
    world.b.listen(at(PORT), 8, Buffers::DEFAULT).unwrap();
    assert_eq!(
        world.b.listen(at(PORT), 8, Buffers::DEFAULT).unwrap_err(),
        ErrorKind::AddrInUse
    );
    let client = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    world.settle();
    ready(world.a.connected(client.id));
    world.b.unlisten(PORT, world.now);
    world.settle();
    assert_eq!(
        failed(world.a.read(client.id, &mut [0; 1])),
        ErrorKind::ConnectionReset
    );
    assert_eq!(world.b.stats().connections, 0);
    world.b.listen(at(PORT), 8, Buffers::DEFAULT).unwrap();
}

#[test]
fn a_retransmitted_fin_is_acknowledged_from_time_wait() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    world.b.release(server, world.now);
    world.settle();
    world.a.release(client, world.now);
    // The server's last acknowledgement is lost.
    for _ in 0..3 {
        world.a.poll(world.now);
        let frames = core::mem::take(&mut world.a.link_mut().outbox);
        world.b.link_mut().inbox.extend(frames);
        world.b.poll(world.now);
        world.b.link_mut().outbox.clear();
    }
    world.pass(Duration::from_secs(3));
    assert_eq!(
        (world.a.stats().connections, world.b.stats().connections),
        (0, 0)
    );
    assert_eq!(world.a.stats().timeouts, 0);
    assert_eq!(world.b.stats().time_wait, 1);
}
