//! Frames under other people's names, and other people's frames.

use crate::forge::{
    BROADCAST, NOBODY, SUPERVISOR, arp, dhcp, ethernet, ipv4, ipv6, link_local, neighbour, own,
    post, question, send, udp,
};
use crate::raw::{address_of, shared, wait};
use crate::{Attack, End, Outcome, ensure};
use alloc::vec;
use alloc::vec::Vec;
use denali_abi::net::RING_LEN;

/// An attack that sends frames the switch must refuse.
macro_rules! forged {
    ($name:literal, $frames:expr) => {
        Attack::new($name, End::Silenced, || {
            let frames: Vec<Vec<u8>> = $frames;
            send(&frames);
            Ok(())
        })
    };
}

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    forged!(
        "mac-of-a-neighbour",
        vec![datagram(neighbour(), own().address)]
    ),
    forged!(
        "mac-of-the-broadcast",
        vec![datagram(BROADCAST, own().address)]
    ),
    forged!("mac-of-zeros", vec![datagram([0; 6], own().address)]),
    forged!("mac-of-each-bit", {
        (0..48)
            .map(|bit| datagram(flip(own().mac, bit), own().address))
            .collect()
    }),
    forged!("source-of-nobody", vec![datagram(own().mac, NOBODY)]),
    forged!(
        "source-of-the-router",
        vec![datagram(own().mac, own().gateway)]
    ),
    forged!(
        "source-of-the-supervisor",
        vec![datagram(own().mac, SUPERVISOR)]
    ),
    forged!(
        "source-of-a-neighbour",
        vec![datagram(own().mac, next_address())]
    ),
    forged!(
        "source-of-the-broadcast",
        vec![datagram(own().mac, [255; 4])]
    ),
    forged!("source-unspecified", vec![datagram(own().mac, [0; 4])]),
    forged!("source-loopback", vec![datagram(own().mac, [127, 0, 0, 1])]),
    forged!("tcp-reset-of-a-neighbour", {
        let mut segment = vec![0; 20];
        segment[12..14].copy_from_slice(&[0x50, 4]);
        vec![ethernet(
            BROADCAST,
            own().mac,
            0x0800,
            &ipv4(next_address(), SUPERVISOR, 6, &segment),
        )]
    }),
    forged!(
        "arp-reply-for-the-router",
        vec![announce(2, own().mac, own().gateway)]
    ),
    forged!(
        "arp-reply-for-the-supervisor",
        vec![announce(2, own().mac, SUPERVISOR)]
    ),
    forged!(
        "arp-reply-for-a-neighbour",
        vec![announce(2, own().mac, next_address())]
    ),
    forged!(
        "arp-with-another-mac",
        vec![announce(2, neighbour(), own().address)]
    ),
    forged!(
        "arp-gratuitous-request",
        vec![announce(1, own().mac, own().gateway)]
    ),
    forged!("arp-truncated", {
        let whole = announce(2, own().mac, own().address);
        (15..42).map(|length| whole[..length].to_vec()).collect()
    }),
    forged!("arp-of-other-kinds", {
        (0..8)
            .map(|byte| {
                let mut frame = announce(2, own().mac, own().address);
                frame[14 + byte] ^= 0x40;
                frame
            })
            .collect()
    }),
    forged!("dhcp-offer", vec![server_message(2)]),
    forged!("dhcp-acknowledgement", vec![server_message(5)]),
    forged!("dhcp-for-another-client", {
        let message = udp(68, 67, &dhcp(1, 1, neighbour(), [0; 4]));
        vec![ethernet(
            BROADCAST,
            own().mac,
            0x0800,
            &ipv4(own().address, [255; 4], 17, &message),
        )]
    }),
    forged!("dhcp-from-nowhere", {
        let message = udp(68, 67, &dhcp(1, 1, own().mac, [0; 4]));
        vec![ethernet(
            BROADCAST,
            own().mac,
            0x0800,
            &ipv4([0; 4], [255; 4], 17, &message),
        )]
    }),
    forged!("ipv4-malformed", malformed_ipv4()),
    forged!(
        "router-advertisement",
        vec![icmpv6(134, &[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0])]
    ),
    forged!("ipv6-redirect", vec![icmpv6(137, &[0; 36])]),
    forged!("neighbour-advertisement", {
        let mut body = vec![0x20, 0, 0, 0];
        body.extend_from_slice(&link_local(neighbour()));
        vec![icmpv6(136, &body)]
    }),
    forged!("ipv6-source-of-a-neighbour", {
        let packet = ipv6(link_local(neighbour()), 17, &udp(1, 2, b"forged"));
        vec![ethernet(BROADCAST, own().mac, 0x86dd, &packet)]
    }),
    forged!("dhcpv6-server", {
        let packet = ipv6(link_local(own().mac), 17, &udp(547, 546, b"forged"));
        vec![ethernet(BROADCAST, own().mac, 0x86dd, &packet)]
    }),
    forged!("ipv6-hidden-behind-options", {
        // RFC 7113: a router advertisement behind a destination-options header.
        let options = [58, 0, 1, 4, 0, 0, 0, 0, 134, 0, 0, 0, 64, 0, 7, 8];
        [0, 43, 44, 60]
            .iter()
            .map(|&next| {
                ethernet(
                    BROADCAST,
                    own().mac,
                    0x86dd,
                    &ipv6(link_local(own().mac), next, &options),
                )
            })
            .collect()
    }),
    forged!("other-protocols", {
        // VLAN, QinQ, PPPoE, 802.1X, LLDP, MPLS, loopback, and lengths of IEEE 802.3.
        [
            0x8100, 0x88a8, 0x8863, 0x888e, 0x88cc, 0x8847, 0x9000, 0x0026, 0x05dc,
        ]
        .iter()
        .map(|&ethertype| ethernet(BROADCAST, own().mac, ethertype, &[0; 60]))
        .collect()
    }),
    forged!("bridge-groups", {
        (0..16)
            .map(|last| {
                let group = [1, 0x80, 0xc2, 0, 0, last];
                ethernet(
                    group,
                    own().mac,
                    0x0800,
                    &ipv4(own().address, NOBODY, 17, &udp(1, 2, b"")),
                )
            })
            .collect()
    }),
    forged!("frames-to-oneself", {
        vec![ethernet(
            own().mac,
            own().mac,
            0x0800,
            &ipv4(own().address, NOBODY, 17, &udp(1, 2, b"")),
        )]
    }),
    Attack::harmless("sniffing", sniff),
    Attack::harmless("an-honest-question", honest),
];

