//! What the broker knows of a client, connected or not.

use super::link::Link;
use super::message::{Charge, Message};
use crate::codec::{Acknowledgement, PublishFlags, Qos, acknowledge};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The place of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(super) usize);

/// Messages sent and not yet acknowledged, at most.
pub(crate) const WINDOW: usize = 20;

/// Messages of level 2 that a client may send without releasing their identifiers.
pub(crate) const UNRELEASED_MAX: usize = 100;

/// A message to publish when the client is lost.
#[derive(Debug)]
pub(super) struct KeptWill {
    pub(super) message: Rc<Message>,
    pub(super) retain: bool,
}

/// A message on its way to the client.
#[derive(Debug)]
struct InFlight {
    id: u16,
    message: Rc<Message>,
    delivery: Delivery,
    /// How far it has come.
    stage: Stage,
    /// Whether this connection has carried the last packet about it.
    is_sent: bool,
    /// Whether any connection has.
    is_repeated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBLISH is to be acknowledged.
    Published,
    /// PUBREL is to be completed.
    Released,
}

/// How a message is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

/// What became of a message for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is on its way, or waits.
    Taken,
    /// There is no room for it.
    Dropped,
}

/// A client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: Box<str>,
    /// Whether it ends with its connection.
    pub(super) is_clean: bool,
    pub(super) link: Option<Rc<Link>>,
    pub(super) will: Option<KeptWill>,
    /// Levels by filter, and what they are charged with.
    pub(super) subscriptions: BTreeMap<Box<str>, (Qos, Charge)>,
    /// When it lost its connection, in seconds.
    pub(super) lost_at: u64,
    /// Identifiers of level 2 that the client has not released.
    pub(super) unreleased: BTreeSet<u16>,
    in_flight: Vec<InFlight>,
    queue: VecDeque<(Rc<Message>, Delivery)>,
    last_id: u16,
}

impl Session {
    pub(super) fn new(client_id: &str, is_clean: bool) -> Self {
        Self {
            client_id: client_id.into(),
            is_clean,
            link: None,
            will: None,
            subscriptions: BTreeMap::new(),
            lost_at: 0,
            unreleased: BTreeSet::new(),
            in_flight: Vec::new(),
            queue: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Sends a message, or lets it wait among `queue_max` others.
    pub(super) fn deliver(
        &mut self,
        message: &Rc<Message>,
        delivery: Delivery,
        queue_max: usize,
    ) -> Outcome {
        // For a client that is away, level 0 promises nothing (§3.1.2.4).
        if self.link.is_none() && delivery.qos == Qos::AtMostOnce {
            return Outcome::Dropped;
        }
        if self.queue.is_empty() && self.may_send(message, delivery.qos) {
            self.send(Rc::clone(message), delivery);
            return Outcome::Taken;
        }
        if self.queue.len() >= queue_max {
            return Outcome::Dropped;
        }
        self.queue.push_back((Rc::clone(message), delivery));
        Outcome::Taken
    }

    /// Sends what waits, as far as the connection and the window allow.
    pub(super) fn pump(&mut self) {
        let Some(link) = self.link.clone() else {
            return;
        };
        for flight in self.in_flight.iter_mut().filter(|flight| !flight.is_sent) {
            if !link.has_room(flight.message.wire_len()) {
                return;
            }
            flight.send(&link);
        }
        while let Some((message, delivery)) = self.queue.pop_front() {
            if !self.may_send(&message, delivery.qos) {
                self.queue.push_front((message, delivery));
                return;
            }
            self.send(message, delivery);
        }
    }

    /// Takes a connection: what was on its way is to be sent again (§4.4).
    pub(super) fn attach(&mut self, link: &Rc<Link>) {
        self.link = Some(Rc::clone(link));
        self.in_flight
            .iter_mut()
            .for_each(|flight| flight.is_sent = false);
    }

    /// Notes what the client says of a message on its way. Returns false if it cannot be.
    pub(super) fn acknowledged(&mut self, kind: Acknowledgement, id: u16) -> bool {
        let place = self.in_flight.iter().position(|flight| flight.id == id);
        let known = place.map(|place| (place, &mut self.in_flight[place]));
        match (kind, known) {
            (Acknowledgement::Ack, Some((place, flight))) => {
                if flight.delivery.qos != Qos::AtLeastOnce {
                    return false;
                }
                self.in_flight.remove(place);
            }
            (Acknowledgement::Received, Some((_, flight))) => {
                if flight.delivery.qos != Qos::ExactlyOnce {
                    return false;
                }
                flight.stage = Stage::Released;
                flight.is_sent = false;
            }
            (Acknowledgement::Complete, Some((place, flight))) => {
                if flight.stage != Stage::Released {
                    return false;
                }
                self.in_flight.remove(place);
            }
            // After a lost session both sides may remember different things: that is no fault.
            (Acknowledgement::Received, None) => {
                self.push(|out| acknowledge(out, Acknowledgement::Release, id));
            }
            (_, None) => {}
            (Acknowledgement::Release, _) => return false,
        }
        self.pump();
        true
    }

    /// Adds bytes to what is sent to the client, if it is there.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(link) = &self.link {
            link.push(write);
        }
    }

    fn may_send(&self, message: &Message, qos: Qos) -> bool {
        let has_window = qos == Qos::AtMostOnce || self.in_flight.len() < WINDOW;
        has_window
            && self
                .link
                .as_ref()
                .is_some_and(|link| link.has_room(message.wire_len()))
    }

    /// Sends a message now; there is a connection, and room.
    fn send(&mut self, message: Rc<Message>, delivery: Delivery) {
        let Some(link) = self.link.clone() else {
            return;
        };
        if delivery.qos == Qos::AtMostOnce {
            link.push_message(&message, (delivery.qos, 0), delivery.flags(false));
            return;
        }
        let mut flight = InFlight {
            id: self.next_id(),
            message,
            delivery,
            stage: Stage::Published,
            is_sent: false,
            is_repeated: false,
        };
        flight.send(&link);
        self.in_flight.push(flight);
    }

    /// Returns an identifier that no message on its way has; the window is far smaller than 65,535.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self
                .in_flight
                .iter()
                .all(|flight| flight.id != self.last_id)
            {
                return self.last_id;
            }
        }
    }
}

impl InFlight {
    fn send(&mut self, link: &Link) {
        match self.stage {
            Stage::Published => {
                let flags = self.delivery.flags(self.is_repeated);
                link.push_message(&self.message, (self.delivery.qos, self.id), flags);
            }
            Stage::Released => {
                link.push(|out| acknowledge(out, Acknowledgement::Release, self.id));
            }
        }
        self.is_sent = true;
        self.is_repeated = true;
    }
}

impl Delivery {
    fn flags(self, duplicate: bool) -> PublishFlags {
        PublishFlags {
            duplicate,
            retain: self.retain,
        }
    }
}

#[cfg(test)]
impl Session {
    /// Returns how many messages are on their way, and how many wait.
    pub(super) fn pending(&self) -> (usize, usize) {
        (self.in_flight.len(), self.queue.len())
    }
}
