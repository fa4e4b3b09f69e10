//! The supervisor's state as the threads of all logins share it.

use crate::supervisor::Supervisor;
use denali_rt::sync::GuestCell;

/// The state and the one upload slot.
#[derive(Debug)]
pub struct Shared {
    supervisor: GuestCell<Supervisor>,
    uploading: GuestCell<bool>,
}

impl Shared {
    /// Shares `supervisor`.
    #[must_use]
    pub const fn new(supervisor: Supervisor) -> Self {
        Self {
            supervisor: GuestCell::new(supervisor),
            uploading: GuestCell::new(false),
        }
    }

    /// Calls `act` with the state; `act` must not wait.
    pub fn with<R>(&self, act: impl FnOnce(&mut Supervisor) -> R) -> R {
        self.supervisor.with(act)
    }

    /// Takes the slot for a package in memory, of which there is one, so that uploads take a
    /// bounded part of the heap. `None` while another login has it.
    pub fn take_upload_slot(&self) -> Option<UploadSlot<'_>> {
        self.uploading
            .with(|uploading| !core::mem::replace(uploading, true))
            .then(|| UploadSlot { shared: self })
    }
}

/// The right to hold a package in memory.
#[derive(Debug)]
pub struct UploadSlot<'a> {
    shared: &'a Shared,
}

impl Drop for UploadSlot<'_> {
    fn drop(&mut self) {
        self.shared.uploading.with(|uploading| *uploading = false);
    }
}
