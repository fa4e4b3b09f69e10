//! Where frames go, who has which address, and what DHCP changes.

use super::*;
use crate::net::test_frames::{
    A, ALL, ANY, B, D, ELSEWHERE, IP_A, IP_B, IP_D, IP_ELSEWHERE, NIC, Random, VM_A, VM_B, VM_D,
    arp, config, dhcp, in_network, ipv4, ipv6, link_local, request, switch, tcp, udp,
};
use denali_abi::errno::Errno;
use denali_abi::net::addressing;

fn answer(to: Mac, kind: u8, transaction: u32, client: Mac, yours: [u8; 4]) -> Vec<u8> {
    let message = udp(67, 68, &dhcp(2, kind, transaction, client, yours));
    ipv4(to, ELSEWHERE, [IP_ELSEWHERE, ALL], 17, &message)
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
            audience: Audience::Everybody,
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
            audience: Audience::Everybody,
            except: Some(VM_A),
            wire: true
        })
    );
    assert_eq!(
        switch.route_received(&tcp(Mac::BROADCAST, ELSEWHERE, IP_ELSEWHERE)),
        Destination::AllVms {
            audience: Audience::Everybody,
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
            audience: Audience::Everybody,
            except: None,
            wire: false
        }
    );
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

const NETWORK: [u8; 8] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0];

fn solicited(mac: Mac) -> Mac {
    let [.., d, e, f] = mac.0;
    Mac([0x33, 0x33, 0xff, d, e, f])
}

/// Returns a neighbour message about `target`.
fn neighbor(to: Mac, from: Mac, kind: u8, target: [u8; 16]) -> Vec<u8> {
    let body = [&[kind, 0, 0, 0, 0, 0, 0, 0], &target[..]].concat();
    ipv6(to, from, link_local(from), 58, &body)
}

#[test]
fn a_neighbor_solicitation_wakes_only_who_can_answer() {
    let mut switch = switch();
    let target_b = in_network(NETWORK, B);
    let ask = |from, target| neighbor(solicited(B), from, 135, target);
    assert_eq!(
        switch.check_transmit(VM_A, &ask(A, target_b)),
        Ok(Destination::Vm(VM_B))
    );
    for elsewhere in [in_network(NETWORK, ELSEWHERE), [0x20; 16], link_local(A)] {
        assert_eq!(
            switch.check_transmit(VM_A, &ask(A, elsewhere)),
            Ok(Destination::Wire)
        );
    }
    let mut from_wire = |target| switch.route_received(&ask(ELSEWHERE, target));
    assert_eq!(from_wire(target_b), Destination::Vm(VM_B));
    assert_eq!(from_wire(link_local(B)), Destination::Vm(VM_B));
    assert_eq!(from_wire([0x20; 16]), Destination::Nowhere);
}

#[test]
fn a_router_is_heard_by_who_asked_for_one_and_once() {
    let mut switch = switch();
    let all_nodes = Mac([0x33, 0x33, 0, 0, 0, 1]);
    let all_routers = Mac([0x33, 0x33, 0, 0, 0, 2]);
    let advertisement = ipv6(
        all_nodes,
        ELSEWHERE,
        link_local(ELSEWHERE),
        58,
        &[134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    let question = ipv6(
        all_routers,
        A,
        link_local(A),
        58,
        &[133, 0, 0, 0, 0, 0, 0, 0],
    );
    let Destination::AllVms { audience, .. } = switch.route_received(&advertisement) else {
        panic!("it concerns several");
    };
    assert!(!switch.hears(VM_A, audience) && !switch.hears(VM_B, audience));
    assert_eq!(
        switch.check_transmit(VM_A, &question),
        Ok(Destination::Wire)
    );
    assert!(switch.hears(VM_A, audience) && !switch.hears(VM_B, audience));
    assert!(!switch.hears(VM_A, audience), "it was answered");
}

#[test]
fn a_group_is_heard_by_its_members() {
    let mut switch = switch();
    let group = [239, 1, 2, 3];
    let group_mac = Mac([1, 0, 0x5e, 1, 2, 3]);
    let message = ipv4(group_mac, A, [IP_A, group], 17, &udp(1, 2, b"news"));
    let to_group = |from| Destination::AllVms {
        audience: Audience::Group(group_mac),
        except: from,
        wire: from.is_some(),
    };
    assert_eq!(
        switch.check_transmit(VM_A, &message),
        Ok(to_group(Some(VM_A)))
    );
    let audience = Audience::Group(group_mac);
    assert!(!switch.hears(VM_B, audience));
    let report = ipv4(
        group_mac,
        B,
        [IP_B, group],
        2,
        &[0x16, 0, 0, 0, 239, 1, 2, 3],
    );
    assert_eq!(switch.check_transmit(VM_B, &report), Ok(Destination::Wire));
    assert!(switch.hears(VM_B, audience) && !switch.hears(VM_A, audience));
    let news = ipv4(
        group_mac,
        ELSEWHERE,
        [IP_ELSEWHERE, group],
        17,
        &udp(1, 2, b"news"),
    );
    assert_eq!(switch.route_received(&news), to_group(None));

    let group6 = Mac([0x33, 0x33, 0, 0, 0x43, 0x21]);
    let record = [
        4, 0, 0, 0, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x43, 0x21,
    ];
    let report = [
        &[58, 0, 5, 2, 0, 0, 1, 0][..],
        &[143, 0, 0, 0, 0, 0, 0, 1],
        &record,
    ]
    .concat();
    let report = ipv6(
        Mac([0x33, 0x33, 0, 0, 0, 0x16]),
        A,
        link_local(A),
        0,
        &report,
    );
    assert_eq!(switch.check_transmit(VM_A, &report), Ok(Destination::Wire));
    assert!(switch.hears(VM_A, Audience::Group(group6)));
    switch.disconnect(VM_A);
    assert!(!switch.hears(VM_A, Audience::Everybody));
}
