//! The supervisor's state as the threads of all logins share it.

use crate::access::Access;
use crate::health::probe::{Network, Probe};
use crate::keeper::Keeper;
use crate::script::Scripts;
use crate::supervisor::Supervisor;
use alloc::boxed::Box;
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
    probe: Box<dyn Probe + Send + Sync>,
    scripts: Mutex<Scripts>,
    access: Mutex<Access>,
}

impl Shared {
    /// Shares `supervisor`.
    #[must_use]
    pub fn new(supervisor: Supervisor) -> Self {
        let access = Access::new(supervisor.settings());
        Self {
            access: Mutex::new(access),
            supervisor: GuestCell::new(supervisor),
            uploading: GuestCell::new(false),
            keeper: None,
            restoring: AtomicU32::new(0),
            probe: Box::new(Network),
            scripts: Mutex::new(Scripts::default()),
        }
    }

    /// Keeps deployments from now on.
    #[must_use]
    pub fn keeping(self, keeper: Keeper) -> Self {
        self.scripts.lock().load(&keeper);
        self.access.lock().load(&keeper);
        self.with(|supervisor| supervisor.load_words(keeper.words()));
        Self {
            keeper: Some(Mutex::new(keeper)),
            ..self
        }
    }

    /// Asks services by `probe` how they are.
    #[must_use]
    pub fn asking(self, probe: Box<dyn Probe + Send + Sync>) -> Self {
        Self { probe, ..self }
    }

    /// Returns what asks services how they are.
    pub fn probe(&self) -> &dyn Probe {
        &*self.probe
    }

    /// Returns the keeper, on a host that keeps deployments. It works on a disk: waiting for it, or
    /// with it, is no matter of an instant.
    pub const fn keeper(&self) -> Option<&Mutex<Keeper>> {
        self.keeper.as_ref()
    }

    /// Returns who may log in, and what they may do.
    pub const fn access(&self) -> &Mutex<Access> {
        &self.access
    }

    /// Returns the scripts that are kept.
    pub const fn scripts(&self) -> &Mutex<Scripts> {
        &self.scripts
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
