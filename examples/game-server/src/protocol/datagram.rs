//! The kinds of datagrams.

use super::snapshot::Delta;
use super::wire::{Reader, Writer};
use super::{INPUTS_MAX, JOIN_LEN, MAGIC, NAME_MAX};
use alloc::string::String;
use alloc::vec::Vec;

const JOIN: u8 = 1;
const INPUT: u8 = 2;
const LEAVE: u8 = 3;
const CHALLENGE: u8 = 0x81;
const ACCEPT: u8 = 0x82;
const REFUSE: u8 = 0x83;
const SNAPSHOT: u8 = 0x84;
const GONE: u8 = 0x85;

/// What a player wants in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Bits of [`Input::LEFT`] and its like.
    pub buttons: u8,
    /// Where the player looks, in 256ths of a turn.
    pub aim: u8,
}

impl Input {
    /// Moves towards x = 0.
    pub const LEFT: u8 = 1;
    /// Moves away from x = 0.
    pub const RIGHT: u8 = 2;
    /// Moves towards y = 0.
    pub const UP: u8 = 4;
    /// Moves away from y = 0.
    pub const DOWN: u8 = 8;
    /// Shoots.
    pub const FIRE: u8 = 16;
}

/// Why somebody may not play, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken.
    Full,
    /// The player was silent for too long.
    TimedOut,
    /// The player left.
    Left,
}

impl Refusal {
    const fn number(self) -> u8 {
        match self {
            Self::Full => 1,
            Self::TimedOut => 2,
            Self::Left => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Full),
            2 => Some(Self::TimedOut),
            3 => Some(Self::Left),
            _ => None,
        }
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// It wants to play.
    Join {
        /// A number of the client's own, which the answers repeat.
        nonce: u32,
        /// What proves that it gets datagrams at its address; 0 if it knows none yet.
        cookie: u64,
        /// Its name.
        name: String,
    },
    /// What the player wants.
    Input {
        /// What the server called the player.
        token: u32,
        /// The latest snapshot that arrived, or 0.
        ack: u32,
        /// The number of the latest input; those before it are one less each.
        sequence: u32,
        /// Inputs, the latest last.
        inputs: Vec<Input>,
    },
    /// It leaves.
    Leave {
        /// What the server called the player.
        token: u32,
    },
}

impl FromClient {
    /// Writes it down.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u16(MAGIC);
        match self {
            Self::Join {
                nonce,
                cookie,
                name,
            } => {
                let name = &name.as_bytes()[..name.len().min(NAME_MAX)];
                writer.u8(JOIN);
                writer.u32(*nonce);
                writer.u64(*cookie);
                writer.u8(u8::try_from(name.len()).unwrap_or(0));
                writer.bytes(name);
                writer.pad(JOIN_LEN);
            }
            Self::Input {
                token,
                ack,
                sequence,
                inputs,
            } => {
                writer.u8(INPUT);
                writer.u32(*token);
                writer.u32(*ack);
                writer.u32(*sequence);
                let inputs = &inputs[inputs.len().saturating_sub(INPUTS_MAX)..];
                for input in inputs {
                    writer.bytes(&[input.buttons, input.aim]);
                }
            }
            Self::Leave { token } => {
                writer.u8(LEAVE);
                writer.u32(*token);
            }
        }
        writer.finish()
    }

    /// Reads what somebody sent; `None` if it makes no sense.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u16()? != MAGIC {
            return None;
        }
        match reader.u8()? {
            JOIN if bytes.len() >= JOIN_LEN => {
                let (nonce, cookie) = (reader.u32()?, reader.u64()?);
                let len = usize::from(reader.u8()?).min(NAME_MAX);
                let name = reader.bytes(len)?.iter();
                // What others read in a terminal is not left to strangers.
                let name = name.map(|byte| match byte {
                    b'!'..=b'~' if !b"\\\";".contains(byte) => char::from(*byte),
                    _ => '_',
                });
                Some(Self::Join {
                    nonce,
                    cookie,
                    name: name.collect(),
                })
            }
            INPUT => {
                let (token, ack, sequence) = (reader.u32()?, reader.u32()?, reader.u32()?);
                let mut inputs = Vec::new();
                while !reader.is_empty() {
                    let input = reader.bytes(2)?;
                    inputs.push(Input {
                        buttons: input[0],
                        aim: input[1],
                    });
                }
                (1..=INPUTS_MAX)
                    .contains(&inputs.len())
                    .then_some(Self::Input {
                        token,
                        ack,
                        sequence,
                        inputs,
                    })
            }
            LEAVE => {
                let token = reader.u32()?;
                reader.is_empty().then_some(Self::Leave { token })
            }
            _ => None,
        }
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer {
    /// Join again with this cookie.
    Challenge {
        /// The client's number.
        nonce: u32,
        /// What to repeat.
        cookie: u64,
    },
    /// Welcome.
    Accept {
        /// The client's number.
        nonce: u32,
        /// What to call oneself from now on.
        token: u32,
        /// The entity that is the player.
        player: u8,
    },
    /// Not welcome.
    Refuse {
        /// The client's number.
        nonce: u32,
        /// Why.
        why: Refusal,
    },
    /// What the player sees.
    Snapshot {
        /// The tick it shows.
        tick: u32,
        /// The latest input that it takes into account.
        input: u32,
        /// What is different from the snapshot it is based on.
        delta: Delta,
    },
    /// The player is in the game no more.
    Gone {
        /// Why.
        why: Refusal,
    },
}

