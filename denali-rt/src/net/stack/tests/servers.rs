//! The stack as a client of fake DHCP and name servers, and as a host among others.

use super::super::fake::{FakeLink, TestStack, host_config, stack};
use super::super::{Family, Link, Stack, Take};
use super::{at, failed, ready};
use crate::io::ErrorKind;
use crate::time::{Duration, Instant};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;
use denali_abi::net::{NetworkConfig, addressing};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Cidr,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use std::vec;
use std::vec::Vec;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OUR_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const ROUTER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

fn ms(ms: u64) -> Instant {
    Instant::from_ns(ms * 1_000_000)
}

fn ethernet(protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 14 + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(ROUTER_MAC);
    frame.set_dst_addr(OUR_MAC);
    frame.set_ethertype(protocol);
    frame.payload_mut().copy_from_slice(payload);
    bytes
}

fn ipv4(protocol: IpProtocol, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let repr = Ipv4Repr {
        src_addr: ROUTER,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; 20 + payload.len()];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
    repr.emit(&mut packet, &ChecksumCapabilities::default());
    packet.payload_mut().copy_from_slice(payload);
    ethernet(EthernetProtocol::Ipv4, &bytes)
}

fn udp(ports: (u16, u16), to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr {
        src_port: ports.0,
        dst_port: ports.1,
    };
    let mut bytes = vec![0; 8 + payload.len()];
    let mut packet = UdpPacket::new_unchecked(&mut bytes);
    let (from, destination) = (IpAddress::Ipv4(ROUTER), IpAddress::Ipv4(to));
    let fill = |into: &mut [u8]| into.copy_from_slice(payload);
    repr.emit(
        &mut packet,
        &from,
        &destination,
        payload.len(),
        fill,
        &ChecksumCapabilities::default(),
    );
    ipv4(IpProtocol::Udp, to, &bytes)
}

fn arp(operation: ArpOperation, sender: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: ROUTER_MAC,
        source_protocol_addr: sender,
        target_hardware_addr: OUR_MAC,
        target_protocol_addr: US,
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes));
    ethernet(EthernetProtocol::Arp, &bytes)
}

/// Returns the frames sent since the last call; ARP requests for the router are answered.
fn sent(host: &mut TestStack, now: Instant) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for _ in 0..10 {
        host.poll(now);
        let (requests, others): (Vec<_>, Vec<_>) = core::mem::take(&mut host.link_mut().outbox)
            .into_iter()
            .partition(|frame| frame[12..14] == [8, 6] && frame[21] == 1);
        frames.extend(others);
        if requests.is_empty() {
            break;
        }
        host.link_mut()
            .inbox
            .push_back(arp(ArpOperation::Reply, ROUTER));
    }
    frames
}

