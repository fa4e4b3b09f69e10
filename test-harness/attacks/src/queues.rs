//! The rings of the shared page: indices, lengths, wraps, overlaps, other people's memory.

use crate::forge::{post, provoke_delivery, question};
use crate::raw::{
    DIRECT_MAP, FOREIGN, KERNEL_TEXT, address_of, descriptor, hypercall, shared, transmit, wait,
};
use crate::{Attack, End, Outcome, ensure};
use alloc::vec;
use core::hint::black_box;
use denali_abi::end::EndReason::{self, OutOfMemory, RingViolation};
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{
    GUEST_END, HEAP_END, IMAGE_BASE, PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS,
    SMALL_STACKS_BASE,
};
use denali_abi::net::{Descriptor, RING_LEN, flags};

const BROKEN: &[EndReason] = &[RingViolation];

/// An attack by one transmit descriptor with a lying address.
macro_rules! source {
    ($name:literal, $address:expr) => {
        Attack::killed($name, BROKEN, || {
            transmit(&[descriptor($address, 60)]);
            Ok(())
        })
    };
}

/// An attack by a receive buffer with a lying address.
macro_rules! target {
    ($name:literal, $address:expr) => {
        Attack::killed($name, BROKEN, || {
            post(&[$address], 2048);
            provoke_delivery();
            Ok(())
        })
    };
}

