use super::*;
use crate::net::test_frames::{Random, arp, dhcp, ethernet, ipv4, ipv6, udp};

const NIC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const D: Mac = Mac([2, 0, 0, 0, 0, 0xd]);
const ELSEWHERE: Mac = Mac([2, 0, 0, 0, 0, 0xee]);
const IP_A: [u8; 4] = [10, 90, 1, 1];
const IP_B: [u8; 4] = [10, 90, 1, 2];
const IP_D: [u8; 4] = [10, 90, 9, 9];
const IP_ELSEWHERE: [u8; 4] = [10, 90, 0, 2];
const ANY: [u8; 4] = [0; 4];
const ALL: [u8; 4] = [255; 4];
const VM_A: u32 = 3;
const VM_B: u32 = 40;
const VM_D: u32 = 5;

fn config(mac: Mac, address: [u8; 4], addressing: u32) -> NetworkConfig {
    NetworkConfig {
        mac: mac.0,
        address,
        addressing,
        prefix_len: 16,
        ..Default::default()
    }
}

/// A and B have static addresses, D asks a DHCP server.
fn switch() -> Switch {
    let mut switch = Switch::new(NIC.0);
    switch
        .connect(VM_A, &config(A, IP_A, addressing::STATIC))
        .unwrap();
    switch
        .connect(VM_B, &config(B, IP_B, addressing::STATIC))
        .unwrap();
    switch
        .connect(VM_D, &config(D, ANY, addressing::DHCP))
        .unwrap();
    switch
}

fn tcp(to: Mac, from: Mac, source: [u8; 4]) -> Vec<u8> {
    ipv4(to, from, [source, IP_B], 6, &[0; 20])
}

fn request(client: Mac, transaction: u32) -> Vec<u8> {
    let message = udp(68, 67, &dhcp(1, 3, transaction, client, ANY));
    ipv4(Mac::BROADCAST, client, [ANY, ALL], 17, &message)
}

fn answer(to: Mac, kind: u8, transaction: u32, client: Mac, yours: [u8; 4]) -> Vec<u8> {
    let message = udp(67, 68, &dhcp(2, kind, transaction, client, yours));
    ipv4(to, ELSEWHERE, [IP_ELSEWHERE, ALL], 17, &message)
}

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
fn unicast_goes_to_its_owner_or_the_wire() {
    let mut switch = switch();
    let mut send = |to| switch.check_transmit(VM_A, &tcp(to, A, IP_A));
    assert_eq!(send(B), Ok(Destination::Vm(VM_B)));
    assert_eq!(send(ELSEWHERE), Ok(Destination::Wire));
    assert_eq!(send(A), Ok(Destination::Nowhere));
    let mut receive = |to| switch.route_received(&tcp(to, ELSEWHERE, IP_ELSEWHERE));
    assert_eq!(receive(B), Destination::Vm(VM_B));
    assert_eq!(receive(NIC), Destination::Nowhere);
}

#[test]
fn a_host_without_a_nic_has_no_wire() {
    let mut switch = Switch::new([0; 6]);
    switch
        .connect(VM_A, &config(A, IP_A, addressing::STATIC))
        .unwrap();
    assert_eq!(
        switch.check_transmit(VM_A, &tcp(ELSEWHERE, A, IP_A)),
        Ok(Destination::Nowhere)
    );
    assert_eq!(
        switch.check_transmit(VM_A, &tcp(Mac::BROADCAST, A, IP_A)),
        Ok(Destination::AllVms {
            except: Some(VM_A),
            wire: false
        })
    );
}

#[test]
fn broadcasts_go_to_all_but_the_sender() {
    let mut switch = switch();
    assert_eq!(
        switch.check_transmit(VM_A, &tcp(Mac::BROADCAST, A, IP_A)),
        Ok(Destination::AllVms {
            except: Some(VM_A),
            wire: true
        })
    );
    assert_eq!(
        switch.route_received(&tcp(Mac::BROADCAST, ELSEWHERE, IP_ELSEWHERE)),
        Destination::AllVms {
            except: None,
            wire: false
        }
    );
    assert_eq!(switch.connected().collect::<Vec<_>>(), [VM_A, VM_D, VM_B]);
}

