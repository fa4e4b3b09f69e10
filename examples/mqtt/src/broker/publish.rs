//! Messages come in and go out.

use super::counters::{PREFIX, statistics};
use super::message::Message;
use super::session::{Delivery, Outcome, SessionId, UNRELEASED_MAX};
use super::{Broker, End};
use crate::codec::{
    Acknowledgement, Publish, Qos, Subscribe, Unsubscribe, acknowledge, suback, unsuback,
};
use crate::topic;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

impl Broker {
    /// Takes a message from a client.
    pub(super) fn publish(&mut self, from: SessionId, publish: &Publish<'_>) -> Result<(), End> {
        self.counters.messages_received += 1;
        let id = publish.id;
        let Some(session) = self.session_mut(from) else {
            return Ok(());
        };
        let is_repeated = publish.qos == Qos::ExactlyOnce && session.unreleased.contains(&id);
        if publish.qos == Qos::ExactlyOnce && !is_repeated {
            if session.unreleased.len() >= UNRELEASED_MAX {
                return Err(End::Protocol("too many messages not released"));
            }
            session.unreleased.insert(id);
        }
        // Topics of the broker's own are not for clients; that is no fault, but nobody hears of it.
        if !is_repeated && !topic::is_reserved(publish.topic) {
            self.spread_from_client(publish)?;
        }
        if let Some(session) = self.session_mut(from) {
            match publish.qos {
                Qos::AtMostOnce => {}
                Qos::AtLeastOnce => {
                    session.push(|out| acknowledge(out, Acknowledgement::Ack, id));
                }
                Qos::ExactlyOnce => {
                    session.push(|out| acknowledge(out, Acknowledgement::Received, id));
                }
            }
        }
        Ok(())
    }

    fn spread_from_client(&mut self, publish: &Publish<'_>) -> Result<(), End> {
        let Publish {
            topic,
            payload,
            qos,
            retain,
            ..
        } = *publish;
        match Message::new(&self.ledger, topic, payload, qos) {
            Some(message) => {
                self.spread(&message, retain);
                Ok(())
            }
            None if qos == Qos::AtMostOnce => {
                self.counters.messages_dropped += 1;
                Ok(())
            }
            // Not acknowledged, it stays with the client, who may try again.
            None => Err(End::OutOfMemory),
        }
    }

    /// Delivers a message to all who want it, and keeps it if it is to be retained.
    pub(super) fn spread(&mut self, message: &Rc<Message>, retain: bool) {
        if retain && message.payload.is_empty() {
            self.retained.forget(&message.topic);
        } else if retain && !self.retained.keep(message) {
            self.counters.messages_dropped += 1;
        }
        for (to, qos) in self.tree.subscribers(&message.topic) {
            let delivery = Delivery {
                qos: qos.min(message.qos),
                retain: false,
            };
            self.deliver(to, message, delivery);
        }
    }

    fn deliver(&mut self, to: SessionId, message: &Rc<Message>, delivery: Delivery) {
        let queue_max = self.limits.queue_max;
        let Some(session) = self.session_mut(to) else {
            return;
        };
        match session.deliver(message, delivery, queue_max) {
            Outcome::Taken => self.counters.messages_sent += 1,
            Outcome::Dropped => self.counters.messages_dropped += 1,
        }
    }

    /// Acts on what a client says of a message, ours or its own.
    pub(super) fn acknowledge(
        &mut self,
        from: SessionId,
        kind: Acknowledgement,
        id: u16,
    ) -> Result<(), End> {
        let Some(session) = self.session_mut(from) else {
            return Ok(());
        };
        if kind == Acknowledgement::Release {
            session.unreleased.remove(&id);
            session.push(|out| acknowledge(out, Acknowledgement::Complete, id));
            return Ok(());
        }
        match session.acknowledged(kind, id) {
            true => Ok(()),
            false => Err(End::Protocol(
                "an acknowledgement of another kind than expected",
            )),
        }
    }

    pub(super) fn subscribe(&mut self, from: SessionId, subscribe: &Subscribe<'_>, now: u64) {
        let granted: Vec<_> = subscribe
            .filters()
            .map(|(filter, qos)| self.grant(from, filter, qos).then_some(qos))
            .collect();
        if let Some(session) = self.session_mut(from) {
            session.push(|out| suback(out, subscribe.id, &granted));
        }
        for ((filter, qos), granted) in subscribe.filters().zip(&granted) {
            if granted.is_some() {
                self.send_retained(from, filter, qos, now);
            }
        }
    }

    /// Enters a subscription. Returns false if there is no room for it.
    fn grant(&mut self, to: SessionId, filter: &str, qos: Qos) -> bool {
        let subscriptions_max = self.limits.subscriptions_max;
        // The filter is kept twice, in the session and, level by level, in the tree.
        let charge = self
            .ledger
            .charge(2 * filter.len() + 64 * filter.split('/').count());
        let (Some(charge), Some(session)) = (charge, self.session_mut(to)) else {
            return false;
        };
        let is_known = session.subscriptions.contains_key(filter);
        if !is_known && session.subscriptions.len() >= subscriptions_max {
            return false;
        }
        session.subscriptions.insert(filter.into(), (qos, charge));
        self.tree.insert(filter, to, qos);
        if !is_known && topic::is_reserved(filter) {
            self.system_subscriptions += 1;
            self.audience.wake_all();
        }
        true
    }

    fn send_retained(&mut self, to: SessionId, filter: &str, qos: Qos, now: u64) {
        let matching: Vec<_> = self.retained.matching(filter).cloned().collect();
        for message in matching {
            let delivery = Delivery {
                qos: qos.min(message.qos),
                retain: true,
            };
            self.deliver(to, &message, delivery);
        }
        if topic::is_reserved(filter) {
            for message in self.statistics(now) {
                if topic::matches(filter, &message.topic) {
                    let delivery = Delivery {
                        qos: Qos::AtMostOnce,
                        retain: true,
                    };
                    self.deliver(to, &message, delivery);
                }
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, from: SessionId, unsubscribe: &Unsubscribe<'_>) {
        for filter in unsubscribe.filters() {
            let session = self.session_mut(from);
            if session.is_some_and(|session| session.subscriptions.remove(filter).is_some()) {
                self.tree.remove(filter, from);
                self.system_subscriptions -= usize::from(topic::is_reserved(filter));
            }
        }
        if let Some(session) = self.session_mut(from) {
            session.push(|out| unsuback(out, unsubscribe.id));
        }
    }

    /// Sends statistics to those who subscribed to them.
    pub(crate) fn publish_statistics(&mut self, now: u64) {
        for message in self.statistics(now) {
            self.spread(&message, false);
        }
    }

    fn statistics(&self, now: u64) -> Vec<Rc<Message>> {
        let all = statistics(&self.counters, &self.gauges(now));
        let message = |(topic, value): (&str, alloc::string::String)| {
            let topic = format!("{PREFIX}{topic}");
            Message::new(&self.ledger, &topic, value.as_bytes(), Qos::AtMostOnce)
        };
        all.into_iter().filter_map(message).collect()
    }
}
