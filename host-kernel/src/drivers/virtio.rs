//! The virtio transport over modern PCI (virtio 1.2 §4.1).
//!
//! Finds a device's register structures, negotiates features, and connects queues and interrupts.

use super::Platform;
use super::dma::DeviceMemory;
use super::pci::{Function, PciError};
use super::virtqueue::{Notify, QueueAddresses};
use denali_abi::convert::u32_to_usize;

/// `VIRTIO_F_INDIRECT_DESC`: a descriptor may stand for a table of descriptors.
pub const FEATURE_INDIRECT_DESCRIPTORS: u64 = 1 << 28;
/// `VIRTIO_F_EVENT_IDX`.
pub const FEATURE_EVENT_INDEX: u64 = 1 << 29;
/// `VIRTIO_F_VERSION_1`: not the legacy interface.
pub const FEATURE_VERSION_1: u64 = 1 << 32;
/// `VIRTIO_F_ACCESS_PLATFORM`: the device sits behind the platform's IOMMU, which is left in
/// its state of identity.
pub const FEATURE_ACCESS_PLATFORM: u64 = 1 << 33;

const CAPABILITY_VENDOR: u8 = 0x09;

// `cfg_type` of the structures (§4.1.4).
const COMMON: u8 = 1;
const NOTIFICATIONS: u8 = 2;
const DEVICE: u8 = 4;

// `virtio_pci_common_cfg` (§4.1.4.3).
const DEVICE_FEATURE_SELECT: usize = 0;
const DEVICE_FEATURE: usize = 4;
const DRIVER_FEATURE_SELECT: usize = 8;
const DRIVER_FEATURE: usize = 12;
const CONFIG_MSIX_VECTOR: usize = 16;
const DEVICE_STATUS: usize = 20;
const QUEUE_SELECT: usize = 22;
const QUEUE_SIZE: usize = 24;
const QUEUE_MSIX_VECTOR: usize = 26;
const QUEUE_ENABLE: usize = 28;
const QUEUE_NOTIFY_OFFSET: usize = 30;
const QUEUE_DESCRIPTORS: usize = 32;
const QUEUE_AVAILABLE: usize = 40;
const QUEUE_USED: usize = 48;
const COMMON_BYTES: u32 = 56;

const MSIX_NO_VECTOR: u16 = 0xffff;

// Device status (§2.1).
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const FAILED: u8 = 128;

/// Most reads of the status while a reset takes place; QEMU needs one.
const RESET_READS_MAX: u32 = 100_000;

/// Why a virtio device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtioError {
    /// Something at the level of PCI.
    Pci(PciError),
    /// A register structure is missing or too small.
    NoStructure(&'static str),
    /// The device does not complete a reset.
    ResetTimeout,
    /// The device does not offer these features.
    FeaturesMissing(u64),
    /// The device refused features it had offered.
    FeaturesRefused(u64),
    /// A queue does not exist, or its interrupt was refused.
    Queue(u16),
}

impl From<PciError> for VirtioError {
    fn from(error: PciError) -> Self {
        Self::Pci(error)
    }
}

impl core::fmt::Display for VirtioError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Pci(error) => error.fmt(f),
            Self::NoStructure(name) => {
                write!(
                    f,
                    "no {name} structure: the device lacks the modern virtio interface"
                )
            }
            Self::ResetTimeout => f.write_str("the device does not complete a reset"),
            Self::FeaturesMissing(bits) => write!(f, "the device lacks features {bits:#x}"),
            Self::FeaturesRefused(bits) => write!(f, "the device refused features {bits:#x}"),
            Self::Queue(index) => write!(f, "queue {index} is missing or has no interrupt"),
        }
    }
}

/// The registers of one virtio device.
#[derive(Debug)]
pub struct Transport {
    common: DeviceMemory,
    notifications: DeviceMemory,
    notify_multiplier: u32,
    device: DeviceMemory,
}

impl Transport {
    /// Maps the registers of `function` and lets it be a bus master; the device is reset.
    ///
    /// # Errors
    ///
    /// A [`VirtioError`] if a structure is missing or the device does not reset.
    pub fn open(function: Function, platform: &mut dyn Platform) -> Result<Self, VirtioError> {
        function.enable(platform);
        let common = structure(function, platform, COMMON)?
            .ok_or(VirtioError::NoStructure("common configuration"))?;
        let notifications = structure(function, platform, NOTIFICATIONS)?
            .ok_or(VirtioError::NoStructure("notification"))?;
        let device = structure(function, platform, DEVICE)?
            .ok_or(VirtioError::NoStructure("device configuration"))?;
        if common.registers.length() < u32_to_usize(COMMON_BYTES) {
            return Err(VirtioError::NoStructure("common configuration"));
        }
        let multiplier = notifications.capability.saturating_add(16);
        let mut transport = Self {
            common: common.registers,
            notify_multiplier: function.read(platform, multiplier),
            notifications: notifications.registers,
            device: device.registers,
        };
        transport.reset()?;
        Ok(transport)
    }

    /// Resets the device: it forgets queues and features and touches memory no more.
    ///
    /// # Errors
    ///
    /// [`VirtioError::ResetTimeout`] if it does not say that it is done.
    pub fn reset(&mut self) -> Result<(), VirtioError> {
        self.common.write_u8(DEVICE_STATUS, 0);
        // §4.1.4.3.2 demands the wait; it is bounded and happens at start and after failures only.
        let done = (0..RESET_READS_MAX).any(|_| self.common.read_u8(DEVICE_STATUS) == 0);
        if done {
            Ok(())
        } else {
            Err(VirtioError::ResetTimeout)
        }
    }

