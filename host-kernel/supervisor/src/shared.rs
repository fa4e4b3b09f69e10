//! The supervisor's state as the threads of all logins share it.

use crate::keeper::Keeper;
use crate::supervisor::Supervisor;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use denali_rt::sync::{GuestCell, Mutex};
use denali_rt::thread;

/// How long to wait before asking for the upload slot again.
const SLOT_PAUSE: Duration = Duration::from_millis(100);

/// The state and the one upload slot.
#[derive(Debug)]
pub struct Shared {
    supervisor: GuestCell<Supervisor>,
    uploading: GuestCell<bool>,
    keeper: Option<Mutex<Keeper>>,
    restoring: AtomicU32,
}

impl Shared {
    /// Shares `supervisor`.
    #[must_use]
    pub const fn new(supervisor: Supervisor) -> Self {
        Self {
            supervisor: GuestCell::new(supervisor),
            uploading: GuestCell::new(false),
            keeper: None,
            restoring: AtomicU32::new(0),
        }
    }

    /// Keeps deployments from now on.
    #[must_use]
    pub fn keeping(self, keeper: Keeper) -> Self {
        Self {
            keeper: Some(Mutex::new(keeper)),
            ..self
        }
    }

    /// Returns the keeper, on a host that keeps deployments. It works on a disk: waiting for it, or
    /// with it, is no matter of an instant.
    pub const fn keeper(&self) -> Option<&Mutex<Keeper>> {
        self.keeper.as_ref()
    }

    /// Returns how many services are still to come back after a boot.
    pub fn restoring(&self) -> u32 {
        self.restoring.load(Ordering::Relaxed)
    }

    /// Says how many services are still to come back.
    pub fn set_restoring(&self, services: u32) {
        self.restoring.store(services, Ordering::Relaxed);
    }

    /// Waits for the slot that [`take_upload_slot`](Self::take_upload_slot) takes.
    pub fn wait_for_upload_slot(&self) -> UploadSlot<'_> {
        loop {
            if let Some(slot) = self.take_upload_slot() {
                return slot;
            }
            thread::sleep(SLOT_PAUSE);
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