impl FromServer {
    /// Writes it down.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u16(MAGIC);
        match self {
            Self::Challenge { nonce, cookie } => {
                writer.u8(CHALLENGE);
                writer.u32(*nonce);
                writer.u64(*cookie);
            }
            Self::Accept {
                nonce,
                token,
                player,
            } => {
                writer.u8(ACCEPT);
                writer.u32(*nonce);
                writer.u32(*token);
                writer.u8(*player);
            }
            Self::Refuse { nonce, why } => {
                writer.u8(REFUSE);
                writer.u32(*nonce);
                writer.u8(why.number());
            }
            Self::Snapshot { tick, input, delta } => {
                writer.u8(SNAPSHOT);
                writer.u32(*tick);
                writer.u32(*input);
                delta.encode(&mut writer);
            }
            Self::Gone { why } => {
                writer.u8(GONE);
                writer.u8(why.number());
            }
        }
        writer.finish()
    }

    /// Reads what somebody sent; `None` if it makes no sense.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u16()? != MAGIC {
            return None;
        }
        let decoded = match reader.u8()? {
            CHALLENGE => Self::Challenge {
                nonce: reader.u32()?,
                cookie: reader.u64()?,
            },
            ACCEPT => Self::Accept {
                nonce: reader.u32()?,
                token: reader.u32()?,
                player: reader.u8()?,
            },
            REFUSE => Self::Refuse {
                nonce: reader.u32()?,
                why: Refusal::from_number(reader.u8()?)?,
            },
            SNAPSHOT => Self::Snapshot {
                tick: reader.u32()?,
                input: reader.u32()?,
                delta: Delta::decode(&mut reader)?,
            },
            GONE => Self::Gone {
                why: Refusal::from_number(reader.u8()?)?,
            },
            _ => return None,
        };
        reader.is_empty().then_some(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn from_clients() -> [FromClient; 3] {
        [
            FromClient::Join {
                nonce: 7,
                cookie: 8,
                name: "player".into(),
            },
            FromClient::Input {
                token: 1,
                ack: 2,
                sequence: 3,
                inputs: Vec::from([
                    Input::default(),
                    Input {
                        buttons: 31,
                        aim: 255,
                    },
                ]),
            },
            FromClient::Leave { token: 9 },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for message in from_clients() {
            assert_eq!(FromClient::decode(&message.encode()), Some(message));
        }
        for message in [
            FromServer::Challenge {
                nonce: 1,
                cookie: u64::MAX,
            },
            FromServer::Accept {
                nonce: 1,
                token: 2,
                player: 3,
            },
            FromServer::Refuse {
                nonce: 1,
                why: Refusal::Full,
            },
            FromServer::Gone {
                why: Refusal::TimedOut,
            },
        ] {
            let bytes = message.encode();
            assert!(
                bytes.len() < JOIN_LEN,
                "no answer to a stranger is longer than the question"
            );
            assert_eq!(FromServer::decode(&bytes), Some(message));
            assert_eq!(FromServer::decode(&bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn a_short_join_and_a_name_with_controls_do_no_harm() {
        let join = FromClient::Join {
            nonce: 0,
            cookie: 0,
            name: "\x1b[2J\\\"a b".into(),
        };
        let bytes = join.encode();
        assert_eq!(FromClient::decode(&bytes[..JOIN_LEN - 1]), None);
        let Some(FromClient::Join { name, .. }) = FromClient::decode(&bytes) else {
            panic!("a JOIN");
        };
        assert_eq!(name, "_[2J__a_b");
    }

    #[test]
    fn bytes_from_anywhere_are_a_datagram_or_nothing() {
        let mut random = Random::new(1);
        let samples: Vec<Vec<u8>> = from_clients().iter().map(FromClient::encode).collect();
        for round in 0..100_000 {
            let mut bytes = samples[round % 3].clone();
            for _ in 0..random.below(4) {
                let at = random.below(u32::try_from(bytes.len()).unwrap()) as usize;
                bytes[at] = random.byte();
            }
            bytes.truncate(random.below(80) as usize);
            if let Some(message) = FromClient::decode(&bytes) {
                assert_eq!(FromClient::decode(&message.encode()), Some(message));
            }
            drop(FromServer::decode(&bytes));
        }
    }
}
