//! PCI: configuration space, functions, capabilities, MSI-X.
//!
//! Uses configuration mechanism #1, which every PC chipset offers, and trusts the firmware's
//! assignment of bus numbers and base addresses (PCI Local Bus Specification 3.0, chapters 3, 6).

use super::dma::DeviceMemory;
use super::{Configuration, Platform};
use denali_abi::convert::usize_to_u64;
use heapless::Vec;

const VENDOR_NONE: u16 = 0xffff;

// Registers of configuration space.
const ID: u8 = 0x00;
const COMMAND: u8 = 0x04;
const HEADER_TYPE: u8 = 0x0c;
const BASE_ADDRESSES: u8 = 0x10;
const BUS_NUMBERS: u8 = 0x18;
const CAPABILITIES: u8 = 0x34;

const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_BUS_MASTER: u32 = 1 << 2;
const COMMAND_INTX_DISABLE: u32 = 1 << 10;
const STATUS_CAPABILITIES: u32 = 1 << 20;

const HEADER_MULTI_FUNCTION: u32 = 1 << 23;
const HEADER_BRIDGE: u32 = 1;

const CAPABILITY_MSIX: u8 = 0x11;

/// Most capabilities that fit behind the header; a longer list is a loop.
const CAPABILITIES_MAX: usize = 48;

const PAGE: u64 = 4096;

/// One function of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    bus: u8,
    device: u8,
    function: u8,
}

impl core::fmt::Display for Function {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// A vendor and device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
}

/// Why a function cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciError {
    /// A base address register is not a memory address, or the firmware left it empty.
    BaseAddress(u8),
    /// Registers cannot be mapped.
    Unmappable {
        /// Physical address.
        address: u64,
    },
    /// The function has no MSI-X, or too few vectors.
    NoMsix,
}

impl core::fmt::Display for PciError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::BaseAddress(index) => write!(f, "the firmware assigned no memory to BAR {index}"),
            Self::Unmappable { address } => write!(f, "registers at {address:#x} cannot be mapped"),
            Self::NoMsix => f.write_str("the device offers too few MSI-X vectors"),
        }
    }
}

/// Returns the first function, in order of bus, whose ids `wanted` accepts.
pub fn find(platform: &mut dyn Platform, wanted: impl Fn(DeviceId) -> bool) -> Option<Function> {
    find_all::<1>(platform, wanted).first().copied()
}

/// Returns the first `N` functions, in order of bus, device and function, whose ids `wanted`
/// accepts.
pub fn find_all<const N: usize>(
    platform: &mut dyn Platform,
    wanted: impl Fn(DeviceId) -> bool,
) -> Vec<Function, N> {
    let mut all = Vec::new();
    // Firmware numbers a bridge's secondary bus above its primary: one pass finds all.
    let mut reachable = [false; 256];
    reachable[0] = true;
    for bus in 0..=u8::MAX {
        if !reachable[usize::from(bus)] {
            continue;
        }
        for device in 0..32 {
            let first = Function {
                bus,
                device,
                function: 0,
            };
            if first.id(platform).vendor == VENDOR_NONE {
                continue;
            }
            let multi = first.read(platform, HEADER_TYPE) & HEADER_MULTI_FUNCTION != 0;
            for function in 0..if multi { 8 } else { 1 } {
                let found = Function { function, ..first };
                let id = found.id(platform);
                if id.vendor == VENDOR_NONE {
                    continue;
                }
                if wanted(id) && all.push(found).is_ok() && all.is_full() {
                    return all;
                }
                if let Some(secondary) = found.secondary_bus(platform) {
                    reachable[usize::from(secondary)] = true;
                }
            }
        }
    }
    all
}

impl Function {
    /// Returns the vendor and device id.
    pub fn id(self, platform: &mut dyn Configuration) -> DeviceId {
        let [v0, v1, d0, d1] = self.read(platform, ID).to_le_bytes();
        DeviceId {
            vendor: u16::from_le_bytes([v0, v1]),
            device: u16::from_le_bytes([d0, d1]),
        }
    }

    /// Returns the configuration dword at `offset`, rounded down to a multiple of 4.
    pub fn read(self, platform: &mut dyn Configuration, offset: u8) -> u32 {
        platform.config_read(self.address(offset))
    }

    fn write(self, platform: &mut dyn Configuration, offset: u8, value: u32) {
        platform.config_write(self.address(offset), value);
    }

    fn address(self, offset: u8) -> u32 {
        1 << 31
            | u32::from(self.bus) << 16
            | u32::from(self.device) << 11
            | u32::from(self.function) << 8
            | u32::from(offset & !3)
    }

    /// Returns the bus behind this function, if it is a bridge.
    fn secondary_bus(self, platform: &mut dyn Configuration) -> Option<u8> {
        let kind = self.read(platform, HEADER_TYPE) >> 16 & 0x7f;
        let [_, secondary, ..] = self.read(platform, BUS_NUMBERS).to_le_bytes();
        (kind == HEADER_BRIDGE && secondary != 0).then_some(secondary)
    }

