//! A machine with one PCI bridge and, behind it, virtio devices, for tests.
//!
//! Registers are plain memory, which suffices for a device that accepts every choice: a feature
//! dword shows the same bits in both halves, and the status reads as it was written.

use super::dma::DeviceMemory;
use super::virtqueue::{QUEUE_BYTES, QueueAddresses, fake::FakeQueue};
use super::{Configuration, Platform};
use std::collections::VecDeque;
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

/// Bytes of one device's registers.
const REGISTERS_BYTES: usize = 0x4000;

/// Number of the device of a virtio network card, and of a disk.
const NIC: u32 = 0x1041;
const DISK: u32 = 0x1042;

/// Features in both halves of the register: version 1, and event index.
const FEATURES: u32 = 1 << 29 | 1;

/// One device: what it shows to the bus.
#[derive(Debug)]
struct FakeDevice {
    configuration: [u32; 64],
    registers: DeviceMemory,
}

#[derive(Debug)]
pub(crate) struct FakePlatform {
    bridge: [u32; 64],
    devices: Vec<FakeDevice>,
    dma: VecDeque<DeviceMemory>,
}

impl FakePlatform {
    /// Makes a machine whose device 1041 offers `VERSION_1`, `MAC` and `EVENT_IDX`.
    pub(crate) fn new() -> Self {
        let mut platform = Self::with(&[NIC], super::nic::DMA_BYTES);
        let registers = &mut platform.devices[0].registers;
        registers.write_u32(DEVICE_FEATURE, FEATURES | 1 << 5);
        registers.write_u16(QUEUE_SIZE, 16);
        registers.copy_in(0x2000, &[0x52, 0x54, 0, 1, 2, 3]);
        platform
    }

    /// Makes a machine with disks of so many sectors, which offer features `features`, too.
    pub(crate) fn with_disks(sectors: &[u64], features: u32) -> Self {
        let kinds = std::vec![DISK; sectors.len()];
        let mut platform = Self::with(&kinds, super::disk::DMA_BYTES);
        for (device, &sectors) in platform.devices.iter_mut().zip(sectors) {
            let registers = &mut device.registers;
            registers.write_u32(DEVICE_FEATURE, FEATURES | 1 << 28 | features);
            registers.write_u16(QUEUE_SIZE, 256);
            registers.write_u64(0x2000, sectors);
            registers.write_u32(0x200c, 254);
            registers.write_u32(0x2014, 512);
        }
        platform
    }

    fn with(kinds: &[u32], dma_bytes: usize) -> Self {
        let mut bridge = [0; 64];
        bridge[0] = 0x000c_1b36;
        bridge[3] = 0x0001_0000;
        bridge[6] = 0x0005_0500;
        let device = |(nth, &kind): (u64, &u32)| FakeDevice {
            configuration: device_configuration(kind, nth),
            registers: DeviceMemory::for_test(registers_of(nth), REGISTERS_BYTES),
        };
        let dma = |nth: u64| DeviceMemory::for_test(DMA + nth * 0x10_0000, dma_bytes);
        Self {
            bridge,
            devices: (0..).zip(kinds).map(device).collect(),
            dma: (0..).zip(kinds).map(|(nth, _)| dma(nth)).collect(),
        }
    }

    /// Returns a second view of the first device's registers and of its memory.
    pub(crate) fn views(&self) -> (DeviceMemory, DeviceMemory) {
        self.views_of(0)
    }

    /// Returns a second view of a device's registers and of its memory.
    pub(crate) fn views_of(&self, nth: usize) -> (DeviceMemory, DeviceMemory) {
        (
            self.devices[nth].registers.device_view(),
            self.dma[nth].device_view(),
        )
    }

    /// Returns a dword of the first device's configuration space.
    pub(crate) fn device(&mut self, offset: usize) -> &mut u32 {
        &mut self.devices[0].configuration[offset / 4]
    }

    /// Takes the contiguous memory away.
    pub(crate) fn exhaust_memory(&mut self) {
        self.dma.clear();
    }

