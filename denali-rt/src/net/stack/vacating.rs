//! Pages of transmit buffers go back to the kernel when their connections have been idle.
//!
//! A buffer from which everything has been sent and acknowledged holds nothing, however much has
//! been through it.

use super::connection::Connection;
use super::table::ConnectionId;
use super::{Link, Signal, Stack};
use crate::time::{Duration, Instant};

/// How long a connection must have sent nothing: what a busy one has it soon needs again.
const QUIET: Duration = Duration::from_millis(500);

/// Bytes that must have been written to make it worth a crossing.
const WORTHWHILE: usize = 8 * 1024;

impl<L: Link, S: Signal> Stack<L, S> {
    /// Notes that a connection has sent something, which may have left pages to give back.
    pub(super) fn note_sent(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        connection.sent_at = now;
        if connection.soiled >= WORTHWHILE && !connection.vacates {
            connection.vacates = true;
            self.vacating.push_back((now + QUIET, id));
        }
    }

    /// Gives back what idle connections do not need. Returns when to look again.
    pub(super) fn vacate_idle(&mut self, now: Instant) -> Option<Instant> {
        while let Some((due, id)) = self.vacating.front().copied() {
            if due > now {
                return Some(due);
            }
            self.vacating.pop_front();
            let Some(connection) = self.table.get_mut(id) else {
                continue;
            };
            if is_busy(connection, now) {
                self.vacating.push_back((now + QUIET, id));
                continue;
            }
            connection.vacates = false;
            connection.vacate();
        }
        if self.vacating.capacity() > 0 {
            self.vacating = alloc::collections::VecDeque::new();
        }
        None
    }
}

fn is_busy<S: Signal>(connection: &Connection<S>, now: Instant) -> bool {
    let socket = connection.socket();
    socket.may_send() && (socket.send_queue() > 0 || now < connection.sent_at + QUIET)
}
