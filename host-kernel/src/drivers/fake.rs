//! A machine with one PCI bridge and, behind it, one virtio network device, for tests.
//!
//! Registers are plain memory, which suffices for a device that accepts every choice: a feature
//! dword shows the same bits in both halves, and the status reads as it was written.

use super::Platform;
use super::dma::DeviceMemory;
use super::virtqueue::{QUEUE_BYTES, QueueAddresses, fake::FakeQueue};
use std::vec::Vec;

/// Base address of the fake's registers, above 4 GiB.
const REGISTERS: u64 = 0x80_0000_0000;
const DMA: u64 = 0x1_2340_0000;

const DEVICE_FEATURE: usize = 4;
const QUEUE_SIZE: usize = 24;

/// Offset of the notification registers.
pub(crate) const NOTIFICATIONS: usize = 0x1000;
/// Offset of the MSI-X table.
pub(crate) const MSIX_TABLE: usize = 0x3000;

#[derive(Debug)]
pub(crate) struct FakePlatform {
    bridge: [u32; 64],
    device: [u32; 64],
    registers: DeviceMemory,
    dma: Option<DeviceMemory>,
}

impl FakePlatform {
    /// Makes a machine whose device 1041 offers `VERSION_1`, `MAC` and `EVENT_IDX`.
    pub(crate) fn new() -> Self {
        let mut bridge = [0; 64];
        bridge[0] = 0x000c_1b36;
        bridge[3] = 0x0001_0000;
        bridge[6] = 0x0005_0500;
        let mut registers = DeviceMemory::for_test(REGISTERS, 0x4000);
        registers.write_u32(DEVICE_FEATURE, 1 << 29 | 1 << 5 | 1);
        registers.write_u16(QUEUE_SIZE, 16);
        registers.copy_in(0x2000, &[0x52, 0x54, 0, 1, 2, 3]);
        let dma = Some(DeviceMemory::for_test(DMA, super::nic::DMA_BYTES));
        Self {
            bridge,
            device: device_configuration(),
            registers,
            dma,
        }
    }

    /// Returns a second view of the device's registers and of the NIC's memory.
    pub(crate) fn views(&self) -> (DeviceMemory, DeviceMemory) {
        (
            self.registers.device_view(),
            self.dma.as_ref().unwrap().device_view(),
        )
    }

    /// Returns a dword of the device's configuration space.
    pub(crate) fn device(&mut self, offset: usize) -> &mut u32 {
        &mut self.device[offset / 4]
    }

    /// Takes the contiguous memory away.
    pub(crate) fn exhaust_memory(&mut self) {
        self.dma = None;
    }

    fn space(&mut self, address: u32) -> Option<&mut u32> {
        let register = usize::try_from(address >> 2 & 0x3f).unwrap();
        match address >> 8 {
            // 00:02.0 and 05:00.0
            0x80_0010 => Some(&mut self.bridge[register]),
            0x80_0500 => Some(&mut self.device[register]),
            _ => None,
        }
    }
}

/// Capabilities: MSI-X, then common, notification and device structures, all in BAR 4.
fn device_configuration() -> [u32; 64] {
    let mut space = [0; 64];
    space[0] = 0x1041_1af4;
    space[1] = 1 << 20;
    space[8] = 0xc; // BAR 4, 64-bit, prefetchable; its upper half is BAR 5.
    space[9] = 0x80;
    space[0x34 / 4] = 0x40;
    let mut put = |offset: usize, dwords: &[u32]| {
        space[offset / 4..offset / 4 + dwords.len()].copy_from_slice(dwords);
    };
    put(0x40, &[0x0003_5011, 0x3004, 0x3804]);
    put(0x50, &[0x0110_6009, 4, 0, 0x38]);
    put(0x60, &[0x0214_8009, 4, 0x1000, 0x1000, 4]);
    put(0x80, &[0x0410_0009, 4, 0x2000, 0x40]);
    space
}

impl Platform for FakePlatform {
    fn config_read(&mut self, address: u32) -> u32 {
        self.space(address).map_or(u32::MAX, |dword| *dword)
    }

    fn config_write(&mut self, address: u32, value: u32) {
        let dword = self
            .space(address)
            .expect("nobody writes to what is not there");
        // The upper half of the command register is status, which stays.
        let keep = if address & 0xfc == 4 {
            *dword & 0xffff_0000
        } else {
            0
        };
        *dword = value | keep;
    }

    fn map_registers(&mut self, physical: u64, length: usize) -> Option<DeviceMemory> {
        let offset = usize::try_from(physical.checked_sub(REGISTERS)?).ok()?;
        let (_, from) = self.registers.device_view().split_at(offset);
        assert!(
            length <= from.length(),
            "the driver maps no more than there is"
        );
        Some(from)
    }

    fn take_dma(&mut self, length: usize) -> Option<DeviceMemory> {
        self.dma.take().filter(|memory| memory.length() >= length)
    }

    fn apic_id(&self) -> u8 {
        3
    }
}

/// The device's end of the NIC: both queues and the buffers.
#[derive(Debug)]
pub(crate) struct FakeNic {
    pub(crate) receive: FakeQueue,
    pub(crate) transmit: FakeQueue,
    memory: DeviceMemory,
}

impl FakeNic {
    /// Attaches to the NIC's memory, whose second half is for transmission.
    pub(crate) fn new(memory: DeviceMemory, layout: QueueAddresses) -> Self {
        let half = super::nic::DMA_BYTES as u64 / 2;
        let receive = QueueAddresses {
            descriptors: layout.descriptors - half,
            available: layout.available - half,
            used: layout.used - half,
        };
        Self {
            receive: FakeQueue::new(memory.device_view(), receive, 16),
            transmit: FakeQueue::new(memory.device_view(), layout, 16),
            memory,
        }
    }

    /// Fills the next receive buffer; returns whether the driver wants an interrupt.
    pub(crate) fn deliver(&mut self, frame: &[u8]) -> bool {
        let (id, address, length) = self.receive.take().expect("a buffer was posted");
        assert!(frame.len() + 12 <= usize::try_from(length).unwrap());
        let offset = usize::try_from(address - self.memory.physical()).unwrap();
        assert!(offset >= QUEUE_BYTES);
        self.memory.copy_in(offset + 12, frame);
        self.receive
            .finish(u32::from(id), u32::try_from(frame.len() + 12).unwrap())
    }

    /// Sends the next frame; returns it, and whether the driver wants an interrupt.
    pub(crate) fn send(&mut self) -> Option<(Vec<u8>, bool)> {
        let (id, address, length) = self.transmit.take()?;
        let offset = usize::try_from(address - self.memory.physical()).unwrap();
        let mut bytes = std::vec![0; usize::try_from(length).unwrap()];
        self.memory.copy_out(offset, &mut bytes);
        assert_eq!(bytes[..12], [0; 12], "no offloads");
        let interrupt = self.transmit.finish(u32::from(id), 0);
        Some((bytes.split_off(12), interrupt))
    }
}
