//! IPv6, loopback, echo requests and groups.

use super::super::fake::{NETWORK, TestStack, World, host_config};
use super::super::{Buffers, Setup, Stack, Take};
use super::{PORT, SERVER, at, connect, drain, failed, ready};
use crate::io::ErrorKind;
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::Poll;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpAddress,
    IpProtocol, IpRepr, Ipv6Packet, Ipv6Repr, NdiscPrefixInfoFlags, NdiscPrefixInformation,
    NdiscRepr, NdiscRouterFlags, UdpPacket, UdpRepr,
};
use std::vec;
use std::vec::Vec;

/// Host number 2 by IPv6.
const SERVER6: SocketAddr = SocketAddr::new(
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xff, 0xfe00, 2)),
    PORT,
);

/// How long it takes to ask for the hardware addresses of two neighbours: smoltcp asks for one a
/// second.
const NEIGHBOR_PACE: Duration = Duration::from_millis(1100);

const LOCAL: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xff, 0xfe00, 1)),
];

#[test]
fn two_hosts_talk_by_ipv6_through_faults_and_leave_nothing() {
    for seed in 1..=10 {
        let mut world = World::new(seed);
        world.b.listen(at(PORT), 8, Buffers::DEFAULT).unwrap();
        let client = world
            .a
            .connect(SERVER6, 0, Buffers::DEFAULT, world.now)
            .unwrap();
        world.settle();
        ready(world.a.connected(client.id));
        let server = ready(world.b.accept(PORT));
        assert_eq!(server.peer, world.a.local_addr(client.id));
        world.faults.lose = 30;
        world.faults.reorder = 50;
        let data: Vec<u8> = (0..60_000_u32).map(|i| i.to_le_bytes()[1]).collect();
        let (mut sent, mut received) = (0, Vec::new());
        while received.len() < data.len() {
            if let Poll::Ready(Ok(count)) = world.a.write(client.id, &data[sent..]) {
                sent += count;
            }
            let step = world.now + Duration::from_secs(1);
            world.advance(step);
            drain(&mut world.b, server.id, &mut received);
            assert!(
                world.now < Instant::from_ns(1_000_000_000_000),
                "seed {seed}"
            );
        }
        assert!(received == data, "seed {seed}");
        world.a.release(client.id, world.now);
        world.b.release(server.id, world.now);
        world.pass(Duration::from_secs(300));
        assert_eq!(world.a.stats().connections + world.b.stats().connections, 0);
    }
}

#[test]
fn a_vm_talks_to_itself_by_each_of_its_addresses_without_a_frame() {
    for address in LOCAL {
        let mut world = World::new(1);
        world.a.listen(at(PORT), 8, Buffers::BULK).unwrap();
        let to = SocketAddr::new(address, PORT);
        let client = world.a.connect(to, 0, Buffers::BULK, world.now).unwrap();
        world.settle();
        ready(world.a.connected(client.id));
        let server = ready(world.a.accept(PORT));
        assert_eq!((server.peer.ip(), client.peer), (address, to));
        let data: Vec<u8> = (0..500_000_u32).map(|i| i.to_le_bytes()[1]).collect();
        let (mut sent, mut received) = (0, Vec::new());
        while received.len() < data.len() {
            if let Poll::Ready(Ok(count)) = world.a.write(client.id, &data[sent..]) {
                sent += count;
            }
            let step = world.now + Duration::from_millis(10);
            world.advance(step);
            drain(&mut world.a, server.id, &mut received);
        }
        assert!(received == data, "{address}");
        world.a.release(client.id, world.now);
        world.a.release(server.id, world.now);
        world.pass(Duration::from_secs(30));
        assert_eq!(world.a.stats().connections, 0, "{address}");
        assert_eq!(world.a.poll(world.now), None);
        assert_eq!(world.frames, 0, "{address}");
    }
}

