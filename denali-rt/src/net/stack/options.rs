//! What can be set on a connection.

use super::connection::{Congestion, KeepAlive};
use super::table::ConnectionId;
use super::{Link, Signal, Stack};
use crate::time::Duration;

impl<L: Link, S: Signal> Stack<L, S> {
    /// Sets whether small segments wait for earlier ones to be acknowledged (Nagle).
    pub(crate) fn set_nodelay(&mut self, id: ConnectionId, nodelay: bool) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.socket_mut().set_nagle_enabled(!nodelay);
        }
    }

    /// Returns whether small segments leave at once.
    pub(crate) fn nodelay(&mut self, id: ConnectionId) -> bool {
        self.table
            .get_mut(id)
            .is_none_or(|connection| !connection.socket().nagle_enabled())
    }

    /// Sets whether and how to probe a silent peer.
    pub(crate) fn set_keep_alive(&mut self, id: ConnectionId, keep_alive: Option<KeepAlive>) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.set_keep_alive(keep_alive);
            self.mark_ready(id);
        }
    }

    /// Returns how a silent peer is probed.
    pub(crate) fn keep_alive(&mut self, id: ConnectionId) -> Option<KeepAlive> {
        self.table.get_mut(id)?.keep_alive
    }

    /// Sets how long a peer may leave what we sent unanswered.
    pub(crate) fn set_user_timeout(&mut self, id: ConnectionId, timeout: Option<Duration>) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.user_timeout = timeout;
            self.mark_ready(id);
        }
    }

    /// Returns how long a peer may leave what we sent unanswered, if it was set.
    pub(crate) fn user_timeout(&mut self, id: ConnectionId) -> Option<Duration> {
        self.table.get_mut(id)?.user_timeout
    }

    /// Sets what keeps us from overloading the path.
    pub(crate) fn set_congestion(&mut self, id: ConnectionId, congestion: Congestion) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.set_congestion(congestion);
        }
    }

    /// Sets the time to live of packets, 1 to 255.
    pub(crate) fn set_ttl(&mut self, id: ConnectionId, ttl: u8) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.socket_mut().set_hop_limit(Some(ttl));
        }
    }

    /// Returns the time to live of packets.
    pub(crate) fn ttl(&mut self, id: ConnectionId) -> u8 {
        const DEFAULT: u8 = 64;
        self.table
            .get_mut(id)
            .and_then(|connection| connection.socket().hop_limit())
            .unwrap_or(DEFAULT)
    }
}