/// Returns source port, destination port and payload of a UDP frame.
fn datagram(frame: &[u8]) -> (u16, u16, Vec<u8>) {
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    let ip = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    let udp = UdpPacket::new_checked(ip.payload()).unwrap();
    assert!(udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
    (udp.src_port(), udp.dst_port(), udp.payload().to_vec())
}

#[test]
fn an_echo_request_is_answered() {
    let mut host = stack(host_config(1));
    let repr = Icmpv4Repr::EchoRequest {
        ident: 7,
        seq_no: 1,
        data: b"ping",
    };
    let mut bytes = vec![0; repr.buffer_len()];
    let mut packet = Icmpv4Packet::new_unchecked(&mut bytes);
    repr.emit(&mut packet, &ChecksumCapabilities::default());
    host.link_mut()
        .inbox
        .push_back(arp(ArpOperation::Request, ROUTER));
    host.link_mut()
        .inbox
        .push_back(ipv4(IpProtocol::Icmp, US, &bytes));
    let frames = sent(&mut host, ms(1));
    assert_eq!(frames.len(), 2, "an ARP reply and an echo reply");
    assert_eq!(frames[0][12..14], [8, 6]);
    assert_eq!(&frames[1][frames[1].len() - 4..], b"ping");
}

#[test]
fn datagrams_come_and_go() {
    let mut host = stack(host_config(1));
    let (port, signals) = host.bind_datagram(at(9000)).unwrap();
    assert_eq!(
        host.bind_datagram(at(9000)).unwrap_err(),
        ErrorKind::AddrInUse
    );
    let to = SocketAddr::new(ROUTER.into(), 5000);
    ready(host.send_datagram(port, b"hello", to, ms(1)));
    let frames = sent(&mut host, ms(1));
    assert_eq!(datagram(&frames[0]), (9000, 5000, b"hello".to_vec()));
    let too_long = host.send_datagram(port, &[0; 1473], to, ms(1));
    assert_eq!(failed(too_long), ErrorKind::InvalidInput);

    let mut buffer = [0; 3];
    assert!(
        host.receive_from(port, &mut buffer, Take::Remove)
            .is_pending()
    );
    host.link_mut()
        .inbox
        .push_back(udp((5000, 9000), US, b"world"));
    host.poll(ms(2));
    assert_eq!(signals.readable.0.get(), 1);
    assert_eq!(
        ready(host.receive_from(port, &mut buffer, Take::Remove)),
        (3, to)
    );
    assert_eq!(&buffer, b"wor");
    assert_eq!(host.poll(ms(3)), None);
    host.unbind_datagram(port);
    assert_eq!(host.stats().buffer_bytes, 0);
}

#[test]
fn a_datagram_that_never_finds_its_neighbour_does_not_keep_the_vm_busy() {
    let mut host = stack(host_config(1));
    let (port, _) = host.bind_datagram(at(0)).unwrap();
    ready(host.send_datagram(
        port,
        b"x",
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 77)), 1),
        ms(1),
    ));
    let next = host.poll(ms(1)).unwrap();
    assert!(next > ms(500), "{next:?}");
}

fn answer(question: &[u8], rcode: u8, addresses: &[Ipv4Addr]) -> Vec<u8> {
    let mut reply = question.to_vec();
    reply[2] = 0x81;
    reply[3] = 0x80 | rcode;
    reply[7] = u8::try_from(addresses.len()).unwrap();
    for address in addresses {
        // A pointer to the question's name, type A, class IN, 60 seconds, four bytes.
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    reply
}

#[test]
fn a_name_is_looked_up() {
    let mut host = stack(host_config(1));
    let (query, _) = host.start_lookup("example.org", Family::Ipv4).unwrap();
    let frames = sent(&mut host, ms(1));
    let (ours, theirs, question) = datagram(&frames[0]);
    assert_eq!(theirs, 53);
    assert!(host.lookup_result(query).is_pending());
    let addresses = [
        Ipv4Addr::new(93, 184, 216, 34),
        Ipv4Addr::new(93, 184, 216, 35),
    ];
    let reply = udp((53, ours), US, &answer(&question, 0, &addresses));
    host.link_mut().inbox.push_back(reply);
    host.poll(ms(20));
    assert_eq!(ready(host.lookup_result(query)), addresses);
    assert_eq!(host.poll(ms(21)), None, "the client is gone");
}

#[test]
fn an_unknown_name_and_a_silent_server_fail() {
    let mut host = stack(host_config(1));
    let (unknown, _) = host.start_lookup("nowhere.invalid", Family::Ipv4).unwrap();
    let frames = sent(&mut host, ms(1));
    let (ours, _, question) = datagram(&frames[0]);
    host.link_mut()
        .inbox
        .push_back(udp((53, ours), US, &answer(&question, 3, &[])));
    host.poll(ms(20));
    assert_eq!(failed(host.lookup_result(unknown)), ErrorKind::NotFound);

    let (silent, _) = host.start_lookup("example.org", Family::Ipv4).unwrap();
    let mut now = ms(30);
    let mut questions = 0;
    loop {
        questions += sent(&mut host, now).len();
        match host.poll(now) {
            Some(next) => now = next.max(now + Duration::from_millis(1)),
            None => break,
        }
        assert!(now < ms(60_000), "it never gives up");
    }
    assert_eq!(failed(host.lookup_result(silent)), ErrorKind::NotFound);
    assert!((2..20).contains(&questions), "{questions} questions");
}

/// Answers a DHCP request as host number 2 would.
fn dhcp_reply(request: &[u8], kind: DhcpMessageType) -> Vec<u8> {
    let packet = DhcpPacket::new_checked(request).unwrap();
    let asked = DhcpRepr::parse(&packet).unwrap();
    let repr = DhcpRepr {
        message_type: kind,
        transaction_id: asked.transaction_id,
        secs: 0,
        client_hardware_address: asked.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: US,
        server_ip: ROUTER,
        router: Some(ROUTER),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(ROUTER),
        parameter_request_list: None,
        dns_servers: Some([ROUTER].into_iter().collect()),
        max_size: None,
        lease_duration: Some(600),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes))
        .unwrap();
    bytes
}