    /// Returns the features that the device offers.
    pub fn offered(&mut self) -> u64 {
        self.common.write_u32(DEVICE_FEATURE_SELECT, 0);
        let low = self.common.read_u32(DEVICE_FEATURE);
        self.common.write_u32(DEVICE_FEATURE_SELECT, 1);
        let high = self.common.read_u32(DEVICE_FEATURE);
        u64::from(high) << 32 | u64::from(low)
    }

    /// Negotiates `required` and what the device offers of `optional`; returns what is agreed.
    ///
    /// # Errors
    ///
    /// A [`VirtioError`] if a required feature is missing or the device refuses the choice.
    pub fn negotiate(&mut self, required: u64, optional: u64) -> Result<u64, VirtioError> {
        self.add_status(ACKNOWLEDGE);
        self.add_status(DRIVER);
        let offered = self.offered();
        let missing = required & !offered;
        if missing != 0 {
            return Err(VirtioError::FeaturesMissing(missing));
        }
        let chosen = offered & (required | optional);
        let [a, b, c, d, e, f, g, h] = chosen.to_le_bytes();
        self.common.write_u32(DRIVER_FEATURE_SELECT, 0);
        self.common
            .write_u32(DRIVER_FEATURE, u32::from_le_bytes([a, b, c, d]));
        self.common.write_u32(DRIVER_FEATURE_SELECT, 1);
        self.common
            .write_u32(DRIVER_FEATURE, u32::from_le_bytes([e, f, g, h]));
        self.add_status(FEATURES_OK);
        if self.common.read_u8(DEVICE_STATUS) & FEATURES_OK == 0 {
            return Err(VirtioError::FeaturesRefused(chosen));
        }
        self.common.write_u16(CONFIG_MSIX_VECTOR, MSIX_NO_VECTOR);
        Ok(chosen)
    }

    /// Returns the largest size the device allows for queue `index`; 0 if there is no such queue.
    pub fn queue_size_max(&mut self, index: u16) -> u16 {
        self.common.write_u16(QUEUE_SELECT, index);
        self.common.read_u16(QUEUE_SIZE)
    }

    /// Connects queue `index`, whose completions come as MSI-X message `message`, and returns where
    /// to notify it.
    ///
    /// # Errors
    ///
    /// [`VirtioError::Queue`] if the device has no such queue or refuses the message.
    pub fn connect(
        &mut self,
        index: u16,
        size: u16,
        addresses: QueueAddresses,
        message: u16,
    ) -> Result<Doorbell, VirtioError> {
        self.common.write_u16(QUEUE_SELECT, index);
        self.common.write_u16(QUEUE_SIZE, size);
        self.common.write_u16(QUEUE_MSIX_VECTOR, message);
        if self.common.read_u16(QUEUE_MSIX_VECTOR) != message {
            return Err(VirtioError::Queue(index));
        }
        self.common
            .write_u64(QUEUE_DESCRIPTORS, addresses.descriptors);
        self.common.write_u64(QUEUE_AVAILABLE, addresses.available);
        self.common.write_u64(QUEUE_USED, addresses.used);
        let unit = usize::from(self.common.read_u16(QUEUE_NOTIFY_OFFSET));
        let offset = unit.saturating_mul(u32_to_usize(self.notify_multiplier));
        if offset % 2 != 0 || offset.saturating_add(2) > self.notifications.length() {
            return Err(VirtioError::Queue(index));
        }
        self.common.write_u16(QUEUE_ENABLE, 1);
        Ok(Doorbell { offset, index })
    }

    /// Tells the device that the driver is ready: it works from now on.
    pub fn start(&mut self) {
        self.add_status(DRIVER_OK);
    }

    /// Tells the device that the driver gave up.
    pub fn fail(&mut self) {
        self.add_status(FAILED);
    }

    /// Notifies a queue if its device asked for it.
    pub fn ring(&mut self, doorbell: Doorbell, notify: Notify) {
        if notify == Notify::Needed {
            self.notifications
                .write_u16(doorbell.offset, doorbell.index);
        }
    }

    /// Returns the device's own configuration registers.
    #[must_use]
    pub const fn configuration(&self) -> &DeviceMemory {
        &self.device
    }

    fn add_status(&mut self, bit: u8) {
        let status = self.common.read_u8(DEVICE_STATUS);
        self.common.write_u8(DEVICE_STATUS, status | bit);
    }
}

/// Where to notify one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doorbell {
    offset: usize,
    index: u16,
}

struct Structure {
    capability: u8,
    registers: DeviceMemory,
}

/// Maps the first structure of type `kind` in memory (§4.1.4: earlier ones are preferred).
fn structure(
    function: Function,
    platform: &mut dyn Platform,
    kind: u8,
) -> Result<Option<Structure>, VirtioError> {
    const STRUCTURES_MAX: usize = 16;
    let mut capability = 0;
    for _ in 0..STRUCTURES_MAX {
        let Some(next) = function.next_capability(platform, CAPABILITY_VENDOR, capability) else {
            break;
        };
        capability = next;
        let [.., found] = function.read(platform, capability).to_le_bytes();
        let [bar, ..] = function
            .read(platform, capability.saturating_add(4))
            .to_le_bytes();
        // BAR numbers above 5 are reserved and to be ignored (§4.1.4.1).
        if found != kind || bar > 5 {
            continue;
        }
        let offset = function.read(platform, capability.saturating_add(8));
        let length = function.read(platform, capability.saturating_add(12));
        let length = length.min(STRUCTURE_BYTES_MAX);
        let registers = function.map(platform, bar, offset, length)?;
        return Ok(Some(Structure {
            capability,
            registers,
        }));
    }
    Ok(None)
}

/// Most of a structure that is mapped: QEMU's notification structure is the largest, at 4 MiB for
/// its 1,024 queues, of which the first pages suffice.
const STRUCTURE_BYTES_MAX: u32 = 64 * 1024;