#[test]
fn nobody_listens_at_a_local_port_means_refused_at_once() {
    for address in LOCAL {
        let mut world = World::new(1);
        let to = SocketAddr::new(address, 4444);
        let client = world.a.connect(to, 0, Buffers::DEFAULT, world.now).unwrap();
        world.settle();
        assert_eq!(
            failed(world.a.connected(client.id)),
            ErrorKind::ConnectionRefused
        );
    }
}

#[test]
fn who_listens_on_loopback_is_not_heard_outside() {
    let mut world = World::new(1);
    let local = SocketAddr::new(LOCAL[0], PORT);
    world.b.listen(local, 8, Buffers::DEFAULT).unwrap();
    let stranger = world
        .a
        .connect(SERVER, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    let own = world
        .b
        .connect(local, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    world.settle();
    assert_eq!(
        failed(world.a.connected(stranger.id)),
        ErrorKind::ConnectionRefused
    );
    ready(world.b.connected(own.id));
}

#[test]
fn who_listens_by_ipv4_is_not_heard_by_ipv6() {
    let mut world = World::new(1);
    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
    world.b.listen(any, 8, Buffers::DEFAULT).unwrap();
    let [old, new] =
        [SERVER, SERVER6].map(|server| world.a.connect(server, 0, Buffers::DEFAULT, world.now));
    world.pass(NEIGHBOR_PACE);
    ready(world.a.connected(old.unwrap().id));
    assert_eq!(
        failed(world.a.connected(new.unwrap().id)),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn datagrams_reach_ourselves_and_others_by_both_protocols() {
    let mut world = World::new(1);
    world.a.bind_datagram(at(7)).unwrap();
    world.a.bind_datagram(at(8)).unwrap();
    world.b.bind_datagram(at(7)).unwrap();
    let mut buffer = [0; 16];
    for address in LOCAL {
        let to = SocketAddr::new(address, 7);
        ready(world.a.send_datagram(8, b"hello", to, world.now));
        world.settle();
        assert_eq!(
            ready(world.a.receive_from(7, &mut buffer, Take::Remove)),
            (5, SocketAddr::new(address, 8))
        );
    }
    assert_eq!(world.frames, 0);
    for server in [SERVER, SERVER6] {
        let to = SocketAddr::new(server.ip(), 7);
        ready(world.a.send_datagram(8, b"hello", to, world.now));
        world.pass(NEIGHBOR_PACE);
        let (count, from) = ready(world.b.receive_from(7, &mut buffer, Take::Remove));
        assert_eq!((count, from.port()), (5, 8));
        assert_eq!(from.is_ipv6(), server.is_ipv6());
    }
}

/// Returns a datagram from and to port 7 in a frame for host number 1.
fn forged(source: IpAddress, destination: IpAddress) -> Vec<u8> {
    let udp = UdpRepr {
        src_port: 7,
        dst_port: 7,
    };
    let ip = IpRepr::new(source, destination, IpProtocol::Udp, 8 + 6, 64);
    let mut bytes = vec![0; 14 + ip.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_dst_addr(EthernetAddress([2, 0, 0, 0, 0, 1]));
    frame.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 9]));
    frame.set_ethertype(match ip {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    });
    let packet = frame.payload_mut();
    ip.emit(&mut *packet, &ChecksumCapabilities::default());
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut packet[ip.header_len()..]),
        &source,
        &destination,
        6,
        |buffer| buffer.copy_from_slice(b"forged"),
        &ChecksumCapabilities::default(),
    );
    bytes
}

