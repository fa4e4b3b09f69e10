//! What sockets are ready for.

use super::table::ConnectionId;
use super::{Link, Signal, Stack};
use crate::io::ErrorKind;
use crate::net::readiness::Readiness;
use smoltcp::socket::tcp::State;

impl<L: Link, S: Signal> Stack<L, S> {
    /// Returns what can be done with a connection without waiting.
    pub(crate) fn readiness(&mut self, id: ConnectionId) -> Readiness {
        let Some(connection) = self.table.get_mut(id) else {
            return Readiness::default();
        };
        let socket = connection.socket();
        let state = socket.state();
        if matches!(state, State::SynSent | State::SynReceived) {
            return Readiness::default();
        }
        let read_closed = connection.read_shut
            || matches!(
                state,
                State::CloseWait
                    | State::LastAck
                    | State::Closing
                    | State::TimeWait
                    | State::Closed
            );
        let error = connection.error.is_some();
        Readiness {
            readable: socket.can_recv() || read_closed || error,
            writable: connection.can_write() || error,
            read_closed,
            closed: read_closed && !socket.may_send(),
            error,
        }
    }

    /// Returns whether a connection waits to be accepted on `port`.
    pub(crate) fn listener_readiness(&self, port: u16) -> Readiness {
        let listener = self.listeners.get(&port);
        Readiness {
            readable: listener.is_some_and(|listener| !listener.queue.is_empty()),
            ..Readiness::default()
        }
    }

    /// Takes the error that ended a connection, if one did.
    pub(crate) fn take_error(&mut self, id: ConnectionId) -> Option<ErrorKind> {
        self.table.get_mut(id)?.error.take()
    }
}
