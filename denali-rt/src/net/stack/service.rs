//! Serving a connection: transmit what is due, see what became of it, set its timer.

use super::connection::{Connection, LINGER_MAX, Owner, Path};
use super::loopback::Loopback;
use super::table::ConnectionId;
use super::{Deadline, Link, STALL_RETRY, Signal, Stack, earliest, from_smol, neighbors, smol};
use crate::io::ErrorKind;
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use smoltcp::iface::PollResult;
use smoltcp::socket::tcp::State;

/// Frames one connection may send before the others' turn.
const EGRESS_BURST: usize = 16;

/// How long a reset may wait for the peer's hardware address.
const RESET_MAX: Duration = Duration::from_secs(2);

/// What made a connection change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A frame from the peer.
    Frame,
    /// A timer, or our own doing.
    Ourselves,
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Notes that a connection may have something to send.
    pub(super) fn mark_ready(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        if !connection.queued {
            connection.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Serves every connection that is ready, as far as the link takes frames.
    pub(super) fn serve_ready(&mut self, now: Instant) {
        for _ in 0..self.ready.len() {
            if !self.link.can_transmit() {
                break;
            }
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            self.serve(id, now);
        }
    }

    /// Serves the connections that waited for a hardware address.
    pub(super) fn serve_awaiting_neighbor(&mut self) {
        for id in core::mem::take(&mut self.awaiting_neighbor) {
            if let Some(connection) = self.table.get_mut(id) {
                connection.wants_neighbor = false;
                self.mark_ready(id);
            }
        }
    }

    /// Serves a connection whose timer fired.
    pub(super) fn on_timer(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.timer = None;
        let expired = connection.give_up_at().is_some_and(|at| at <= now);
        match (expired, connection.state, connection.owner) {
            (true, State::Closed, Owner::Background) => return self.discard(id),
            (true, State::Closed, _) => connection.linger_until = None,
            (true, ..) => {
                connection.error = Some(ErrorKind::TimedOut);
                connection.linger_until = Some(now + RESET_MAX);
                connection.socket_mut().abort();
                self.stats.timeouts += 1;
            }
            (false, ..) => {}
        }
        self.serve(id, now);
    }

    /// Lets a connection transmit, and looks what became of it.
    fn serve(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.queued = false;
        connection.probe_if_silent(now);
        let mut sent = 0;
        let before = self.link.transmitted();
        while sent < EGRESS_BURST {
            let (set, at) = (&mut connection.set, smol(now));
            let (result, next) = match (connection.path, self.loopback.as_deref_mut()) {
                (Path::Loopback, Some(Loopback { interface, queue })) => (
                    interface.poll_egress(at, queue, set),
                    interface.poll_at(at, set),
                ),
                _ => {
                    let result = self.interface.poll_egress(at, &mut self.link, set);
                    (result, self.interface.poll_at(at, set))
                }
            };
            if result == PollResult::None {
                break;
            }
            sent += 1;
            // To ask is cheaper than to try in vain.
            if next.is_none_or(|next| next > at) {
                break;
            }
        }
        if sent > 0 {
            connection.end_opening();
            self.note_sent(id, now);
        }
        self.settle(id, Cause::Ourselves, now);
        match self.table.get_mut(id) {
            Some(connection)
                if connection.owner == Owner::Background && connection.state == State::TimeWait =>
            {
                self.retire(id, now);
            }
            Some(_) => {
                let is_silent = self.link.transmitted() == before;
                let awaited = self.schedule(id, sent, now);
                // If not, smoltcp has asked.
                if let Some(neighbor) = awaited.filter(|_| is_silent) {
                    self.ask_for_neighbor(neighbor, now);
                }
            }
            None => {}
        }
    }

    /// Acts on a change of state: passes the connection on, frees it, wakes who waits for it.
    pub(super) fn settle(&mut self, id: ConnectionId, cause: Cause, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let (before, state) = (connection.state, connection.socket().state());
        connection.state = state;
        if connection.owner == Owner::Background {
            discard_received(connection);
        }
        let expects_answer = connection.expects_answer();
        connection.unanswered_since = match connection.unanswered_since {
            _ if !expects_answer => None,
            Some(since) if cause == Cause::Ourselves => Some(since),
            // A handshake must be over in time, whatever the peer keeps sending.
            Some(since) if state == State::SynReceived => Some(since),
            _ => Some(now),
        };
        if before != state {
            note_failure(connection, before, cause);
            if connection.error == Some(ErrorKind::ConnectionReset) {
                self.stats.resets += 1;
            }
        }
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let gone = state == State::Closed && connection.socket().remote_endpoint().is_none();
        let owner = connection.owner;
        connection.wake();
        match owner {
            Owner::HalfOpen { port } => self.settle_half_open(id, port, state),
            // Its last acknowledgement is still to be sent.
            Owner::Background if state == State::TimeWait => self.mark_ready(id),
            Owner::Background if gone => self.discard(id),
            Owner::Stream | Owner::Backlog { .. } if gone => self.table.forget_key(id),
            _ => {}
        }
    }

    fn settle_half_open(&mut self, id: ConnectionId, port: u16, state: State) {
        match state {
            State::SynReceived => {}
            State::Listen | State::Closed => {
                if let Some(listener) = self.listeners.get_mut(&port) {
                    listener.half_open -= 1;
                }
                if let Some(connection) = self.table.get_mut(id) {
                    connection.owner = Owner::Background;
                }
                self.release_unless_reset_pending(id, state);
            }
            _ => {
                let Some(listener) = self.listeners.get_mut(&port) else {
                    return;
                };
                let Some(connection) = self.table.get_mut(id) else {
                    return;
                };
                connection.owner = Owner::Backlog { port };
                listener.half_open -= 1;
                listener.queue.push_back(id);
                listener.signal.notify();
                self.stats.accepted += 1;
            }
        }
    }

    /// Frees a connection that never came about, or lets its reset out first.
    fn release_unless_reset_pending(&mut self, id: ConnectionId, state: State) {
        let pending = self.table.get_mut(id).is_some_and(|connection| {
            state == State::Closed && connection.socket().remote_endpoint().is_some()
        });
        if pending {
            self.mark_ready(id);
        } else {
            self.discard(id);
        }
    }

    /// Frees a closed connection but keeps its ports reserved.
    fn retire(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let key = connection.key;
        self.discard(id);
        self.time_wait.insert(key, now);
    }

    /// Frees a connection and everything that belongs to it.
    fn discard(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.remove(id) else {
            return;
        };
        if let Some(timer) = connection.timer {
            self.timers.cancel(timer.key);
        }
        self.buffer_bytes -= connection.buffer_bytes;
    }

    /// Sets the timer of a connection that sent `sent` frames just now, or queues it again. Returns
    /// the peer if it sent none because the hardware address on the way there is not known.
    fn schedule(&mut self, id: ConnectionId, sent: usize, now: Instant) -> Option<IpAddr> {
        let connection = self.table.get_mut(id)?;
        let (due, has_room) = match (connection.path, self.loopback.as_deref_mut()) {
            (Path::Loopback, Some(Loopback { interface, queue })) => {
                let due = interface.poll_at(smol(now), &connection.set);
                (due, queue.has_room())
            }
            _ => {
                let due = self.interface.poll_at(smol(now), &connection.set);
                (due, self.link.can_transmit())
            }
        };
        let mut at = due.map(from_smol);
        let waits = connection.path == Path::Wire && sent == 0 && neighbors::is_awaited(due, now);
        let awaited = waits.then_some(connection.key.remote);
        if waits && !connection.wants_neighbor {
            connection.wants_neighbor = true;
            self.awaiting_neighbor.push(id);
        }
        let at_once = due.is_some_and(|due| due <= smol(now));
        if at_once && (sent > 0 || !has_room) {
            at = None;
            self.mark_ready(id);
        } else if at_once {
            at = Some(now + STALL_RETRY);
        }
        self.set_timer(id, at);
        awaited
    }

    /// Sets the timer of a connection after a frame, which may have made it ready to send.
    pub(super) fn schedule_after_frame(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let due = match (connection.path, self.loopback.as_deref_mut()) {
            (Path::Loopback, Some(Loopback { interface, .. })) => {
                interface.poll_at(smol(now), &connection.set)
            }
            _ => self.interface.poll_at(smol(now), &connection.set),
        };
        match due {
            Some(due) if due <= smol(now) => self.mark_ready(id),
            due => self.set_timer(id, due.map(from_smol)),
        }
    }

    fn set_timer(&mut self, id: ConnectionId, at: Option<Instant>) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let at = earliest(at, connection.give_up_at());
        if connection.timer.map(|timer| timer.at) == at {
            return;
        }
        if let Some(timer) = connection.timer.take() {
            self.timers.cancel(timer.key);
        }
        connection.timer = at.map(|at| Deadline {
            at,
            key: self.timers.insert(at, id),
        });
    }

    /// Resets a connection that nobody owns any more.
    pub(super) fn abort_in_background(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.owner = Owner::Background;
        connection.linger_until = Some(now + RESET_MAX);
        connection.socket_mut().abort();
        self.mark_ready(id);
    }

    /// Lets a connection that nobody owns any more close by itself.
    pub(super) fn close_in_background(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.owner = Owner::Background;
        connection.linger_until = Some(now + LINGER_MAX);
        connection.socket_mut().set_ack_delay(None);
        connection.socket_mut().close();
        self.settle(id, Cause::Ourselves, now);
        self.mark_ready(id);
    }
}

/// Throws away what a peer still sends to a stream that was dropped, so that it does not stall
/// before it reads our last data.
fn discard_received<S: Signal>(connection: &mut Connection<S>) {
    while connection.socket().can_recv() {
        let taken = connection
            .socket_mut()
            .recv(|bytes| (bytes.len(), bytes.len()));
        match taken {
            Ok(count) => connection.consume(count),
            Err(_) => break,
        }
    }
}

/// Notes why a connection closed, unless it was closed in an orderly way.
fn note_failure<S: Signal>(connection: &mut Connection<S>, before: State, cause: Cause) {
    let orderly = matches!(before, State::LastAck | State::TimeWait | State::Listen);
    if connection.state != State::Closed || orderly || connection.error.is_some() {
        return;
    }
    connection.error = Some(match (before, cause) {
        (State::SynSent, Cause::Frame) => ErrorKind::ConnectionRefused,
        (_, Cause::Frame) => ErrorKind::ConnectionReset,
        (_, Cause::Ourselves) => ErrorKind::ConnectionAborted,
    });
}
