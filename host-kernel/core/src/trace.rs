//! The trace: what happened to VMs and images, as typed events in a fixed ring.
//!
//! The core formats nothing; whoever takes an event may print it.

use crate::machine::Position;
use crate::policy::gatekeeper::Reason;
use crate::time::Time;
use crate::vm::VmId;
use crate::vm::image::ImageId;
use alloc::collections::VecDeque;
use core::fmt;
use denali_abi::end::EndReason;
use denali_abi::registers::NAME_MAX;

/// Events kept until they are taken; older ones are lost first.
pub const TRACE_EVENTS_MAX: usize = 128;

/// A VM's name, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name(pub [u8; NAME_MAX]);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
            .escape_ascii()
            .fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An image was created.
    ImageCreated {
        /// Which.
        image: ImageId,
        /// Pages of contents.
        pages: u32,
    },
    /// An image was freed.
    ImageDestroyed {
        /// Which.
        image: ImageId,
    },
    /// A VM was created.
    VmCreated {
        /// Which.
        vm: VmId,
        /// Its name.
        name: Name,
        /// What it runs.
        image: ImageId,
        /// Its memory limit in pages.
        pages: u32,
    },
    /// The gatekeeper lets a VM wait.
    VmWaits {
        /// Why.
        reason: Reason,
        /// Which.
        vm: VmId,
    },
    /// The gatekeeper admitted a VM that had waited.
    VmAdmitted {
        /// Which.
        vm: VmId,
    },
    /// A VM ended.
    VmEnded {
        /// Which.
        vm: VmId,
        /// Its name.
        name: Name,
        /// Why.
        reason: EndReason,
        /// The reason's detail.
        detail: u64,
        /// Where it was.
        position: Position,
    },
    /// The supervisor destroyed an ended VM.
    VmDestroyed {
        /// Which.
        vm: VmId,
    },
    /// The supervisor ended and begins anew.
    SupervisorRestarts {
        /// Its new VM.
        vm: VmId,
        /// When it begins.
        at: Time,
    },
}

impl Event {
    /// Returns whether this is something an operator should look at.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        match self {
            Self::VmEnded { reason, .. } => {
                !matches!(reason, EndReason::Terminated | EndReason::Stopped)
            }
            Self::SupervisorRestarts { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ImageCreated { image, pages } => {
                write!(f, "image {image} created: {pages} pages")
            }
            Self::ImageDestroyed { image } => write!(f, "image {image} destroyed"),
            Self::VmCreated {
                vm,
                name,
                image,
                pages,
            } => {
                write!(
                    f,
                    "vm {vm} ({name}) created from image {image}: at most {pages} pages"
                )
            }
            Self::VmWaits { vm, reason } => match reason {
                Reason::Memory => write!(f, "vm {vm} waits for memory"),
                Reason::Faults => write!(f, "vm {vm} waits until others fault less"),
            },
            Self::VmAdmitted { vm } => write!(f, "vm {vm} admitted"),
            Self::VmEnded {
                vm,
                name,
                reason,
                detail,
                position,
            } => {
                let Position { rip, rsp } = position;
                let reason = reason.name();
                write!(
                    f,
                    "vm {vm} ({name}) ended: {reason} {detail:#x}, rip {rip:#x}, rsp {rsp:#x}"
                )
            }
            Self::VmDestroyed { vm } => write!(f, "vm {vm} destroyed"),
            Self::SupervisorRestarts { vm, at } => {
                write!(
                    f,
                    "supervisor restarts as vm {vm} at {} ms",
                    at.as_ns() / 1_000_000
                )
            }
        }
    }
}

/// The ring.
#[derive(Debug)]
pub struct Trace {
    events: VecDeque<Event>,
    lost: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            events: VecDeque::with_capacity(TRACE_EVENTS_MAX),
            lost: 0,
        }
    }
}

impl Trace {
    /// Records `event`.
    pub fn record(&mut self, event: Event) {
        if self.events.len() == TRACE_EVENTS_MAX {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back(event);
    }

    /// Takes the oldest event.
    pub fn take(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns whether there is no event to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns how many events were lost because nobody took them.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_oldest_events_are_lost_first() {
        let mut trace = Trace::default();
        let vms: std::vec::Vec<_> = (1..=TRACE_EVENTS_MAX as u64 + 2)
            .filter_map(VmId::from_raw)
            .map(|vm| Event::VmDestroyed { vm })
            .collect();
        for event in &vms {
            trace.record(*event);
        }
        assert_eq!(trace.take(), Some(vms[2]));
        assert_eq!(trace.lost(), 2);
    }

    #[test]
    fn names_cannot_forge_log_lines() {
        let mut name = [0; NAME_MAX];
        name[..4].copy_from_slice(b"a\nb\x1b");
        assert_eq!(Name(name).to_string(), "a\\nb\\x1b");
    }
}