#[test]
fn an_address_is_leased() {
    let network = NetworkConfig {
        mac: OUR_MAC.0,
        frame_len_max: 1514,
        addressing: addressing::DHCP,
        ..NetworkConfig::default()
    };
    let mut host = stack(network);
    let changed = host.address().changed();
    assert!(host.address().ipv4().is_none() && host.address().is_leased());
    assert_eq!(
        host.start_lookup("a.b", Family::Ipv4)
            .map(|_| ())
            .unwrap_err(),
        ErrorKind::NetworkUnreachable
    );

    let frames = sent(&mut host, ms(1));
    let (ours, theirs, discover) = datagram(&frames[0]);
    assert_eq!((ours, theirs), (68, 67));
    let offer = dhcp_reply(&discover, DhcpMessageType::Offer);
    host.link_mut().inbox.push_back(udp((67, 68), US, &offer));
    let frames = sent(&mut host, ms(2));
    let (_, _, request) = datagram(&frames[0]);
    let acknowledgement = dhcp_reply(&request, DhcpMessageType::Ack);
    host.link_mut()
        .inbox
        .push_back(udp((67, 68), US, &acknowledgement));
    let next = host.poll(ms(3)).expect("the lease is to be renewed");

    assert_eq!(host.address().ipv4(), Some(Ipv4Cidr::new(US, 24)));
    assert_eq!(host.address().gateway(), Some(ROUTER));
    assert_eq!(host.address().name_servers(), [IpAddress::Ipv4(ROUTER)]);
    assert!(changed.0.get() > 0);
    assert!(
        next > ms(200_000) && next < ms(400_000),
        "half of ten minutes, not {next:?}"
    );
}

#[test]
fn without_an_answer_dhcp_asks_again_at_a_measured_pace() {
    let network = NetworkConfig {
        addressing: addressing::DHCP,
        ..host_config(1)
    };
    let mut host = stack(network);
    let mut now = ms(1);
    let mut polls = 0;
    while now < ms(60_000) {
        now = host.poll(now).unwrap().max(now + Duration::from_millis(1));
        polls += 1;
    }
    assert!((3..30).contains(&host.link_mut().outbox.len()));
    assert!(polls < 60);
}

#[test]
fn a_damaged_segment_is_counted_and_dropped() {
    let mut host = stack(host_config(1));
    host.bind_datagram(at(9000)).unwrap();
    let mut frame = udp((1, 9000), US, b"payload");
    *frame.last_mut().unwrap() ^= 1;
    host.link_mut().inbox.push_back(frame);
    host.poll(ms(1));
    assert_eq!(host.stats().frames_corrupt, 1);
    assert!(matches!(
        host.receive_from(9000, &mut [0; 9], Take::Remove),
        Poll::Pending
    ));
}

#[test]
fn the_stack_holds_still_while_the_link_is_full() {
    let mut host: Stack<FakeLink, _> = stack(host_config(1));
    while host.link_mut().can_transmit() {
        host.link_mut().outbox.push_back(Vec::new());
    }
    host.link_mut()
        .inbox
        .push_back(arp(ArpOperation::Request, ROUTER));
    assert_eq!(host.poll(ms(1)), None);
    assert_eq!(host.link_mut().inbox.len(), 1);
}
