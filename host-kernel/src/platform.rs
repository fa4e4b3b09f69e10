//! What drivers may have of the machine while it boots: configuration space, device registers and
//! DMA memory.

use crate::arch::paging::{self, BOOT_MAP_END};
use crate::arch::port::{inl, outl};
use crate::arch::{Apic, Paging};
use denali_abi::convert::usize_to_u64;
use host_kernel::boot_info::BootInfo;
use host_kernel::drivers::dma::DeviceMemory;
use host_kernel::drivers::{Configuration, Platform};

const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const PAGE: usize = 4096;

/// Configuration space, by its two ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports;

impl Configuration for Ports {
    fn config_read(&mut self, address: u32) -> u32 {
        outl(CONFIG_ADDRESS, address);
        inl(CONFIG_DATA)
    }

    fn config_write(&mut self, address: u32, value: u32) {
        outl(CONFIG_ADDRESS, address);
        outl(CONFIG_DATA, value);
    }
}

/// The machine while it boots.
#[derive(Debug)]
pub(crate) struct BootPlatform<'a> {
    /// Page tables, to map device registers in.
    pub(crate) paging: &'a mut Paging,
    /// Free memory, to take DMA memory from.
    pub(crate) boot: &'a mut BootInfo,
    /// Whom devices interrupt.
    pub(crate) apic: &'a Apic,
}

impl Configuration for BootPlatform<'_> {
    fn config_read(&mut self, address: u32) -> u32 {
        Ports.config_read(address)
    }

    fn config_write(&mut self, address: u32, value: u32) {
        Ports.config_write(address, value);
    }
}

impl Platform for BootPlatform<'_> {
    fn map_registers(&mut self, physical: u64, length: usize) -> Option<DeviceMemory> {
        self.paging.map_registers(physical, length)
    }

    fn take_dma(&mut self, length: usize) -> Option<DeviceMemory> {
        let length = length.checked_next_multiple_of(PAGE)?;
        // Below 4 GiB, for the sake of devices with 32-bit addresses.
        let taken = self
            .boot
            .take(usize_to_u64(length), usize_to_u64(PAGE), BOOT_MAP_END)?;
        Some(paging::device_memory(taken))
    }

    fn apic_id(&self) -> u8 {
        self.apic.id()
    }
}