#[test]
fn a_frame_that_claims_to_come_from_ourselves_is_dropped() {
    let mut world = World::new(1);
    world.a.bind_datagram(at(7)).unwrap();
    let mut wrong = 0;
    for source in LOCAL {
        for destination in LOCAL {
            if source.is_ipv4() == destination.is_ipv4() {
                let frame = forged(source.into(), destination.into());
                world.a.link_mut().inbox.push_back(frame);
                wrong += 1;
            }
        }
    }
    let honest = forged(IpAddress::v4(10, 0, 0, 9), IpAddress::v4(10, 0, 0, 1));
    world.a.link_mut().inbox.push_back(honest);
    world.settle();
    assert_eq!(world.a.stats().frames_corrupt, wrong);
    let mut buffer = [0; 16];
    ready(world.a.receive_from(7, &mut buffer, Take::Remove));
    assert!(
        world
            .a
            .receive_from(7, &mut buffer, Take::Remove)
            .is_pending()
    );
}

#[test]
fn echo_requests_are_answered_by_others_and_by_ourselves() {
    let mut world = World::new(1);
    for remote in LOCAL.into_iter().chain([SERVER.ip(), SERVER6.ip()]) {
        let (ident, signals) = world.a.open_echo(remote).unwrap();
        world.a.ask_echo(ident, 9, b"anybody?", world.now).unwrap();
        assert!(world.a.take_echo(ident).is_pending());
        world.pass(NEIGHBOR_PACE);
        assert!(signals.readable.0.get() > 0);
        let echo = ready(world.a.take_echo(ident));
        assert_eq!((echo.from, echo.sequence), (remote, 9));
        assert_eq!(echo.payload, b"anybody?");
        world.a.close_echo(ident);
    }
    assert_eq!(world.a.poll(world.now), None);
}

#[test]
fn members_of_a_group_hear_it_and_others_do_not() {
    for group in [
        IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3)),
        IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x4321)),
    ] {
        let mut world = World::new(1);
        world.a.bind_datagram(at(8)).unwrap();
        world.b.bind_datagram(at(7)).unwrap();
        let to = SocketAddr::new(group, 7);
        let mut buffer = [0; 16];
        ready(world.a.send_datagram(8, b"early", to, world.now));
        world.settle();
        assert!(
            world
                .b
                .receive_from(7, &mut buffer, Take::Remove)
                .is_pending()
        );
        world.b.join_group(group).unwrap();
        let before = world.frames;
        world.settle();
        assert!(world.frames > before, "it tells that it joined {group}");
        ready(world.a.send_datagram(8, b"hello", to, world.now));
        world.settle();
        let (count, _) = ready(world.b.receive_from(7, &mut buffer, Take::Remove));
        assert_eq!(&buffer[..count], b"hello");
        world.b.leave_group(group).unwrap();
        assert_eq!(world.b.leave_group(group), Err(ErrorKind::AddrNotAvailable));
        ready(world.a.send_datagram(8, b"late", to, world.now));
        world.settle();
        assert!(
            world
                .b
                .receive_from(7, &mut buffer, Take::Remove)
                .is_pending()
        );
    }
}

/// A stack that knows nothing of IPv6 yet.
fn newcomer() -> TestStack {
    let setup = Setup {
        network: host_config(1),
        seed: [1, 2],
        memory_left: || usize::MAX,
        memory_limit: usize::MAX,
    };
    Stack::new(Default::default(), &setup, Instant::from_ns(0))
}

/// Returns a router's advertisement of `prefix`.
fn advertisement(prefix: Ipv6Addr, hop_limit: u8, lifetime_s: u64) -> Vec<u8> {
    let lifetime = smoltcp::time::Duration::from_secs(lifetime_s);
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let message = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: lifetime,
        reachable_time: smoltcp::time::Duration::ZERO,
        retrans_time: smoltcp::time::Duration::ZERO,
        lladdr: None,
        mtu: None,
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ADDRCONF | NdiscPrefixInfoFlags::ON_LINK,
            valid_lifetime: lifetime,
            preferred_lifetime: lifetime,
            prefix,
        }),
    });
    let ip = Ipv6Repr {
        src_addr: router,
        dst_addr: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit,
    };
    let mut bytes = vec![0; 14 + 40 + message.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_dst_addr(EthernetAddress([0x33, 0x33, 0, 0, 0, 1]));
    frame.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 9]));
    frame.set_ethertype(EthernetProtocol::Ipv6);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet);
    message.emit(
        &router,
        &ip.dst_addr,
        &mut Icmpv6Packet::new_unchecked(packet.payload_mut()),
        &ChecksumCapabilities::default(),
    );
    bytes
}