/// An attack by the transmit index.
macro_rules! produced {
    ($name:literal, $ahead:expr) => {
        Attack::killed($name, BROKEN, || {
            shared(|page| page.tx_produced = page.tx_produced.wrapping_add($ahead));
            hypercall(Hypercall::NetworkNotify, [0; 4]);
            Ok(())
        })
    };
}

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    produced!("tx-index-one-too-far", RING_LEN + 1),
    produced!("tx-index-half-way", 1 << 31),
    produced!("tx-index-backwards", u32::MAX),
    Attack::killed("tx-index-behind-idle", BROKEN, || {
        shared(|page| page.tx_produced = 1 << 16);
        wait(1000);
        Ok(())
    }),
    source!("tx-from-null", 0),
    source!("tx-from-kernel-text", KERNEL_TEXT),
    source!("tx-from-direct-map", DIRECT_MAP + 0x10_0000),
    source!("tx-from-non-canonical", 1 << 47),
    source!("tx-from-behind-memory", GUEST_END - 16),
    source!("tx-from-guard", SMALL_STACKS_BASE + PAGE_SIZE - 16),
    source!("tx-wraps-around", u64::MAX - 16),
    source!("tx-across-shared-page", SHARED_ADDRESS + PAGE_SIZE - 16),
    Attack::killed("tx-huge-length", BROKEN, || {
        transmit(&[descriptor(IMAGE_BASE, u32::MAX)]);
        Ok(())
    }),
    Attack::killed("tx-jumbo", BROKEN, || {
        transmit(&[descriptor(IMAGE_BASE, 1515)]);
        Ok(())
    }),
    Attack::killed("tx-lengths-overflow", BROKEN, || {
        let more = |length| Descriptor {
            flags: flags::MORE,
            ..descriptor(IMAGE_BASE, length)
        };
        transmit(&[
            more(1500),
            more(u32::MAX - 1400),
            descriptor(IMAGE_BASE, 60),
        ]);
        Ok(())
    }),
    Attack::killed("tx-endless-chain", BROKEN, || {
        let more = Descriptor {
            flags: flags::MORE,
            ..descriptor(IMAGE_BASE, 1)
        };
        transmit(&[more; RING_LEN as usize]);
        Ok(())
    }),
    Attack::killed("tx-unknown-flags", BROKEN, || {
        transmit(&[Descriptor {
            flags: 0x8000,
            ..descriptor(IMAGE_BASE, 60)
        }]);
        Ok(())
    }),
    Attack::killed("tx-offload-not-offered", BROKEN, || {
        transmit(&[Descriptor {
            flags: flags::CHECKSUM_VALID,
            ..descriptor(IMAGE_BASE, 60)
        }]);
        Ok(())
    }),
    Attack::killed("tx-segments-without-a-size", BROKEN, || {
        transmit(&[Descriptor {
            flags: flags::SEGMENT_TCP4,
            ..descriptor(IMAGE_BASE, 60)
        }]);
        Ok(())
    }),
    Attack::killed("tx-super-segment-too-long", BROKEN, || {
        let more = |flags, segment_size| Descriptor {
            flags: flags::MORE | flags,
            segment_size,
            ..descriptor(IMAGE_BASE, 16_384)
        };
        let (first, next) = (more(flags::SEGMENT_TCP4, 1460), more(0, 0));
        transmit(&[first, next, next, next, descriptor(IMAGE_BASE, 60)]);
        Ok(())
    }),
    Attack::killed("tx-super-segment-in-its-second", BROKEN, || {
        let first = Descriptor {
            flags: flags::MORE,
            ..descriptor(IMAGE_BASE, 60)
        };
        let second = Descriptor {
            flags: flags::SEGMENT_TCP4,
            segment_size: 1460,
            ..descriptor(IMAGE_BASE, 60)
        };
        transmit(&[first, second]);
        Ok(())
    }),
    Attack::new("tx-super-segments-of-garbage", End::Silenced, || {
        for segmentation in [
            flags::SEGMENT_TCP4,
            flags::SEGMENT_TCP6,
            flags::CHECKSUM_PARTIAL,
        ] {
            for segment_size in [1, 1460, u16::MAX] {
                let cut = segmentation != flags::CHECKSUM_PARTIAL;
                transmit(&[Descriptor {
                    flags: segmentation,
                    segment_size: if cut { segment_size } else { 0 },
                    ..descriptor(IMAGE_BASE, if cut { 8192 } else { 1514 })
                }]);
            }
        }
        Ok(())
    }),
    Attack::killed("tx-segment-size", BROKEN, || {
        transmit(&[Descriptor {
            segment_size: 1460,
            ..descriptor(IMAGE_BASE, 60)
        }]);
        Ok(())
    }),
    Attack::new("tx-of-other-contents", End::Silenced, || {
        // Its own text, registers and rings are no secret to it, but no frames either.
        for address in [IMAGE_BASE, REGISTERS_ADDRESS, SHARED_ADDRESS] {
            transmit(&[descriptor(address, 1514)]);
        }
        Ok(())
    }),
    Attack::new("tx-empty-frames", End::Silenced, || {
        for length in 0..14 {
            transmit(&[descriptor(IMAGE_BASE, length)]);
        }
        // A length of zero reads nothing, wherever it points.
        for address in FOREIGN {
            transmit(&[descriptor(address, 0)]);
        }
        Ok(())
    }),
    Attack::new("tx-unfinished-chain", End::Silenced, || {
        let more = Descriptor {
            flags: flags::MORE,
            ..descriptor(IMAGE_BASE, 60)
        };
        transmit(&[more; 7]);
        wait(20);
        Ok(())
    }),
    Attack::harmless("tx-kernel-index-scribbled", scribble_kernel_indices),
    Attack::harmless("tx-wraps-many-times", wrap_many_times),
    Attack::harmless("reserved-fields-scribbled", scribble_reserved),
    Attack::harmless("pending-scribbled", scribble_pending),
    target!("rx-to-null", 0),
    target!("rx-to-kernel-text", KERNEL_TEXT),
    target!("rx-to-direct-map", DIRECT_MAP + 0x10_0000),
    target!("rx-to-non-canonical", 1 << 62),
    target!("rx-to-registers", REGISTERS_ADDRESS),
    target!("rx-to-text", IMAGE_BASE),
    target!("rx-to-guard", SMALL_STACKS_BASE + 64),
    target!("rx-behind-memory", GUEST_END - 8),
    target!("rx-wraps-around", u64::MAX - 8),
    Attack::killed("rx-index-too-far", BROKEN, || {
        shared(|page| page.rx_posted = RING_LEN + 1);
        provoke_delivery();
        Ok(())
    }),
    Attack::killed("rx-index-backwards", BROKEN, || {
        shared(|page| page.rx_posted = u32::MAX);
        provoke_delivery();
        Ok(())
    }),
    Attack::killed("rx-beyond-the-limit", &[OutOfMemory], || {
        let mut page = HEAP_END - 0x40_0000;
        while denali_rt::registers::pages_left() > 0 {
            crate::raw::poke(page, 1);
            page += PAGE_SIZE;
        }
        post(&[HEAP_END - PAGE_SIZE], 2048);
        provoke_delivery();
        Ok(())
    }),
    Attack::harmless("rx-stays-in-its-buffer", stays_in_its_buffer),
    Attack::harmless("rx-empty-buffers", || {
        post(&FOREIGN, 0);
        provoke_delivery();
        let filled = shared(|page| page.rx_filled);
        ensure!(filled == 0, "{filled} empty buffers were filled");
        Ok(())
    }),
    Attack::harmless("rx-into-the-rings", || {
        // The guest's own rings are its own to spoil; nobody else's.
        post(&[SHARED_ADDRESS + 64, SHARED_ADDRESS + 64], 1024);
        provoke_delivery();
        Ok(())
    }),
];

