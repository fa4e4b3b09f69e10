//! The machine half's host-testable part: logic that needs no bare metal.
//!
//! The kernel binary (`main.rs`) owns the CPU; what it only *computes* lives here, where
//! `cargo test` can run it: boot tables in [`boot_info`], PCI, virtqueues, NIC and disks in
//! [`drivers`], which reach hardware through [`drivers::Platform`], what to do about leaky
//! processors in [`measures`], and how fast the time-stamp counter counts in [`calibration`].

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod boot_info;
pub mod calibration;
pub mod measures;
pub mod vector_state;
pub mod wall_clock;

pub mod drivers {
    //! Device drivers over a small platform trait.

    pub mod disk;
    pub mod dma;
    pub mod nic;
    pub mod pci;
    pub mod virtio;
    pub mod virtqueue;

    #[cfg(test)]
    mod fake;

    use dma::DeviceMemory;

    /// PCI configuration space.
    pub trait Configuration {
        /// Reads the PCI configuration dword that `address` selects (configuration mechanism #1).
        fn config_read(&mut self, address: u32) -> u32;

        /// Writes the PCI configuration dword that `address` selects.
        fn config_write(&mut self, address: u32, value: u32);
    }

    /// What the drivers need of the machine while it boots.
    pub trait Platform: Configuration {
        /// Maps device registers uncached; `None` if the address cannot be mapped.
        fn map_registers(&mut self, physical: u64, length: usize) -> Option<DeviceMemory>;

        /// Gives physically contiguous, zeroed, page-aligned memory for good; `None` if there is
        /// none.
        fn take_dma(&mut self, length: usize) -> Option<DeviceMemory>;

        /// Returns the local APIC id of this CPU, to which devices send their interrupts.
        fn apic_id(&self) -> u8;
    }
}
