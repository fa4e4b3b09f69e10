//! Which of two VMs with one address a frame is for.

use super::*;
use crate::net::ethernet::Mac;
use crate::net::switch::Switch;
use crate::net::test_frames::{
    A, ANY, B, D, ELSEWHERE, IP_A, IP_B, IP_D, IP_ELSEWHERE, VM_A, VM_B, VM_D, arp, config, dhcp,
    ipv4, ipv6, link_local, request, switch, udp,
};
use denali_abi::net::addressing;

/// The VM that is to take the place of A; B looks whether it works.
const NEW: u32 = 7;

const FIRST: u8 = SYN;
const SECOND: u8 = SYN | ACK;
const LATER: u8 = ACK;

fn segment(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&source.to_be_bytes());
    segment[2..4].copy_from_slice(&destination.to_be_bytes());
    segment[13] = flags;
    segment.to_vec()
}

/// A segment of a client on the wire, from one of its ports.
fn from_client(port: u16, flags: u8) -> Vec<u8> {
    let ips = [IP_ELSEWHERE, IP_A];
    ipv4(A, ELSEWHERE, ips, 6, &segment(port, 80, flags))
}

/// A segment of A, or of who takes its place, to the wire.
fn to_client(own: u16, flags: u8) -> Vec<u8> {
    let ips = [IP_A, IP_ELSEWHERE];
    ipv4(ELSEWHERE, A, ips, 6, &segment(own, 443, flags))
}

fn with_successor() -> Switch {
    let mut switch = switch();
    let same = config(A, IP_A, addressing::STATIC);
    switch.connect_successor(NEW, &same, Some(VM_B)).unwrap();
    switch
}

#[track_caller]
fn check(switch: &mut Switch, frame: &[u8], expected: u32) {
    assert_eq!(switch.route_received(frame), Destination::Vm(expected));
}

#[test]
fn until_the_change_clients_find_the_elder_and_the_checker_the_successor() {
    let mut switch = with_successor();
    check(&mut switch, &from_client(5000, FIRST), VM_A);
    check(&mut switch, &from_client(5000, LATER), VM_A);
    for flags in [FIRST, LATER] {
        let look = ipv4(A, B, [IP_B, IP_A], 6, &segment(6000, 80, flags));
        let to = switch.check_transmit(VM_B, &look);
        assert_eq!(to, Ok(Destination::Vm(NEW)));
    }
    // Its own connections bring answers.
    for vm in [VM_A, NEW] {
        let own = 40_000 + u16::try_from(vm).unwrap();
        let sent = switch.check_transmit(vm, &to_client(own, FIRST));
        assert_eq!(sent, Ok(Destination::Wire));
        let body = segment(443, own, SECOND);
        let answer = ipv4(A, ELSEWHERE, [IP_ELSEWHERE, IP_A], 6, &body);
        check(&mut switch, &answer, vm);
    }
}

#[test]
fn from_the_change_on_clients_find_the_successor_and_connections_stay() {
    let mut switch = with_successor();
    check(&mut switch, &from_client(5000, FIRST), VM_A);
    switch.succeed(NEW);
    check(&mut switch, &from_client(5000, LATER), VM_A);
    for flags in [FIRST, LATER, FIRST, LATER] {
        check(&mut switch, &from_client(5001, flags), NEW);
    }
    check(&mut switch, &from_client(5000, LATER), VM_A);
    // A port used again is a new connection.
    for flags in [FIRST, LATER] {
        check(&mut switch, &from_client(5000, flags), NEW);
    }
    let datagram = ipv4(A, ELSEWHERE, [IP_ELSEWHERE, IP_A], 17, &udp(9, 53, &[1]));
    check(&mut switch, &datagram, NEW);
    let echo = ipv4(A, ELSEWHERE, [IP_ELSEWHERE, IP_A], 1, &[8; 8]);
    check(&mut switch, &echo, NEW);
}

#[test]
fn connections_stay_in_ipv6_too() {
    let mut switch = with_successor();
    let client = |flags| {
        let body = segment(5000, 80, flags);
        ipv6(A, ELSEWHERE, link_local(ELSEWHERE), 6, &body)
    };
    check(&mut switch, &client(FIRST), VM_A);
    switch.succeed(NEW);
    check(&mut switch, &client(LATER), VM_A);
    check(&mut switch, &client(FIRST), NEW);
    check(&mut switch, &client(LATER), NEW);
}

