//! What the kernel answers in place of a VM that sleeps: where it is. So whoever keeps looking for
//! a neighbour wakes nobody, and a packet for the VM itself does.

use super::ethernet::{Arp, ArpOperation, Frame, Mac, ethertype, protocol};
use super::ipv6::{Icmpv6, Ipv6, icmpv6, is_own};
use super::offload::{fold, sum};

/// Bytes of an answer to an ARP request: Ethernet's header and 28 bytes, padded to the least frame.
const ARP_LEN: usize = 60;

/// Bytes of a neighbour advertisement: headers of Ethernet and IPv6, 24 bytes, and one option.
const ADVERTISEMENT_LEN: usize = 14 + 40 + 32;

/// Most bytes of an answer.
const LEN_MAX: usize = ADVERTISEMENT_LEN;

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    bytes: [u8; LEN_MAX],
    length: usize,
}

impl Answer {
    /// Returns the frame.
    pub(crate) fn frame(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Puts parts together, padded with zeros to `length`.
    fn of(parts: &[&[u8]], length: usize) -> Self {
        let mut bytes = [0; LEN_MAX];
        for (place, byte) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
            *place = *byte;
        }
        Self { bytes, length }
    }
}

/// Returns what the VM with this hardware address, and this IPv4 address if it has one, would
/// answer to a frame that asks where it is; `None` for any other frame.
#[must_use]
pub(crate) fn to_question(frame: &[u8], mac: Mac, address: Option<[u8; 4]>) -> Option<Answer> {
    let question = Frame::parse(frame)?;
    match question.ethertype {
        ethertype::ARP => arp_reply(&question, mac, address?),
        ethertype::IPV6 => advertisement(&question, mac),
        _ => None,
    }
}

/// Answers an ARP request (RFC 826).
fn arp_reply(question: &Frame<'_>, mac: Mac, address: [u8; 4]) -> Option<Answer> {
    let arp = Arp::parse(question.payload)?;
    if arp.operation != ArpOperation::Request || arp.target != address {
        return None;
    }
    let parts: [&[u8]; 7] = [
        &question.source.0,
        &mac.0,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
        &mac.0,
        &address,
        &arp.sender_mac.0,
        &arp.sender,
    ];
    Some(Answer::of(&parts, ARP_LEN))
}

/// Answers a neighbour solicitation (RFC 4861 §7.2.4) for an address that this station alone can
/// have. One from nobody is not answered: it announces that somebody is about to take the address
/// (RFC 4862 §5.4.3), which its owner has to know.
fn advertisement(question: &Frame<'_>, mac: Mac) -> Option<Answer> {
    /// The answer is to a question, and replaces what was known.
    const SOLICITED_OVERRIDE: u8 = 0x60;
    let packet = Ipv6::parse(question.payload)?;
    let message = Icmpv6::parse(packet.payload).filter(|_| packet.protocol == protocol::ICMPV6)?;
    let target = message.target()?;
    let is_asked = message.kind == icmpv6::NEIGHBOR_SOLICITATION && is_own(target, mac);
    if !is_asked || packet.source == [0; 16] || question.source.is_group() {
        return None;
    }
    let pseudo_header: [&[u8]; 3] = [&target, &packet.source, &[0, 0, 0, 32, 0, 0, 0, 58]];
    let mut body = [0; 32];
    let parts: [&[u8]; 4] = [
        &[
            icmpv6::NEIGHBOR_ADVERTISEMENT,
            0,
            0,
            0,
            SOLICITED_OVERRIDE,
            0,
            0,
            0,
        ],
        &target,
        &[2, 1],
        &mac.0,
    ];
    for (place, byte) in body.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *byte;
    }
    let total: u64 = pseudo_header.into_iter().map(sum).sum();
    let checksum = !fold(total + sum(&body));
    let frame: [&[u8]; 8] = [
        &question.source.0,
        &mac.0,
        &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255],
        &target,
        &packet.source,
        &[icmpv6::NEIGHBOR_ADVERTISEMENT, 0],
        &checksum.to_be_bytes(),
        body.get(4..)?,
    ];
    Some(Answer::of(&frame, ADVERTISEMENT_LEN))
}

#[cfg(test)]
mod tests {
    use super::super::test_frames::{A, ELSEWHERE, IP_A, in_network, ipv6};
    use super::*;
    use std::vec::Vec;

    const NETWORK: [u8; 8] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1];

    fn solicitation(source: [u8; 16], target: [u8; 16]) -> Vec<u8> {
        let mut body = Vec::from([icmpv6::NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
        body.extend_from_slice(&target);
        body.extend_from_slice(&[1, 1]);
        body.extend_from_slice(&ELSEWHERE.0);
        let group = Mac([0x33, 0x33, 0xff, target[13], target[14], target[15]]);
        ipv6(group, ELSEWHERE, source, protocol::ICMPV6, &body)
    }

    #[test]
    fn a_sleeper_is_advertised_to_who_looks_for_it() {
        let (asker, own) = (in_network(NETWORK, ELSEWHERE), in_network(NETWORK, A));
        let reply = to_question(&solicitation(asker, own), A, Some(IP_A)).expect("an answer");
        let reply = Frame::parse(reply.frame()).expect("a frame");
        assert_eq!((reply.destination, reply.source), (ELSEWHERE, A));
        let packet = Ipv6::parse(reply.payload).expect("a packet");
        assert_eq!((packet.source, packet.payload.len()), (own, 32));
        let message = Icmpv6::parse(packet.payload).expect("a message");
        assert_eq!(message.kind, icmpv6::NEIGHBOR_ADVERTISEMENT);
        assert!(message.target() == Some(own) && message.names_only(A));
        let header = [&own[..], &asker[..], &[0, 0, 0, 32, 0, 0, 0, 58]].concat();
        assert_eq!(fold(sum(&header) + sum(packet.payload)), 0xffff);
    }

    #[test]
    fn other_questions_are_its_own_to_answer() {
        let (asker, own) = (in_network(NETWORK, ELSEWHERE), in_network(NETWORK, A));
        let other = in_network(NETWORK, Mac([2, 9, 9, 9, 9, 9]));
        for frame in [solicitation(asker, other), solicitation([0; 16], own)] {
            assert!(to_question(&frame, A, Some(IP_A)).is_none());
        }
        let mut cut = solicitation(asker, own);
        while cut.pop().is_some() {
            // Whatever is missing, nothing panics.
            let _ = to_question(&cut, A, None);
        }
    }
}
