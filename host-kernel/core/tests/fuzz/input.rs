//! Values close to what is valid: at limits, one beyond, and sometimes anything.

use crate::host::{DATA, Random, SCRATCH};
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::{GUEST_END, IMAGE_BASE, PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, FRAME_LEN_MAX, NetworkConfig, RING_LEN, flags};
use denali_kernel_core::machine::Offload;

/// Pages of heap that guests of the fuzzer use.
pub(crate) const HEAP_PAGES: u64 = 24;

impl Random {
    /// Returns one of some values.
    pub(crate) fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.index(values.len())]
    }

    /// Returns an index into something of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        u64_to_usize(self.below(usize_to_u64(length)))
    }

    /// Returns a number below `end`.
    pub(crate) fn small(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(end.into())).expect("below a small number")
    }

    /// Returns any number of 32 bits.
    pub(crate) fn word(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// Returns any number of 16 bits.
    pub(crate) fn half(&mut self) -> u16 {
        let [a, b, ..] = self.next().to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// Returns whether something happens that does once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Returns an address: mostly of the guest's own, sometimes at an edge, sometimes anywhere.
pub(crate) fn address(random: &mut Random) -> u64 {
    let base = match random.below(16) {
        0..9 => return SCRATCH + random.below(HEAP_PAGES * PAGE_SIZE),
        9 => DATA,
        10 => random.next(),
        _ => random.pick(&[
            0,
            REGISTERS_ADDRESS,
            SHARED_ADDRESS,
            SHARED_ADDRESS + PAGE_SIZE,
            IMAGE_BASE,
            IMAGE_BASE + PAGE_SIZE,
            GUEST_END,
            1 << 32,
            1 << 47,
            0xffff_8000_0000_0000,
            0xffff_ffff_8000_0000,
            u64::MAX,
        ]),
    };
    base.wrapping_add(random.below(33)).wrapping_sub(16)
}

/// Returns a length or a count.
pub(crate) fn length(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.next() >> random.below(64),
        1 => random.below(300),
        _ => random
            .pick(&[
                0,
                1,
                8,
                14,
                256,
                512,
                1024,
                PAGE_SIZE,
                64 * 1024,
                1 << 32,
                u64::MAX / PAGE_SIZE,
                u64::MAX,
            ])
            .wrapping_add(random.below(3))
            .wrapping_sub(1),
    }
}

/// Returns a ring index around the kernel's.
pub(crate) fn index(random: &mut Random, kernel: u32) -> u32 {
    let ahead = match random.below(64) {
        0 => random.word(),
        1 => RING_LEN + 1,
        2 => u32::MAX,
        3 => RING_LEN,
        _ => random.small(RING_LEN),
    };
    kernel.wrapping_add(ahead)
}

/// Returns a descriptor of a frame or of a buffer.
pub(crate) fn descriptor(random: &mut Random) -> Descriptor {
    let hostile = random.once_in(24);
    let longest = u32::try_from(FRAME_LEN_MAX).expect("small");
    Descriptor {
        address: if hostile {
            address(random)
        } else {
            SCRATCH + random.below((HEAP_PAGES - 1) * PAGE_SIZE)
        },
        length: match random.below(8) {
            0 if hostile => random.word(),
            0 => random.small(longest + 2),
            1 => random.pick(&[0, 13, 14, longest]),
            _ => 42 + random.small(64),
        },
        flags: match random.below(8) {
            0 => 1,
            1 if hostile => random.half(),
            _ => 0,
        },
        segment_size: if hostile && random.once_in(4) {
            random.half()
        } else {
            0
        },
    }
}

/// Returns a frame from `own` to `other`: of every kind that the switch tells apart, and of none.
pub(crate) fn frame(random: &mut Random, own: &NetworkConfig, other: &NetworkConfig) -> Vec<u8> {
    let destination = match random.below(6) {
        0 => [0xff; 6],
        1 => [0x52, 0x55, 10, 90, 0, 2],
        2 => [0x01, 0, 0x5e, 0, 0, 251],
        _ => other.mac,
    };
    let forges = random.once_in(6);
    let source = if forges { other } else { own };
    let mut frame = [destination, source.mac].concat();
    let claimed = if random.once_in(6) { other } else { source };
    match random.below(8) {
        0 => frame.extend(random.pick(&[[0x81, 0], [0x88, 0xa8], [0x88, 0x8e], [0, 46]])),
        1 => frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 58, 255]),
        2..4 => {
            let operation = random.pick(&[1, 2, 0]);
            frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
            frame.extend(claimed.mac);
            frame.extend(claimed.address);
            frame.extend([0; 6]);
            frame.extend(other.address);
        }
        _ => {
            let protocol = random.pick(&[1, 6, 17, 253]);
            let header = random.pick(&[0x45, 0x45, 0x45, 0x46, 0x44, 0x65]);
            frame.extend([8, 0, header, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0]);
            frame.extend(claimed.address);
            frame.extend(other.address);
            let port = random.pick(&[[0, 67], [0, 68], [0, 53], [0, 80]]);
            frame.extend(random.pick(&[[0, 67], [0, 68], [31, 144]]));
            frame.extend(port);
            frame.extend([0, 8, 0, 0]);
        }
    }
    match random.below(8) {
        0 => frame.truncate(random.index(60)),
        1 => frame.resize(FRAME_LEN_MAX, 0),
        _ => frame.resize(frame.len().max(60), 0),
    }
    frame
}

/// Returns what a NIC says of a frame that came in: mostly nothing.
pub(crate) fn said(random: &mut Random) -> Offload {
    let all = flags::CHECKSUM_PARTIAL | flags::SEGMENT_TCP4 | flags::SEGMENT_TCP6;
    let kinds = [0, 0, flags::CHECKSUM_VALID, flags::CHECKSUM_PARTIAL, all];
    let of_one = [flags::SEGMENT_TCP4, flags::SEGMENT_TCP6].map(|it| it | flags::CHECKSUM_PARTIAL);
    let flags = random.pick(&[&kinds[..], &of_one].concat());
    Offload {
        flags,
        segment_size: random.pick(&[0, 1, 8, 536, 1460, u16::MAX]),
        ..Offload::default()
    }
}
