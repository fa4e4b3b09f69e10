//! Forged frames of each kind, and the good ones next to them.

use super::*;
use crate::net::switch::Destination;
use crate::net::test_frames::{
    A, ALL, ANY, B, D, ELSEWHERE, IP_A, IP_B, IP_D, IP_ELSEWHERE, Random, VM_A, VM_B, VM_D, arp,
    dhcp, ethernet, in_network, ipv4, ipv6, link_local, request, switch, tcp, udp,
};

#[track_caller]
fn refused(frame: &[u8], why: Refusal) {
    let mut switch = switch();
    assert_eq!(switch.check_transmit(VM_A, frame), Err(why));
    assert_eq!(
        (switch.refused().count(why), switch.refused().total()),
        (1, 1)
    );
}

#[test]
fn frames_of_a_wrong_length_are_refused() {
    for len in [0, 1, 13, FRAME_LEN_MAX + 1, 4000] {
        refused(&std::vec![0; len], Refusal::Length);
    }
    let mut longest = tcp(B, A, IP_A);
    longest.resize(FRAME_LEN_MAX, 0);
    assert_eq!(
        switch().check_transmit(VM_A, &longest),
        Ok(Destination::Vm(VM_B))
    );
}

#[test]
fn a_forged_hardware_address_is_refused() {
    refused(&tcp(ELSEWHERE, B, IP_A), Refusal::SourceMac);
    refused(&arp(B, A, 2, (B, IP_A), IP_B), Refusal::ArpSender);
}

#[test]
fn a_forged_arp_sender_is_refused() {
    refused(
        &arp(Mac::BROADCAST, A, 1, (A, IP_B), IP_ELSEWHERE),
        Refusal::ArpSender,
    );
    refused(
        &arp(Mac::BROADCAST, A, 2, (A, IP_ELSEWHERE), IP_B),
        Refusal::ArpSender,
    );
    refused(&arp(B, A, 2, (A, ANY), IP_B), Refusal::ArpSender);
    refused(&arp(B, A, 3, (A, IP_A), IP_B), Refusal::Malformed);
    refused(&arp(B, A, 1, (A, IP_A), IP_B)[..41], Refusal::Malformed);
}

#[test]
fn an_arp_probe_without_sender_address_is_allowed() {
    let probe = arp(Mac::BROADCAST, D, 1, (D, ANY), IP_D);
    assert_eq!(switch().check_transmit(VM_D, &probe), Ok(Destination::Wire));
}

#[test]
fn a_forged_ipv4_source_is_refused() {
    refused(&tcp(ELSEWHERE, A, IP_B), Refusal::Ipv4Source);
    refused(&tcp(ELSEWHERE, A, ANY), Refusal::Ipv4Source);
    refused(
        &ipv4(B, A, [IP_B, IP_A], 17, &udp(9, 9, &[])),
        Refusal::Ipv4Source,
    );
    refused(&ethernet(B, A, 0x0800, &[0x45; 19]), Refusal::Malformed);
    refused(&ipv4(B, A, [IP_A, IP_B], 17, &[0; 7]), Refusal::Malformed);
}

#[test]
fn tags_and_link_protocols_are_refused() {
    let inner = tcp(B, A, IP_A);
    for vlan in [0x8100, 0x88a8, 0x9100] {
        refused(&ethernet(B, A, vlan, &inner[12..]), Refusal::EtherType);
    }
    for other in [0x888e, 0x88cc, 0x8847, 0x0026] {
        refused(&ethernet(B, A, other, &[0; 46]), Refusal::EtherType);
    }
    let lldp = Mac([1, 0x80, 0xc2, 0, 0, 0x0e]);
    let port_access = Mac([1, 0x80, 0xc2, 0, 0, 3]);
    refused(&ethernet(lldp, A, 0x88cc, &[0; 46]), Refusal::ReservedGroup);
    refused(
        &ethernet(port_access, A, 0x888e, &[0; 46]),
        Refusal::ReservedGroup,
    );
    let mut switch = switch();
    let tagged = ethernet(A, ELSEWHERE, 0x8100, &inner[12..]);
    assert_eq!(switch.route_received(&tagged), Destination::Nowhere);
    assert_eq!(
        switch.route_received(&tcp(lldp, ELSEWHERE, IP_ELSEWHERE)),
        Destination::Nowhere
    );
}

#[test]
fn nobody_behind_the_switch_is_a_dhcp_server() {
    for (source, destination) in [(67, 68), (67, 9), (9, 68)] {
        let message = udp(source, destination, &dhcp(2, 5, 1, D, IP_A));
        refused(&ipv4(D, A, [IP_A, ALL], 17, &message), Refusal::DhcpServer);
    }
    let reply = udp(68, 67, &dhcp(2, 5, 1, A, IP_A));
    refused(&ipv4(D, A, [IP_A, ALL], 17, &reply), Refusal::DhcpServer);
    let other = udp(68, 67, &dhcp(1, 3, 1, B, ANY));
    refused(
        &ipv4(ELSEWHERE, A, [IP_A, ALL], 17, &other),
        Refusal::DhcpClient,
    );
    let v6 = ipv6(D, A, link_local(A), 17, &udp(547, 546, &[]));
    refused(&v6, Refusal::DhcpServer);
}