fn datagram(mac: [u8; 6], source: [u8; 4]) -> Vec<u8> {
    ethernet(
        BROADCAST,
        mac,
        0x0800,
        &ipv4(source, [255; 4], 17, &udp(9999, 9999, b"forged")),
    )
}

fn announce(operation: u8, mac: [u8; 6], sender: [u8; 4]) -> Vec<u8> {
    ethernet(
        BROADCAST,
        own().mac,
        0x0806,
        &arp(operation, mac, sender, sender),
    )
}

fn server_message(kind: u8) -> Vec<u8> {
    let message = udp(67, 68, &dhcp(2, kind, neighbour(), NOBODY));
    ethernet(
        BROADCAST,
        own().mac,
        0x0800,
        &ipv4(own().address, [255; 4], 17, &message),
    )
}

fn icmpv6(kind: u8, body: &[u8]) -> Vec<u8> {
    let message = [&[kind, 0, 0, 0], body].concat();
    ethernet(
        BROADCAST,
        own().mac,
        0x86dd,
        &ipv6(link_local(own().mac), 58, &message),
    )
}

/// Returns the address of the service before this one, or of the one behind the first.
fn next_address() -> [u8; 4] {
    let mut address = own().address;
    address[3] ^= 1;
    address
}

fn flip(mut mac: [u8; 6], bit: usize) -> [u8; 6] {
    mac[bit / 8] ^= 1 << (bit % 8);
    mac
}

/// IPv4 headers that contradict themselves: each would hide its source from a hasty reader.
fn malformed_ipv4() -> Vec<Vec<u8>> {
    let sound = ipv4(own().address, NOBODY, 17, &udp(1, 2, b"forged"));
    let change = |at: usize, value: u8| {
        let mut packet = sound.clone();
        packet[at] = value;
        ethernet(BROADCAST, own().mac, 0x0800, &packet)
    };
    let cut = |length: usize| ethernet(BROADCAST, own().mac, 0x0800, &sound[..length]);
    vec![
        change(0, 0x65),
        change(0, 0x44),
        change(0, 0x40),
        change(2, 0xff),
        change(3, 19),
        cut(0),
        cut(12),
        cut(19),
        cut(20),
        cut(27),
    ]
}

/// Offers buffers for everything and looks at whose frames come while the victim is busy.
fn sniff() -> Outcome {
    let memory = vec![0_u8; 32 * 2048];
    let start = address_of(memory.as_ptr());
    let buffers: Vec<u64> = (0..32).map(|index| start + index * 2048).collect();
    post(&buffers, 2048);
    for _ in 0..12 {
        wait(50);
    }
    let filled = shared(|page| page.rx_filled) as usize;
    ensure!(filled <= RING_LEN as usize, "{filled} frames");
    let memory = core::hint::black_box(memory);
    for frame in memory.chunks(2048).take(filled) {
        let group = frame[0] & 1 != 0;
        ensure!(
            group || frame[..6] == own().mac,
            "a frame to {:x?} came here",
            &frame[..6]
        );
    }
    Ok(())
}

/// The control of this theme: what is honest gets out and is answered.
fn honest() -> Outcome {
    let memory = vec![0_u8; 2048];
    post(&[address_of(memory.as_ptr())], 2048);
    for _ in 0..50 {
        send(&[question()]);
        wait(100);
        let memory = core::hint::black_box(&memory);
        if memory[..6] == own().mac {
            return Ok(());
        }
    }
    Err(alloc::string::String::from("the router did not answer"))
}
