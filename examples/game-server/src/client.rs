//! The other side: a client without a socket, for load generators and tests.

use crate::protocol::{FromClient, FromServer, INPUTS_MAX, Input, Refusal, Snapshot};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Snapshots kept to base others on; the server remembers fewer.
const SNAPSHOTS_MAX: usize = 32;

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It asks to play.
    Joining {
        /// The server's challenge, or 0.
        cookie: u64,
    },
    /// It plays.
    Playing {
        /// What the server calls it.
        token: u32,
        /// Its entity.
        player: u8,
    },
    /// It does not play, or no longer.
    Out(Refusal),
}

/// What a datagram of the server brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Something that is of use to [`Client`] alone.
    Progress,
    /// A snapshot, in full.
    Snapshot {
        /// The tick it shows.
        tick: u32,
        /// The latest input it takes into account.
        input: u32,
    },
    /// A snapshot older than the latest.
    Late,
    /// Nothing that makes sense.
    Nonsense,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    state: State,
    nonce: u32,
    name: String,
    snapshots: VecDeque<Snapshot>,
    inputs: VecDeque<Input>,
    sequence: u32,
}

impl Client {
    /// Makes a client that wants to play; `nonce` is what it recognizes answers by.
    #[must_use]
    pub fn new(name: &str, nonce: u32) -> Self {
        Self {
            state: State::Joining { cookie: 0 },
            nonce,
            name: name.into(),
            snapshots: VecDeque::from([Snapshot::default()]),
            inputs: VecDeque::new(),
            sequence: 0,
        }
    }

    /// Returns how far it has come.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the latest snapshot; before there is one, an empty one of tick 0.
    ///
    /// # Panics
    ///
    /// Never: there is always one.
    #[must_use]
    pub fn latest(&self) -> &Snapshot {
        self.snapshots
            .back()
            .expect("the first is never removed without another")
    }

    /// Returns the number of the latest input.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Returns what to send now: the wish to play, or what the player wants; `None` if it is out.
    pub fn next_datagram(&mut self, input: Input) -> Option<Vec<u8>> {
        let message = match self.state {
            State::Out(_) => return None,
            State::Joining { cookie } => FromClient::Join {
                nonce: self.nonce,
                cookie,
                name: self.name.clone(),
            },
            State::Playing { token, .. } => {
                self.sequence += 1;
                self.inputs.push_back(input);
                while self.inputs.len() > INPUTS_MAX {
                    self.inputs.pop_front();
                }
                FromClient::Input {
                    token,
                    ack: self.latest().tick,
                    sequence: self.sequence,
                    inputs: self.inputs.iter().copied().collect(),
                }
            }
        };
        Some(message.encode())
    }

    /// Returns the datagram that says goodbye, if it plays.
    #[must_use]
    pub fn goodbye(&self) -> Option<Vec<u8>> {
        match self.state {
            State::Playing { token, .. } => Some(FromClient::Leave { token }.encode()),
            State::Joining { .. } | State::Out(_) => None,
        }
    }

    /// Takes a datagram of the server.
    pub fn receive(&mut self, datagram: &[u8]) -> News {
        let Some(message) = FromServer::decode(datagram) else {
            return News::Nonsense;
        };
        match message {
            FromServer::Challenge { nonce, cookie } if self.awaits(nonce) => {
                self.state = State::Joining { cookie };
            }
            FromServer::Accept {
                nonce,
                token,
                player,
            } if self.awaits(nonce) => self.state = State::Playing { token, player },
            FromServer::Refuse { nonce, why } if self.awaits(nonce) => self.state = State::Out(why),
            FromServer::Gone { why } => self.state = State::Out(why),
            FromServer::Snapshot { tick, input, delta } => {
                if tick <= self.latest().tick {
                    return News::Late;
                }
                let is_baseline = |snapshot: &&Snapshot| snapshot.tick == delta.baseline;
                let nothing = Snapshot::default();
                let baseline = match delta.baseline {
                    0 => Some(&nothing),
                    _ => self.snapshots.iter().find(is_baseline),
                };
                let Some(new) = baseline.and_then(|old| delta.apply(old, tick)) else {
                    return News::Nonsense;
                };
                if self.snapshots.len() == SNAPSHOTS_MAX {
                    self.snapshots.pop_front();
                }
                self.snapshots.push_back(new);
                return News::Snapshot { tick, input };
            }
            // An answer to a question asked before the last one.
            _ => {}
        }
        News::Progress
    }

    fn awaits(&self, nonce: u32) -> bool {
        nonce == self.nonce && matches!(self.state, State::Joining { .. })
    }
}
