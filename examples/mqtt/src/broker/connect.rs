//! Clients come and go.

use super::link::Link;
use super::message::Message;
use super::session::{KeptWill, Session, SessionId};
use super::{Broker, End};
use crate::codec::{Connect, ConnectCode, connack};
use crate::topic;
use alloc::format;
use alloc::rc::Rc;

/// The version of the protocol: 3.1.1.
const LEVEL: u8 = 4;

/// Longest client identifier in bytes; the standard asks for 23 at least.
const CLIENT_ID_MAX: usize = 256;

impl Broker {
    /// Greets a client, whose session begins or goes on.
    pub(super) fn connect(
        &mut self,
        link: &Rc<Link>,
        connect: &Connect<'_>,
        now: u64,
    ) -> Result<(), End> {
        if let Err((code, why)) = self.examine(connect) {
            self.counters.connections_refused += 1;
            link.push(|out| connack(out, false, code));
            return Err(End::Refused(why));
        }
        let will = match connect.will {
            None => None,
            Some(will) if topic::is_reserved(will.topic) => None,
            Some(will) => {
                let message = Message::new(&self.ledger, will.topic, will.payload, will.qos);
                Some(KeptWill {
                    message: message.ok_or(End::OutOfMemory)?,
                    retain: will.retain,
                })
            }
        };
        self.expire(now);
        let (id, is_present) = match self.resume(connect, now) {
            Some(id) => (id, true),
            None => match self.begin(connect, now) {
                Some(id) => (id, false),
                None => {
                    link.push(|out| connack(out, false, ConnectCode::ServerUnavailable));
                    return Err(End::Refused("too many sessions"));
                }
            },
        };
        link.session.set(Some(id));
        link.keep_alive.set(connect.keep_alive);
        link.push(|out| connack(out, is_present, ConnectCode::Accepted));
        self.counters.connections += 1;
        if let Some(session) = self.session_mut(id) {
            session.is_clean = connect.clean;
            session.will = will;
            session.attach(link);
            session.pump();
        }
        Ok(())
    }

    /// Notes that a connection is no more, at `now`.
    pub(crate) fn lost(&mut self, link: &Link, now: u64) {
        if let Some(id) = link.session.take() {
            self.detach(id, now);
        }
    }

    /// Removes sessions whose clients have been away for too long.
    fn expire(&mut self, now: u64) {
        let expiry = self.limits.session_expiry;
        let is_expired = |session: &Session| {
            session.link.is_none() && now.saturating_sub(session.lost_at) >= expiry
        };
        for index in 0..self.sessions.len() {
            if self.sessions[index].as_ref().is_some_and(is_expired) {
                self.remove(SessionId(index));
            }
        }
    }

    /// Says what speaks against a client.
    fn examine(&self, connect: &Connect<'_>) -> Result<(), (ConnectCode, &'static str)> {
        if connect.level != LEVEL {
            return Err((ConnectCode::UnacceptableVersion, "another version of MQTT"));
        }
        let nameless = connect.client_id.is_empty() && !connect.clean;
        if nameless || connect.client_id.len() > CLIENT_ID_MAX {
            return Err((
                ConnectCode::IdentifierRejected,
                "a client identifier like that",
            ));
        }
        match &self.limits.credentials {
            Some(wanted) if !wanted.fit(connect.username, connect.password) => {
                Err((ConnectCode::BadCredentials, "wrong user name or password"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a client's session over from its last connection, if it is one to go on.
    fn resume(&mut self, connect: &Connect<'_>, now: u64) -> Option<SessionId> {
        let id = *self.by_client.get(connect.client_id)?;
        let was_clean = self.session_mut(id)?.is_clean;
        if let Some(old) = self.session_mut(id)?.link.take() {
            old.session.set(None);
            old.close();
        }
        self.publish_will(id);
        if was_clean || connect.clean {
            self.remove(id);
            return None;
        }
        if let Some(session) = self.session_mut(id) {
            session.lost_at = now;
        }
        Some(id)
    }

    /// Makes a session, if there may be one more.
    fn begin(&mut self, connect: &Connect<'_>, now: u64) -> Option<SessionId> {
        if self.by_client.len() >= self.limits.sessions_max {
            // Whoever has been away for longest makes room.
            let away = |(_, session): &(usize, &Option<Session>)| {
                session
                    .as_ref()
                    .is_some_and(|session| session.link.is_none())
            };
            let lost_at = |(_, session): &(usize, &Option<Session>)| {
                session.as_ref().map_or(0, |session| session.lost_at)
            };
            let longest = self
                .sessions
                .iter()
                .enumerate()
                .filter(away)
                .min_by_key(lost_at);
            let (index, _) = longest?;
            self.remove(SessionId(index));
        }
        let session = if connect.client_id.is_empty() {
            self.unnamed += 1;
            // A name no client has; one that takes it later takes the session over.
            Session::new(&format!("auto-{}", self.unnamed), connect.clean)
        } else {
            Session::new(connect.client_id, connect.clean)
        };
        if let Some(&taken) = self.by_client.get(&session.client_id) {
            self.detach_and_close(taken, now);
            self.remove(taken);
        }
        let free = self.sessions.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() - 1
        });
        self.by_client
            .insert(session.client_id.clone(), SessionId(index));
        self.sessions[index] = Some(session);
        Some(SessionId(index))
    }

    fn detach_and_close(&mut self, id: SessionId, now: u64) {
        if let Some(old) = self.session_mut(id).and_then(|session| session.link.take()) {
            old.session.set(None);
            old.close();
        }
        self.detach(id, now);
    }

    fn detach(&mut self, id: SessionId, now: u64) {
        let Some(session) = self.session_mut(id) else {
            return;
        };
        session.link = None;
        session.lost_at = now;
        let is_clean = session.is_clean;
        self.publish_will(id);
        if is_clean {
            self.remove(id);
        }
    }

    fn publish_will(&mut self, id: SessionId) {
        if let Some(will) = self.session_mut(id).and_then(|session| session.will.take()) {
            self.spread(&will.message, will.retain);
        }
    }

    fn remove(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id.0).and_then(Option::take) else {
            return;
        };
        for filter in session.subscriptions.keys() {
            self.tree.remove(filter, id);
            self.system_subscriptions -= usize::from(topic::is_reserved(filter));
        }
        self.by_client.remove(&session.client_id);
    }
}
