//! Multicast groups of the VM, those of neighbour discovery included.
//!
//! smoltcp keeps the list and writes the reports (IGMP, MLD), whenever it is polled; here is noted
//! when it must be.

use super::{Link, Signal, Stack, smol};
use crate::io::ErrorKind;
use crate::time::{Duration, Instant};
use core::net::IpAddr;
use smoltcp::iface::MulticastError;

/// How long a host may take to answer a question for groups (RFC 2236 §8.3, RFC 3810 §9.3).
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How often to look meanwhile whether it is time: smoltcp does not say.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// When reports are to be written.
#[derive(Debug, Default)]
pub(super) struct Groups {
    has_changed: bool,
    asked_until: Option<Instant>,
    look_at: Option<Instant>,
}

impl Groups {
    /// Notes that the list has changed.
    pub(super) fn change(&mut self) {
        self.has_changed = true;
    }

    /// Notes that a router asked for groups.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked_until = Some(now + ANSWER_MAX);
        self.look_at.get_or_insert(now + LOOK_INTERVAL);
    }

    /// Returns whether smoltcp is to be polled now.
    fn is_due(&mut self, now: Instant) -> bool {
        let looks = self.look_at.is_some_and(|at| at <= now);
        if looks {
            let goes_on = self.asked_until.is_some_and(|until| now < until);
            self.look_at = goes_on.then(|| now + LOOK_INTERVAL);
        }
        core::mem::take(&mut self.has_changed) || looks
    }
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Writes reports that are due. Returns when to look again.
    pub(super) fn poll_groups(&mut self, now: Instant) -> Option<Instant> {
        if self.groups.is_due(now) {
            self.interface
                .poll_egress(smol(now), &mut self.link, &mut self.nobody);
        }
        self.groups.look_at
    }

    /// Joins a group, so that sockets bound to an unspecified address hear what is sent to it.
    pub(crate) fn join_group(&mut self, group: IpAddr) -> Result<(), ErrorKind> {
        self.interface
            .join_multicast_group(group)
            .map_err(|error| match error {
                MulticastError::GroupTableFull => ErrorKind::OutOfMemory,
                MulticastError::Unaddressable => ErrorKind::InvalidInput,
            })?;
        self.groups.change();
        Ok(())
    }

    /// Leaves a group.
    pub(crate) fn leave_group(&mut self, group: IpAddr) -> Result<(), ErrorKind> {
        if !self.interface.has_multicast_group(group) {
            return Err(ErrorKind::AddrNotAvailable);
        }
        self.interface
            .leave_multicast_group(group)
            .map_err(|_| ErrorKind::InvalidInput)?;
        self.groups.change();
        Ok(())
    }
}
