//! The packets of MQTT 3.1.1, to and from bytes.
//!
//! | file        | what                                                    |
//! |-------------|---------------------------------------------------------|
//! | `reader.rs` | numbers and strings out of bytes that may say anything  |
//! | `decode.rs` | what clients send                                       |
//! | `encode.rs` | what the broker sends                                   |
//!
//! Section numbers are those of the OASIS standard, MQTT Version 3.1.1 Plus Errata 01.

mod decode;
mod encode;
mod reader;
#[cfg(test)]
pub(crate) mod samples;

pub(crate) use decode::{Connect, Packet, Publish, Subscribe, Unsubscribe, decode};
pub(crate) use encode::{
    ConnectCode, PublishFlags, acknowledge, connack, ping_response, publish_head, suback, unsuback,
};

use core::fmt;

/// Longest remaining length that can be written down, in bytes (§2.2.3).
#[cfg(test)]
pub(crate) const REMAINING_MAX: usize = 268_435_455;

/// How surely a message arrives.
#[expect(clippy::enum_variant_names, reason = "the standard's names")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Qos {
    /// At most once.
    #[default]
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
    /// Exactly once.
    ExactlyOnce,
}

impl Qos {
    /// Returns the level with this number.
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// The answers that consist of a packet identifier alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    /// PUBACK: a message of level 1 has arrived.
    Ack,
    /// PUBREC: a message of level 2 has arrived.
    Received,
    /// PUBREL: its identifier may be forgotten.
    Release,
    /// PUBCOMP: it is.
    Complete,
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It ends too early, or goes on after its end.
    Length,
    /// No packet of a client has this type.
    Type,
    /// Reserved bits are set, or necessary ones are not.
    Flags,
    /// A string is not UTF-8, or has U+0000 in it.
    Text,
    /// A topic name has wildcards, or a filter has them in the wrong place.
    Topic,
    /// A packet identifier is zero.
    Identifier,
    /// A list of topic filters is empty.
    Empty,
    /// It is no MQTT at all.
    Protocol,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "wrong length",
            Self::Type => "unknown packet type",
            Self::Flags => "wrong flags",
            Self::Text => "a string that is not UTF-8",
            Self::Topic => "a topic with wildcards in the wrong place",
            Self::Identifier => "a packet identifier of zero",
            Self::Empty => "no topic filter",
            Self::Protocol => "not MQTT",
        })
    }
}

/// Where a packet lies in bytes that begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Type and flags.
    pub(crate) first: u8,
    /// Length of type, flags and length, in bytes.
    pub(crate) head_len: usize,
    /// Length of all of it, in bytes.
    pub(crate) len: usize,
}

/// Returns how long the packet is that `bytes` begin with; `None` if there are too few to tell.
///
/// # Errors
///
/// [`Malformed::Length`] for a length of more than four bytes (§2.2.3).
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<Frame>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for (index, byte) in rest.iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let head_len = index + 2;
            let len = head_len + remaining;
            return Ok(Some(Frame {
                first,
                head_len,
                len,
            }));
        }
    }
    match rest.len() {
        0..4 => Ok(None),
        _ => Err(Malformed::Length),
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{Random, samples};
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_length_reads_as_it_was_written() {
        for len in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            REMAINING_MAX,
        ] {
            let mut bytes = Vec::from([0xc0]);
            encode::remaining_length(&mut bytes, len);
            let frame = frame(&bytes).unwrap().unwrap();
            assert_eq!((frame.first, frame.len), (0xc0, bytes.len() + len));
            assert_eq!(frame.head_len, bytes.len());
            for shorter in 0..bytes.len() {
                assert_eq!(super::frame(&bytes[..shorter]), Ok(None));
            }
        }
    }

    #[test]
    fn a_length_of_five_bytes_is_refused() {
        assert_eq!(
            frame(&[0x10, 0xff, 0xff, 0xff, 0xff]),
            Err(Malformed::Length)
        );
    }

    #[test]
    fn a_packet_cut_short_or_with_more_behind_it_is_refused() {
        for packet in samples() {
            let head = frame(&packet).unwrap().unwrap();
            assert_eq!(head.len, packet.len());
            let body = &packet[head.head_len..];
            assert!(decode(head.first, body).is_ok(), "{packet:?}");
            // A shorter PUBLISH may have a shorter payload, a shorter list fewer filters.
            let any_length = matches!(head.first >> 4, 3 | 8 | 10);
            for shorter in 0..body.len() {
                let decoded = decode(head.first, &body[..shorter]);
                assert!(any_length || decoded.is_err(), "{packet:?} to {shorter}");
            }
            let mut longer = Vec::from(body);
            longer.push(0);
            assert!(
                head.first >> 4 == 3 || decode(head.first, &longer).is_err(),
                "{packet:?}"
            );
        }
    }

    #[test]
    fn bytes_from_anywhere_are_a_packet_or_an_error() {
        let mut random = Random::new(0x3_1_1);
        let samples = samples();
        let mut accepted = 0;
        for _ in 0..200_000 {
            let mut bytes = samples[random.below(samples.len())].clone();
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.byte(),
                    1 => bytes[at] ^= 1 << random.below(8),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            if let Ok(Some(head)) = frame(&bytes)
                && let Some(body) = bytes.get(head.head_len..head.len)
            {
                accepted += usize::from(decode(head.first, body).is_ok());
            }
        }
        assert!(accepted > 10_000, "{accepted} of 200,000 are packets");
    }
}
