//! What the broker sends.

use super::{Acknowledgement, Qos};
use alloc::vec::Vec;

/// What CONNACK says of a connection (§3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ConnectCode {
    Accepted = 0,
    UnacceptableVersion = 1,
    IdentifierRejected = 2,
    ServerUnavailable = 3,
    BadCredentials = 4,
}

/// The level SUBACK grants a filter, if it does.
const REFUSED: u8 = 0x80;

/// Writes CONNACK. `session_present`: the broker remembers this client.
pub(crate) fn connack(out: &mut Vec<u8>, session_present: bool, code: ConnectCode) {
    out.extend([0x20, 2, u8::from(session_present), code as u8]);
}

/// Writes everything of PUBLISH but the payload, whose length is `payload_len`.
pub(crate) fn publish_head(
    out: &mut Vec<u8>,
    topic: &str,
    payload_len: usize,
    delivery: (Qos, u16),
    flags: PublishFlags,
) {
    let (qos, id) = delivery;
    let id_len = if qos == Qos::AtMostOnce { 0 } else { 2 };
    let duplicate = u8::from(flags.duplicate) << 3;
    out.push(0x30 | duplicate | (qos as u8) << 1 | u8::from(flags.retain));
    remaining_length(out, 2 + topic.len() + id_len + payload_len);
    text(out, topic);
    if id_len > 0 {
        out.extend(id.to_be_bytes());
    }
}

/// Two bits of PUBLISH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishFlags {
    /// It may have been sent before.
    pub(crate) duplicate: bool,
    /// It is a retained message, sent because of a new subscription.
    pub(crate) retain: bool,
}

/// Writes a packet that consists of an identifier.
pub(crate) fn acknowledge(out: &mut Vec<u8>, kind: Acknowledgement, id: u16) {
    let first = match kind {
        Acknowledgement::Ack => 0x40,
        Acknowledgement::Received => 0x50,
        Acknowledgement::Release => 0x62,
        Acknowledgement::Complete => 0x70,
    };
    let [high, low] = id.to_be_bytes();
    out.extend([first, 2, high, low]);
}

/// Writes SUBACK; a filter without a level is refused.
pub(crate) fn suback(out: &mut Vec<u8>, id: u16, granted: &[Option<Qos>]) {
    out.push(0x90);
    remaining_length(out, 2 + granted.len());
    out.extend(id.to_be_bytes());
    out.extend(
        granted
            .iter()
            .map(|qos| qos.map_or(REFUSED, |qos| qos as u8)),
    );
}

/// Writes UNSUBACK.
pub(crate) fn unsuback(out: &mut Vec<u8>, id: u16) {
    let [high, low] = id.to_be_bytes();
    out.extend([0xb0, 2, high, low]);
}

/// Writes PINGRESP.
pub(crate) fn ping_response(out: &mut Vec<u8>) {
    out.extend([0xd0, 0]);
}

/// Writes a length (§2.2.3), at most 268,435,455.
pub(super) fn remaining_length(out: &mut Vec<u8>, mut len: usize) {
    loop {
        let low = u8::try_from(len & 0x7f).unwrap_or(0x7f);
        len >>= 7;
        if len == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Writes a string behind its length; topics are checked to be shorter than 65,536 bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend(len.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..usize::from(len)]);
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, decode, frame};
    use super::*;

    #[test]
    fn a_published_message_reads_as_it_was_written() {
        for (qos, id) in [
            (Qos::AtMostOnce, 0),
            (Qos::AtLeastOnce, 1),
            (Qos::ExactlyOnce, 65_535),
        ] {
            for payload in [&b""[..], b"x", &alloc::vec![7; 20_000]] {
                let mut bytes = Vec::new();
                let flags = PublishFlags {
                    duplicate: qos != Qos::AtMostOnce,
                    retain: true,
                };
                publish_head(&mut bytes, "a/b", payload.len(), (qos, id), flags);
                bytes.extend_from_slice(payload);
                let head = frame(&bytes).unwrap().unwrap();
                assert_eq!(head.len, bytes.len());
                let Ok(Packet::Publish(publish)) = decode(head.first, &bytes[head.head_len..])
                else {
                    panic!("a PUBLISH");
                };
                assert_eq!((publish.topic, publish.payload), ("a/b", payload));
                assert_eq!((publish.qos, publish.id, publish.retain), (qos, id, true));
            }
        }
    }

    #[test]
    fn a_refused_filter_is_told_apart_from_a_granted_one() {
        let mut bytes = Vec::new();
        suback(&mut bytes, 0x102, &[Some(Qos::ExactlyOnce), None]);
        assert_eq!(bytes, [0x90, 4, 1, 2, 2, 0x80]);
    }
}