    /// Lets the function decode its memory and be a bus master, without line interrupts.
    pub fn enable(self, platform: &mut dyn Configuration) {
        // The upper half is status, where ones clear.
        let command = self.read(platform, COMMAND) & 0xffff;
        let wanted = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;
        self.write(platform, COMMAND, command | wanted);
    }

    /// Keeps the function from memory for good: whatever it means to do, it is not bus master.
    pub fn take_bus(self, platform: &mut dyn Configuration) {
        let command = self.read(platform, COMMAND) & 0xffff;
        self.write(platform, COMMAND, command & !COMMAND_BUS_MASTER);
    }

    /// Returns the memory address in base address register `index`.
    ///
    /// # Errors
    ///
    /// [`PciError::BaseAddress`] if it is an I/O address, empty, or does not exist.
    pub fn base_address(self, platform: &mut dyn Platform, index: u8) -> Result<u64, PciError> {
        let error = PciError::BaseAddress(index);
        if index > 5 {
            return Err(error);
        }
        let low = self.read(platform, BASE_ADDRESSES + 4 * index);
        let is_io = low & 1 != 0;
        let high = match low >> 1 & 3 {
            0 => 0,
            2 if index < 5 => self.read(platform, BASE_ADDRESSES + 4 * index + 4),
            _ => return Err(error),
        };
        let address = u64::from(high) << 32 | u64::from(low & !0xf);
        if is_io || address == 0 {
            Err(error)
        } else {
            Ok(address)
        }
    }

    /// Maps `length` bytes at `offset` into the memory of base address register `index`.
    ///
    /// # Errors
    ///
    /// A [`PciError`] if there is no such memory or it cannot be mapped.
    pub fn map(
        self,
        platform: &mut dyn Platform,
        index: u8,
        offset: u32,
        length: u32,
    ) -> Result<DeviceMemory, PciError> {
        let base = self.base_address(platform, index)?;
        let unmappable = PciError::Unmappable { address: base };
        let start = base.checked_add(u64::from(offset)).ok_or(unmappable)?;
        let end = start.checked_add(u64::from(length)).ok_or(unmappable)?;
        let page = start & !(PAGE - 1);
        let end = end.checked_next_multiple_of(PAGE).ok_or(unmappable)?;
        let pages = usize::try_from(end - page).map_err(|_| unmappable)?;
        let mapped = platform.map_registers(page, pages).ok_or(unmappable)?;
        if start % 8 != 0 || usize_to_u64(mapped.length()) < end - page {
            return Err(unmappable);
        }
        let (_, structure) =
            mapped.split_at(usize::try_from(start - page).map_err(|_| unmappable)?);
        Ok(structure)
    }

    /// Returns the offset of the first capability, from `after` on, whose id is `id`; `after` is 0
    /// or a capability returned before.
    pub fn next_capability(self, platform: &mut dyn Platform, id: u8, after: u8) -> Option<u8> {
        if self.read(platform, COMMAND) & STATUS_CAPABILITIES == 0 {
            return None;
        }
        let next = |platform: &mut dyn Platform, register: u8, byte: usize| {
            self.read(platform, register).to_le_bytes()[byte] & !3
        };
        let mut capability = match after {
            0 => next(platform, CAPABILITIES, 0),
            _ => next(platform, after, 1),
        };
        for _ in 0..CAPABILITIES_MAX {
            if capability == 0 {
                return None;
            }
            let [found, ..] = self.read(platform, capability).to_le_bytes();
            if found == id {
                return Some(capability);
            }
            capability = next(platform, capability, 1);
        }
        None
    }

    /// Sends MSI-X message `n` of the function to this CPU as `vectors[n]`, and switches MSI-X on.
    ///
    /// # Errors
    ///
    /// A [`PciError`] if there are fewer messages, or the table cannot be mapped.
    pub fn enable_msix(self, platform: &mut dyn Platform, vectors: &[u8]) -> Result<(), PciError> {
        const ENABLE: u32 = 1 << 31;
        const FUNCTION_MASK: u32 = 1 << 30;
        const ENTRY_BYTES: u32 = 16;
        let capability = self
            .next_capability(platform, CAPABILITY_MSIX, 0)
            .ok_or(PciError::NoMsix)?;
        let control = self.read(platform, capability);
        let entries = (control >> 16 & 0x7ff) + 1;
        if usize::try_from(entries).is_ok_and(|entries| entries < vectors.len()) {
            return Err(PciError::NoMsix);
        }
        let location = self.read(platform, capability.saturating_add(4));
        let [bar, ..] = (location & 7).to_le_bytes();
        let mut table = self.map(platform, bar, location & !7, entries * ENTRY_BYTES)?;
        self.write(platform, capability, control | ENABLE | FUNCTION_MASK);
        // SDM vol. 3A §11.11: fixed delivery, physical destination, edge.
        let target = 0xfee0_0000 | u32::from(platform.apic_id()) << 12;
        for (entry, &vector) in vectors.iter().enumerate() {
            let entry = 16 * entry;
            table.write_u32(entry, target);
            table.write_u32(entry + 4, 0);
            table.write_u32(entry + 8, u32::from(vector));
            table.write_u32(entry + 12, 0);
        }
        self.write(platform, capability, (control | ENABLE) & !FUNCTION_MASK);
        Ok(())
    }
}
