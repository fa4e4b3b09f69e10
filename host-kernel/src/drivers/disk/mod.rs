//! The disks of the machine: virtio block devices (virtio 1.2 §5.2), in the order of their addresses.
//!
//! Requests go to a device in batches ([`Disks::flush`]), many under way at a time, done in any
//! order. An interrupt only leaves a note; [`Disks::completion`] then takes what is done. Frames of
//! the core are given to the device as they are, nothing is copied.
//!
//! A device that breaks the protocol, or does not answer for [`TIMEOUT_NS`], is reset and set up
//! anew, a limited number of times; what was under way fails. A request completes only once the
//! device can no longer reach its frames: if the reset fails, too, the function loses the bus.

mod device;

use super::Configuration;
use super::Platform;
use super::pci;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use denali_kernel_core::machine::{DiskCompletion, DiskError, DiskFull, DiskInfo, DiskRequest};
use denali_kernel_core::time::Time;
use device::{Device, Submission};

/// Most disks that are used; further ones are not looked at.
pub const DISKS_MAX: usize = 8;

/// Most requests under way on one disk.
pub const DISK_REQUESTS_MAX: u16 = 128;

/// How long a request may take, in nanoseconds, before its device counts as hung: a disk of a cloud
/// that moves house takes seconds, Linux waits 30 s.
pub const TIMEOUT_NS: u64 = 30_000_000_000;

/// Most completions that wait to be taken, of requests that no device has any more.
const READY_MAX: usize = 2 * DISK_REQUESTS_MAX as usize;

/// All disks.
#[derive(Debug, Default)]
pub struct Disks {
    devices: Vec<Device>,
    infos: Vec<DiskInfo>,
    /// Ends of requests that were refused, or lost with a reset.
    ready: VecDeque<DiskCompletion>,
}

impl Disks {
    /// Finds the virtio block devices and starts them; disk `n` interrupts as `vectors[n]`. What
    /// cannot be used is logged and left out.
    pub fn probe(platform: &mut dyn Platform, vectors: &[u8]) -> Self {
        let mut disks = Self::default();
        let functions = pci::find_all::<DISKS_MAX>(platform, device::is_disk);
        for (function, &vector) in functions.into_iter().zip(vectors) {
            let room = READY_MAX + usize::from(DISK_REQUESTS_MAX);
            if disks.ready.try_reserve(room).is_err() {
                log::error!("disk at {function} is not used: no memory");
                break;
            }
            match Device::open(platform, function, vector) {
                Ok(device) => {
                    log::info!("disk {}: {device}", disks.devices.len());
                    disks.infos.push(device.info());
                    disks.devices.push(device);
                }
                Err(error) => log::error!("disk at {function} is not used: {error}"),
            }
        }
        disks
    }

    /// Returns what the disks are.
    #[must_use]
    pub fn infos(&self) -> &[DiskInfo] {
        &self.infos
    }

    /// Queues a request; [`flush`](Self::flush) shows it to the device.
    ///
    /// # Errors
    ///
    /// [`DiskFull`] if there is no room; an event follows.
    pub fn submit(&mut self, request: &DiskRequest<'_>, now: Time) -> Result<(), DiskFull> {
        if self.ready.len() >= READY_MAX {
            return Err(DiskFull);
        }
        let disk = usize::from(request.disk);
        let submission = match request.check(self.infos.get(disk)) {
            Err(error) => Submission::Done(Err(error)),
            Ok(()) => match self.devices.get_mut(disk) {
                Some(device) => device.submit(request, now)?,
                None => Submission::Done(Err(DiskError::OutOfRange)),
            },
        };
        if let Submission::Done(result) = submission {
            let tag = request.tag;
            self.ready.push_back(DiskCompletion { tag, result });
        }
        Ok(())
    }

    /// Shows the devices all queued requests, with at most one notification each.
    pub fn flush(&mut self) {
        for device in &mut self.devices {
            device.flush();
        }
    }

    /// Takes note of the interrupt of a disk; [`completion`](Self::completion) does the work.
    pub fn interrupt(&mut self, disk: usize) {
        if let Some(device) = self.devices.get_mut(disk) {
            device.interrupt();
        }
    }

    /// Finds what devices and drivers may have missed of each other: see [`Virtqueue::look_again`].
    ///
    /// [`Virtqueue::look_again`]: super::virtqueue::Virtqueue::look_again
    pub fn look_again(&mut self) {
        for device in &mut self.devices {
            device.look_again();
        }
    }

    /// Returns whether there may be completions to take.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.ready.is_empty() || self.devices.iter().any(Device::has_event)
    }

    /// Takes the next completion. After `None` the next one interrupts.
    pub fn completion(&mut self, ports: &mut dyn Configuration) -> Option<DiskCompletion> {
        for device in self.devices.iter_mut().filter(|device| device.has_event()) {
            match device.completion() {
                Ok(Some(completion)) => return Some(completion),
                Ok(None) => {}
                Err(violation) => {
                    log::error!("{violation}");
                    device.abort(DiskError::Broken, ports, &mut self.ready);
                }
            }
        }
        self.ready.pop_front()
    }

    /// Returns when to call [`expire`](Self::expire): when the oldest request has taken too long.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.devices.iter().filter_map(Device::deadline).min()
    }

    /// Resets devices that have not answered in time; all their requests fail.
    pub fn expire(&mut self, now: Time, ports: &mut dyn Configuration) {
        for device in &mut self.devices {
            if device.is_hung(now) {
                log::error!(
                    "a request took longer than {} s",
                    TIMEOUT_NS / 1_000_000_000
                );
                device.abort(DiskError::Timeout, ports, &mut self.ready);
            }
        }
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use device::DMA_BYTES;