    fn space(&mut self, address: u32) -> Option<&mut u32> {
        let register = usize::try_from(address >> 2 & 0x3f).unwrap();
        match address >> 8 {
            // 00:02.0, and 05:00.0, 05:01.0, ...
            0x80_0010 => Some(&mut self.bridge[register]),
            function @ 0x80_0500..0x80_0600 if function.is_multiple_of(8) => {
                let nth = usize::try_from((function - 0x80_0500) / 8).unwrap();
                Some(&mut self.devices.get_mut(nth)?.configuration[register])
            }
            _ => None,
        }
    }
}

const fn registers_of(nth: u64) -> u64 {
    REGISTERS + nth * 0x10_0000
}

/// Capabilities: MSI-X, then common, notification and device structures, all in BAR 4.
fn device_configuration(kind: u32, nth: u64) -> [u32; 64] {
    let mut space = [0; 64];
    let registers = registers_of(nth);
    space[0] = kind << 16 | 0x1af4;
    space[1] = 1 << 20;
    // BAR 4, 64-bit, prefetchable; its upper half is BAR 5.
    space[8] = 0xc | u32::try_from(registers & 0xffff_ffff).unwrap();
    space[9] = u32::try_from(registers >> 32).unwrap();
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

impl Configuration for FakePlatform {
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
}

impl Platform for FakePlatform {
    fn map_registers(&mut self, physical: u64, length: usize) -> Option<DeviceMemory> {
        let device = self.devices.iter().find(|device| {
            let base = device.registers.physical();
            (base..base + u64::try_from(REGISTERS_BYTES).unwrap()).contains(&physical)
        })?;
        let base = device.registers.physical();
        let offset = usize::try_from(physical - base).unwrap();
        let (_, from) = device.registers.device_view().split_at(offset);
        assert!(
            length <= from.length(),
            "the driver maps no more than there is"
        );
        Some(from)
    }

    fn take_dma(&mut self, length: usize) -> Option<DeviceMemory> {
        let memory = self.dma.pop_front()?;
        (memory.length() >= length).then_some(memory)
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
    pub(crate) fn new(memory: DeviceMemory, layout: QueueAddresses, count: u16) -> Self {
        let half = super::nic::DMA_BYTES as u64 / 2;
        let receive = QueueAddresses {
            descriptors: layout.descriptors - half,
            available: layout.available - half,
            used: layout.used - half,
        };
        Self {
            receive: FakeQueue::new(memory.device_view(), receive, count),
            transmit: FakeQueue::new(memory.device_view(), layout, count),
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

    /// Puts a frame behind `header` into as many buffers as it takes.
    pub(crate) fn deliver_behind(&mut self, header: &[u8; 12], frame: &[u8]) {
        self.deliver_with(header, frame, |length| length);
    }

    /// Does so, and says of each buffer what `say` makes of the number of bytes in it.
    pub(crate) fn deliver_with(
        &mut self,
        header: &[u8; 12],
        frame: &[u8],
        say: impl Fn(u32) -> u32,
    ) {
        let all = [header, frame].concat();
        for piece in all.chunks(usize::from(super::nic::BUFFER_BYTES)) {
            let (id, address, _) = self.receive.take().expect("a buffer was posted");
            let offset = usize::try_from(address - self.memory.physical()).unwrap();
            self.memory.copy_in(offset, piece);
            let length = say(u32::try_from(piece.len()).unwrap());
            self.receive.finish(u32::from(id), length);
        }
    }

    /// Sends the next frame; returns it, and whether the driver wants an interrupt.
    pub(crate) fn send(&mut self) -> Option<(Vec<u8>, bool)> {
        let (mut bytes, interrupt) = self.send_with_header()?;
        assert_eq!(bytes[..12], [0; 12], "nothing is left to do");
        Some((bytes.split_off(12), interrupt))
    }

    /// Sends the next frame, a chain of buffers; returns it with the header before it, and whether
    /// the driver wants an interrupt.
    pub(crate) fn send_with_header(&mut self) -> Option<(Vec<u8>, bool)> {
        let first = self.transmit.take()?;
        let mut all = Vec::new();
        let mut buffer = Some(first);
        while let Some((id, address, length)) = buffer {
            let offset = usize::try_from(address - self.memory.physical()).unwrap();
            let mut bytes = std::vec![0; usize::try_from(length).unwrap()];
            self.memory.copy_out(offset, &mut bytes);
            all.extend(bytes);
            buffer = self.transmit.next(id);
        }
        let interrupt = self.transmit.finish(u32::from(first.0), 0);
        Some((all, interrupt))
    }
}