/// Returns how many router solicitations lie in the outbox, and empties it.
fn solicitations(host: &mut TestStack) -> usize {
    let frames = core::mem::take(&mut host.link_mut().outbox);
    frames
        .iter()
        .filter(|frame| frame[12..14] == [0x86, 0xdd] && frame.get(54) == Some(&133))
        .count()
}

fn s(seconds: u64) -> Instant {
    Instant::from_ns(seconds * 1_000_000_000)
}

#[test]
fn without_a_router_it_is_asked_for_three_times_and_then_no_more() {
    let mut host = newcomer();
    let mut asked = 0;
    let mut next = Some(s(0));
    while let Some(at) = next {
        next = host.poll(at);
        asked += solicitations(&mut host);
        assert!(at <= s(20), "it never stops");
    }
    assert_eq!(asked, 3);
    assert_eq!(
        host.reach(SERVER6.ip()),
        Poll::Ready(Err(ErrorKind::NetworkUnreachable))
    );
}

#[test]
fn an_address_is_made_of_an_advertised_prefix_and_renewed_only_while_awake() {
    let mut host = newcomer();
    host.poll(s(0));
    assert_eq!(solicitations(&mut host), 1);
    assert_eq!(host.reach(SERVER6.ip()), Poll::Pending);
    let own = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xff, 0xfe00, 1);
    host.link_mut()
        .inbox
        .push_back(advertisement(NETWORK, 64, 600));
    host.poll(s(1));
    assert!(!host.is_own(own.into()), "it may come from another link");
    host.link_mut()
        .inbox
        .push_back(advertisement(NETWORK, 255, 600));
    assert_eq!(host.poll(s(1)), None, "an idle VM is not woken to renew");
    assert!(host.is_own(own.into()));
    assert_eq!(host.reach(SERVER6.ip()), Poll::Ready(Ok(())));

    host.poll(s(200));
    assert_eq!(solicitations(&mut host), 0);
    host.poll(s(350));
    assert_eq!(solicitations(&mut host), 1);
    host.link_mut()
        .inbox
        .push_back(advertisement(NETWORK, 255, 600));
    assert_eq!(host.poll(s(351)), None);

    // Long after its end, the first thing is to ask; without an answer the address goes.
    let mut next = host.poll(s(5000));
    assert!(host.is_own(own.into()));
    while let Some(at) = next {
        next = host.poll(at);
    }
    assert!(!host.is_own(own.into()));
}

#[test]
fn a_withdrawn_prefix_is_given_up_and_a_configured_one_is_not() {
    let mut host = newcomer();
    let other = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 0);
    host.configure_ipv6(other, None, s(0));
    for (lifetime, addresses) in [(600, 3), (0, 2)] {
        for prefix in [NETWORK, other] {
            host.link_mut()
                .inbox
                .push_back(advertisement(prefix, 255, lifetime));
        }
        host.poll(s(1));
        assert_eq!(host.address().ipv6().count(), addresses);
    }
}

#[test]
fn a_connection_by_ipv4_is_found_beside_one_by_ipv6() {
    let mut world = World::new(1);
    let (old, old_server) = connect(&mut world);
    let new = world
        .a
        .connect(SERVER6, 0, Buffers::DEFAULT, world.now)
        .unwrap();
    world.pass(NEIGHBOR_PACE);
    let new_server = ready(world.b.accept(PORT));
    ready(world.a.write(old, b"old"));
    ready(world.a.write(new.id, b"newer"));
    world.settle();
    assert_eq!(ready(world.b.read(old_server, &mut [0; 9])), 3);
    assert_eq!(ready(world.b.read(new_server.id, &mut [0; 9])), 5);
}