#[test]
fn only_a_dhcp_client_may_lack_an_address() {
    refused(&request(A, 1), Refusal::Ipv4Source);
    let mut switch = switch();
    assert_eq!(
        switch.check_transmit(VM_D, &request(D, 1)),
        Ok(Destination::Wire)
    );
    let unicast = udp(68, 67, &dhcp(1, 3, 1, D, ANY));
    let unicast = ipv4(B, D, [ANY, IP_B], 17, &unicast);
    assert_eq!(
        switch.check_transmit(VM_D, &unicast),
        Err(Refusal::Ipv4Source)
    );
}

#[test]
fn ipv6_speaks_only_for_itself() {
    let own = link_local(A);
    let message = |kind: u8, target: [u8; 16]| [&[kind, 0, 0, 0, 0, 0, 0, 0], &target[..]].concat();
    let send = |source, next, body: &[u8]| ipv6(B, A, source, next, body);
    refused(&send(link_local(B), 6, &[0; 20]), Refusal::Ipv6Source);
    refused(&send([0x20; 16], 6, &[0; 20]), Refusal::Ipv6Source);
    let network = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 7];
    let global = in_network(network, A);
    refused(
        &send(in_network(network, B), 6, &[0; 20]),
        Refusal::Ipv6Source,
    );
    refused(
        &send(in_network([0; 8], A), 6, &[0; 20]),
        Refusal::Ipv6Source,
    );
    let located = |option: u8, mac: Mac| {
        let body = [&message(135, own)[..], &[option, 1], &mac.0].concat();
        send(global, 58, &body)
    };
    refused(&located(1, B), Refusal::NeighborAdvertisement);
    refused(&located(2, B), Refusal::NeighborAdvertisement);
    refused(&send([0; 16], 6, &[0; 20]), Refusal::Ipv6Source);
    refused(&send([0; 16], 58, &message(128, own)), Refusal::Ipv6Source);
    refused(
        &send(own, 58, &message(134, own)),
        Refusal::RouterAdvertisement,
    );
    refused(
        &send(own, 58, &message(137, own)),
        Refusal::RouterAdvertisement,
    );
    refused(
        &send(own, 58, &message(136, link_local(B))),
        Refusal::NeighborAdvertisement,
    );
    let hidden = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &message(134, own)].concat();
    refused(&send(own, 0, &hidden), Refusal::RouterAdvertisement);
    for opaque in [43, 44, 50, 51, 60, 4, 41, 135] {
        refused(&send(own, opaque, &hidden), Refusal::Ipv6Header);
        let behind = [&[opaque][..], &hidden[1..]].concat();
        refused(&send(own, 0, &behind), Refusal::Ipv6Header);
    }
    refused(&send(own, 0, &[58, 255, 0, 0]), Refusal::Malformed);

    let mut switch = switch();
    for good in [
        send(own, 6, &[0; 20]),
        send(global, 6, &[0; 20]),
        send(global, 58, &message(136, global)),
        located(1, A),
        send(own, 17, &udp(546, 547, &[])),
        send(own, 58, &message(136, own)),
        send([0; 16], 58, &message(135, own)),
        send(
            [0; 16],
            0,
            &[&[58, 0, 5, 2, 0, 0, 1, 0][..], &message(143, own)].concat(),
        ),
    ] {
        assert_eq!(
            switch.check_transmit(VM_A, &good),
            Ok(Destination::Vm(VM_B))
        );
    }
}

#[test]
fn no_mutation_of_a_good_frame_panics_or_claims_another_source() {
    let mut random = Random(0x5eed_0004);
    let mut switch = switch();
    let seeds = [
        tcp(B, A, IP_A),
        arp(Mac::BROADCAST, A, 1, (A, IP_A), IP_B),
        ipv4(
            ELSEWHERE,
            A,
            [IP_A, IP_B],
            17,
            &udp(68, 67, &dhcp(1, 3, 1, A, ANY)),
        ),
        ipv6(B, A, link_local(A), 58, &[135, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for round in 0..300_000_usize {
        let mut frame = seeds[round % seeds.len()].clone();
        for _ in 0..=random.next() % 4 {
            let at = usize::try_from(random.next()).unwrap() % frame.len();
            frame[at] = random.byte();
        }
        frame.truncate(usize::try_from(random.next()).unwrap() % (frame.len() * 4));
        if switch.check_transmit(VM_A, &frame).is_ok() {
            assert_eq!(frame[6..12], A.0);
            match (frame[12], frame[13]) {
                (8, 0) => assert_eq!(frame[26..30], IP_A),
                (8, 6) => {
                    assert_eq!(frame[22..28], A.0);
                    assert!(frame[28..32] == IP_A || frame[28..32] == ANY);
                }
                (0x86, 0xdd) => {
                    assert!(frame[30..38] == A.identifier() || frame[22..38] == [0; 16]);
                }
                other => panic!("let out {other:x?}"),
            }
        }
        switch.route_received(&frame);
    }
}
