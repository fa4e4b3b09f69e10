//! The broker: packets in, packets out, no sockets and no clock.
//!
//! | file          | what                                                       |
//! |---------------|------------------------------------------------------------|
//! | `link.rs`     | a connection, as broker and socket share it                |
//! | `session.rs`  | a client, connected or not: what it gets, and has to get   |
//! | `connect.rs`  | clients come and go                                        |
//! | `publish.rs`  | messages come in and go out                                |
//! | `tree.rs`     | who subscribed to what                                     |
//! | `retained.rs` | the last message of each topic                             |
//! | `message.rs`  | messages, and the account their memory comes from          |
//! | `counters.rs` | what is counted                                            |

mod connect;
mod counters;
mod link;
mod message;
mod publish;
mod retained;
mod session;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use counters::Counters;
pub(crate) use link::{Link, OUTBOX_MAX};
pub(crate) use message::Ledger;

use crate::codec::{Malformed, Packet, ping_response};
use crate::limits::Limits;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use counters::Gauges;
use denali_rt::sync::WaitQueue;
use retained::Retained;
use session::{Session, SessionId};
use tree::Tree;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client said goodbye.
    Goodbye,
    /// The client sent what is no packet.
    Malformed(Malformed),
    /// The client sent a packet it must not send now.
    Protocol(&'static str),
    /// The client is refused, and has been told.
    Refused(&'static str),
    /// There is no memory for what the client sends.
    OutOfMemory,
}

impl From<Malformed> for End {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goodbye => f.write_str("disconnected"),
            Self::Malformed(malformed) => write!(f, "malformed packet: {malformed}"),
            Self::Protocol(what) => write!(f, "protocol error: {what}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::OutOfMemory => f.write_str("out of memory for messages"),
        }
    }
}

/// All sessions, subscriptions and messages.
#[derive(Debug)]
pub(crate) struct Broker {
    limits: Limits,
    ledger: Rc<Ledger>,
    sessions: Vec<Option<Session>>,
    by_client: BTreeMap<Box<str>, SessionId>,
    tree: Tree,
    retained: Retained,
    /// Subscriptions to topics of the broker's own.
    system_subscriptions: usize,
    audience: Rc<WaitQueue>,
    /// Clients that gave themselves no name so far.
    unnamed: u64,
    pub(crate) counters: Counters,
}

impl Broker {
    /// Makes one without clients.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            ledger: Ledger::new(limits.messages_len),
            retained: Retained::new(limits.messages_len / 2),
            limits,
            sessions: Vec::new(),
            by_client: BTreeMap::new(),
            tree: Tree::default(),
            system_subscriptions: 0,
            audience: Rc::default(),
            unnamed: 0,
            counters: Counters::default(),
        }
    }

    /// Returns the account of the memory for messages.
    pub(crate) fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// Returns how long a client's packet may be, in bytes.
    pub(crate) fn packet_max(&self) -> usize {
        self.limits.packet_max
    }

    /// Acts on a packet from `link` at `now`, in seconds.
    ///
    /// # Errors
    ///
    /// Why the connection has to end, once all is sent that waits on it.
    pub(crate) fn receive(
        &mut self,
        link: &Rc<Link>,
        packet: Packet<'_>,
        now: u64,
    ) -> Result<(), End> {
        self.counters.packets_received += 1;
        let session = match (packet, link.session.get()) {
            (Packet::Connect(connect), None) => return self.connect(link, &connect, now),
            (Packet::Connect(_), Some(_)) => return Err(End::Protocol("CONNECT twice")),
            (_, None) => return Err(End::Protocol("no CONNECT first")),
            (_, Some(session)) => session,
        };
        match packet {
            Packet::Connect(_) => Ok(()),
            Packet::Publish(publish) => self.publish(session, &publish),
            Packet::Acknowledgement(kind, id) => self.acknowledge(session, kind, id),
            Packet::Subscribe(subscribe) => {
                self.subscribe(session, &subscribe, now);
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(session, &unsubscribe);
                Ok(())
            }
            Packet::Ping => {
                link.push(ping_response);
                Ok(())
            }
            Packet::Disconnect => {
                if let Some(session) = self.session_mut(session) {
                    session.will = None;
                }
                Err(End::Goodbye)
            }
        }
    }

    /// Sends what waits for the client of `link`, whose outbox has room again.
    pub(crate) fn pump(&mut self, link: &Link) {
        if let Some(session) = link.session.get().and_then(|id| self.session_mut(id)) {
            session.pump();
        }
    }

    /// Returns whether anybody subscribed to statistics.
    pub(crate) fn has_audience(&self) -> bool {
        self.system_subscriptions > 0
    }

    /// Returns what is woken when somebody subscribes to statistics.
    pub(crate) fn audience(&self) -> &Rc<WaitQueue> {
        &self.audience
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(id.0)?.as_mut()
    }

    fn gauges(&self, now: u64) -> Gauges {
        let sessions = self.sessions.iter().flatten();
        let (mut connected, mut subscriptions) = (0, 0);
        for session in sessions {
            connected += u64::from(session.link.is_some());
            subscriptions += session.subscriptions.len() as u64;
        }
        Gauges {
            uptime: now,
            clients_connected: connected,
            clients_total: self.by_client.len() as u64,
            subscriptions,
            retained: self.retained.len() as u64,
            memory_used: self.ledger.used() as u64,
            memory_limit: self.ledger.limit() as u64,
        }
    }
}