#[test]
fn an_arp_request_wakes_only_who_can_answer() {
    let mut switch = switch();
    let mut from_a = |ip| {
        switch
            .check_transmit(VM_A, &arp(Mac::BROADCAST, A, 1, (A, IP_A), ip))
            .unwrap()
    };
    assert_eq!(from_a(IP_B), Destination::Vm(VM_B));
    assert_eq!(from_a(IP_ELSEWHERE), Destination::Wire);
    assert_eq!(from_a(IP_A), Destination::Wire);
    let sender = (ELSEWHERE, IP_ELSEWHERE);
    let mut from_wire = |ip| switch.route_received(&arp(Mac::BROADCAST, ELSEWHERE, 1, sender, ip));
    assert_eq!(from_wire(IP_A), Destination::Vm(VM_A));
    assert_eq!(from_wire([10, 90, 7, 7]), Destination::Nowhere);
    assert_eq!(
        from_wire(IP_ELSEWHERE),
        Destination::AllVms {
            except: None,
            wire: false
        }
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
    let v6 = ipv6(D, A, A.link_local(), 17, &udp(547, 546, &[]));
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
    let own = A.link_local();
    let message = |kind: u8, target: [u8; 16]| [&[kind, 0, 0, 0, 0, 0, 0, 0], &target[..]].concat();
    let send = |source, next, body: &[u8]| ipv6(B, A, source, next, body);
    refused(&send(B.link_local(), 6, &[0; 20]), Refusal::Ipv6Source);
    refused(&send([0x20; 16], 6, &[0; 20]), Refusal::Ipv6Source);
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
        &send(own, 58, &message(136, B.link_local())),
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
fn a_lease_is_learnt_from_the_awaited_acknowledgement_alone() {
    let mut switch = switch();
    let acknowledge = answer(D, 5, 77, D, IP_D);
    switch.route_received(&acknowledge);
    assert_eq!(switch.address_of(VM_D), None, "nobody asked");
    switch.check_transmit(VM_D, &request(D, 77)).unwrap();
    for wrong in [
        answer(D, 2, 77, D, IP_D),
        answer(D, 6, 77, D, IP_D),
        answer(D, 5, 78, D, IP_D),
        answer(D, 5, 77, B, IP_D),
        answer(B, 5, 77, D, IP_D),
        answer(D, 5, 77, D, ANY),
        answer(D, 5, 77, D, [127, 0, 0, 1]),
        answer(D, 5, 77, D, ALL),
        answer(D, 5, 77, D, IP_A),
    ] {
        switch.route_received(&wrong);
        assert_eq!(switch.address_of(VM_D), None);
    }
    assert_eq!(
        switch.check_transmit(VM_D, &tcp(B, D, IP_D)),
        Err(Refusal::Ipv4Source)
    );
    assert_eq!(switch.route_received(&acknowledge), Destination::Vm(VM_D));
    assert_eq!(switch.address_of(VM_D), Some(IP_D));
    assert_eq!(
        switch.check_transmit(VM_D, &tcp(B, D, IP_D)),
        Ok(Destination::Vm(VM_B))
    );
    assert_eq!(switch.address_of(VM_A), Some(IP_A));
}

#[test]
fn a_renewal_may_bring_another_address() {
    let mut switch = switch();
    switch.check_transmit(VM_D, &request(D, 1)).unwrap();
    switch.route_received(&answer(Mac::BROADCAST, 5, 1, D, IP_D));
    let renewal = udp(68, 67, &dhcp(1, 3, 2, D, ANY));
    let renewal = ipv4(ELSEWHERE, D, [IP_D, IP_ELSEWHERE], 17, &renewal);
    assert_eq!(switch.check_transmit(VM_D, &renewal), Ok(Destination::Wire));
    let next = [10, 90, 9, 10];
    switch.route_received(&answer(D, 5, 2, D, next));
    assert_eq!(switch.address_of(VM_D), Some(next));
    assert_eq!(
        switch.check_transmit(VM_D, &tcp(B, D, IP_D)),
        Err(Refusal::Ipv4Source)
    );
    let who_has = arp(Mac::BROADCAST, A, 1, (A, IP_A), next);
    assert_eq!(
        switch.check_transmit(VM_A, &who_has),
        Ok(Destination::Vm(VM_D))
    );
}

#[test]
fn a_lease_the_server_gives_anew_leaves_its_former_holder() {
    let mut switch = switch();
    switch
        .connect(6, &config(ELSEWHERE, ANY, addressing::DHCP))
        .unwrap();
    for (vm, mac) in [(VM_D, D), (6, ELSEWHERE)] {
        switch.check_transmit(vm, &request(mac, 9)).unwrap();
        let message = udp(67, 68, &dhcp(2, 5, 9, mac, IP_D));
        switch.route_received(&ipv4(mac, NIC, [IP_ELSEWHERE, IP_D], 17, &message));
        assert_eq!(switch.address_of(vm), Some(IP_D));
    }
    assert_eq!(switch.address_of(VM_D), None);
    switch.disconnect(VM_D);
    assert_eq!(switch.owner(IP_D), Some(6));
}

#[test]
fn a_broadcast_dhcp_answer_wakes_its_client_alone() {
    let mut switch = switch();
    let offer = |client| answer(Mac::BROADCAST, 2, 1, client, IP_D);
    assert_eq!(switch.route_received(&offer(D)), Destination::Vm(VM_D));
    assert_eq!(
        switch.route_received(&offer(ELSEWHERE)),
        Destination::Nowhere
    );
}

#[test]
fn a_frame_from_the_wire_with_a_source_of_ours_goes_nowhere() {
    assert_eq!(
        switch().route_received(&tcp(B, A, IP_A)),
        Destination::Nowhere
    );
}

#[test]
fn addresses_and_ports_are_given_once() {
    let mut switch = switch();
    let new = Mac([2, 0, 0, 0, 0, 0xcc]);
    let mut connect = |vm, mac, ip, how| switch.connect(vm, &config(mac, ip, how));
    assert_eq!(
        connect(9, A, [10, 90, 3, 3], addressing::STATIC),
        Err(Errno::Exists)
    );
    assert_eq!(
        connect(9, new, IP_A, addressing::STATIC),
        Err(Errno::Exists)
    );
    assert_eq!(
        connect(VM_A, new, [10, 90, 3, 3], addressing::STATIC),
        Err(Errno::Exists)
    );
    assert_eq!(
        connect(9, Mac::default(), IP_D, addressing::STATIC),
        Err(Errno::Invalid)
    );
    assert_eq!(
        connect(9, Mac::BROADCAST, IP_D, addressing::STATIC),
        Err(Errno::Invalid)
    );
    assert_eq!(
        connect(9, new, ALL, addressing::STATIC),
        Err(Errno::Invalid)
    );
    assert_eq!(connect(9, new, IP_D, addressing::DHCP), Err(Errno::Invalid));
    assert_eq!(connect(9, new, IP_D, 2), Err(Errno::Invalid));
    assert_eq!(
        connect(PORTS_MAX, new, IP_D, addressing::STATIC),
        Err(Errno::TableFull)
    );
    assert_eq!(connect(9, new, IP_D, addressing::STATIC), Ok(()));
}

#[test]
fn a_disconnected_vm_neither_sends_nor_receives() {
    let mut switch = switch();
    switch.disconnect(VM_B);
    switch.disconnect(VM_B);
    switch.disconnect(u32::MAX);
    assert_eq!(
        switch.check_transmit(VM_B, &tcp(A, B, IP_B)),
        Err(Refusal::NotConnected)
    );
    assert_eq!(
        switch.check_transmit(VM_A, &tcp(B, A, IP_A)),
        Ok(Destination::Wire)
    );
    assert_eq!(switch.address_of(VM_B), None);
    switch
        .connect(VM_B, &config(B, IP_B, addressing::STATIC))
        .unwrap();
    assert_eq!(
        switch.check_transmit(VM_A, &tcp(B, A, IP_A)),
        Ok(Destination::Vm(VM_B))
    );
}

#[test]
fn ten_thousand_vms_find_each_other_while_they_come_and_go() {
    const VMS: u32 = 10_000;
    let station = |vm: u32| {
        let [_, b, c, d] = vm.to_be_bytes();
        (Mac([2, 0, 0, b, c, d]), [10, b + 1, c, d])
    };
    let mut random = Random(0x5eed_0003);
    let mut switch = Switch::new(NIC.0);
    let mut present = std::vec![false; VMS as usize];
    for _ in 0..100_000 {
        let vm = u32::try_from(random.next() % u64::from(VMS)).unwrap();
        let (mac, ip) = station(vm);
        let here = &mut present[vm as usize];
        if *here && random.next().is_multiple_of(3) {
            switch.disconnect(vm);
            *here = false;
        } else if !*here {
            switch
                .connect(vm, &config(mac, ip, addressing::STATIC))
                .unwrap();
            *here = true;
        }
        let to = u32::try_from(random.next() % u64::from(VMS)).unwrap();
        let expected = if present[to as usize] {
            Destination::Vm(to)
        } else {
            Destination::Nowhere
        };
        let frame = tcp(station(to).0, NIC, IP_ELSEWHERE);
        assert_eq!(switch.route_received(&frame), expected);
        assert_eq!(switch.owner(station(to).1).is_some(), present[to as usize]);
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
        ipv6(B, A, A.link_local(), 58, &[135, 0, 0, 0, 0, 0, 0, 0]),
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
                (8, 6) => assert_eq!(
                    (&frame[22..28], frame[31] == 1 || frame[31] == 0),
                    (&A.0[..], true)
                ),
                (0x86, 0xdd) => {
                    assert!(frame[22..38] == A.link_local() || frame[22..38] == [0; 16]);
                }
                other => panic!("let out {other:x?}"),
            }
        }
        switch.route_received(&frame);
    }
}