fn scribble_kernel_indices() -> Outcome {
    let frame = question();
    for value in [7, u32::MAX, 1 << 31, 64] {
        shared(|page| {
            page.tx_consumed = value;
            page.rx_filled = value;
        });
        transmit(&[descriptor(address_of(frame.as_ptr()), 42)]);
    }
    let consumed = shared(|page| page.tx_consumed);
    ensure!(
        consumed == 4,
        "the kernel believed a scribbled index: {consumed}"
    );
    Ok(())
}

fn wrap_many_times() -> Outcome {
    for _ in 0..300 {
        // Refused by the switch, so that the wire stays quiet.
        transmit(&[descriptor(IMAGE_BASE, 60); 3]);
    }
    let (produced, consumed) = shared(|page| (page.tx_produced, page.tx_consumed));
    ensure!(
        produced == 900 && consumed == 900,
        "{consumed} of {produced} consumed"
    );
    Ok(())
}

fn scribble_reserved() -> Outcome {
    shared(|page| {
        page.thread = [u8::MAX; 16];
        page.rx_accepts = u32::MAX;
        page.reserved = [u32::MAX; 3];
        page.interrupts_enabled = u32::MAX;
    });
    for _ in 0..16 {
        wait(1);
        denali_rt::hypercall::yield_cpu();
    }
    Ok(())
}

fn scribble_pending() -> Outcome {
    for mask in [1, u32::MAX, 1 << 31, 8] {
        shared(|page| page.pending = mask);
        let result = wait(5);
        ensure!(result >= 0, "{result} for the mask {mask:#x}");
        let left = shared(|page| page.pending);
        ensure!(left == 0, "{left:#x} is left of the mask {mask:#x}");
    }
    Ok(())
}

/// The kernel writes a frame no further than the buffer's length, over the chain.
fn stays_in_its_buffer() -> Outcome {
    let memory = black_box(vec![0xee_u8; 4096]);
    let start = address_of(memory.as_ptr());
    // Two small buffers that overlap, for a frame of at least 42 bytes.
    post(&[start + 64, start + 72, start + 128, start + 256], 16);
    provoke_delivery();
    let memory = black_box(memory);
    let inside = |index: usize| matches!(index, 64..88 | 128..144 | 256..272);
    for (index, &byte) in memory.iter().enumerate() {
        ensure!(
            byte == 0xee || inside(index),
            "byte {index} was overwritten"
        );
    }
    ensure!(
        shared(|page| page.rx_filled) <= 4,
        "more buffers were filled than posted"
    );
    Ok(())
}