#[test]
fn both_hear_who_has_an_address_and_neither_hears_itself() {
    let mut switch = with_successor();
    let reply = arp(A, ELSEWHERE, 2, (ELSEWHERE, IP_ELSEWHERE), IP_A);
    let audience = Audience::Twins([VM_A, NEW]);
    let both = Destination::AllVms {
        audience,
        except: None,
        wire: false,
    };
    assert_eq!(switch.route_received(&reply), both);
    assert_eq!(switch.route_answer(&reply), both);
    let hearers = [VM_A, VM_B, VM_D, NEW].map(|vm| switch.hears(vm, audience));
    assert_eq!(hearers, [true, false, false, true]);
    let advertisement = ipv6(A, ELSEWHERE, link_local(ELSEWHERE), 58, &[136; 24]);
    assert_eq!(switch.route_received(&advertisement), both);
    for vm in [VM_A, NEW] {
        let own = ipv4(A, A, [IP_A; 2], 6, &segment(1, 2, FIRST));
        let to = switch.check_transmit(vm, &own);
        assert_eq!(to, Ok(Destination::Nowhere));
    }
}

#[test]
fn who_is_left_has_the_addresses() {
    for (goes, stays) in [(VM_A, NEW), (NEW, VM_A)] {
        for changed in [false, true] {
            let mut switch = with_successor();
            if changed {
                switch.succeed(NEW);
            }
            switch.disconnect(goes);
            for flags in [FIRST, LATER] {
                check(&mut switch, &from_client(5000, flags), stays);
            }
            let question = arp(
                Mac::BROADCAST,
                ELSEWHERE,
                1,
                (ELSEWHERE, IP_ELSEWHERE),
                IP_A,
            );
            check(&mut switch, &question, stays);
            switch.disconnect(stays);
            let to = switch.route_received(&from_client(5000, FIRST));
            assert_eq!(to, Destination::Nowhere);
        }
    }
}

#[test]
fn a_successor_has_the_addresses_of_one_vm_that_has_none_yet() {
    let mut switch = with_successor();
    let connect = |switch: &mut Switch, vm, mac, ip| {
        let config = config(mac, ip, addressing::STATIC);
        switch.connect_successor(vm, &config, None)
    };
    assert_eq!(connect(&mut switch, 8, A, IP_A), Err(Errno::Exists));
    assert_eq!(connect(&mut switch, 8, B, IP_A), Err(Errno::Invalid));
    assert_eq!(connect(&mut switch, 8, D, IP_D), Err(Errno::Invalid));
    assert_eq!(connect(&mut switch, 8, ELSEWHERE, IP_A), Err(Errno::Exists));
    assert_eq!(connect(&mut switch, VM_D, B, IP_B), Err(Errno::Exists));
    // There is nobody to follow.
    assert_eq!(connect(&mut switch, 8, ELSEWHERE, IP_ELSEWHERE), Ok(()));
    switch.succeed(8);
    switch.disconnect(VM_A);
    assert_eq!(connect(&mut switch, 9, A, IP_A), Ok(()));
}

#[test]
fn only_so_many_change_at_a_time() {
    let mut switch = Switch::new([0; 6]);
    let station = |number: usize| {
        let number = u8::try_from(number).unwrap();
        let mac = Mac([2, 0, 0, 0, 0, number]);
        config(mac, [10, 0, 0, number], addressing::STATIC)
    };
    let mut both = |number| {
        let vm = u32::try_from(2 * number).unwrap();
        switch.connect(vm, &station(number)).unwrap();
        switch.connect_successor(vm + 1, &station(number), None)
    };
    for number in 1..=SUCCESSIONS_MAX {
        assert_eq!(both(number), Ok(()));
    }
    assert_eq!(both(SUCCESSIONS_MAX + 1), Err(Errno::TableFull));
}

#[test]
fn one_lease_is_for_both() {
    let mut switch = switch();
    let dynamic = config(D, ANY, addressing::DHCP);
    let lease = |switch: &mut Switch, vm: u32, to: Mac| {
        switch.check_transmit(vm, &request(D, vm)).unwrap();
        let message = udp(67, 68, &dhcp(2, 5, vm, D, IP_D));
        let answer = ipv4(to, ELSEWHERE, [IP_ELSEWHERE, IP_D], 17, &message);
        check(switch, &answer, vm);
        assert_eq!(switch.address_of(vm), Some(IP_D));
    };
    lease(&mut switch, VM_D, Mac::BROADCAST);
    switch.connect_successor(NEW, &dynamic, None).unwrap();
    // A server may answer to the hardware address alone.
    for to in [Mac::BROADCAST, D] {
        lease(&mut switch, NEW, to);
        lease(&mut switch, VM_D, to);
    }
    assert_eq!(switch.address_of(VM_D), Some(IP_D));
    switch.disconnect(VM_D);
    assert_eq!(switch.address_of(NEW), Some(IP_D));
}
