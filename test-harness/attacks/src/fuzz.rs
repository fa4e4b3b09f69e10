//! Hypercalls and rings at random, close to what is valid.
//!
//! The seed is on the console; as the second argument of a service it repeats the run.

use crate::raw::{FOREIGN, address_of, call, hypercall, shared};
use crate::{Attack, End, Outcome, ensure};
use alloc::vec;
use denali_abi::errno::Errno;
use denali_abi::hypercall::{CONTROL_BASE, Hypercall, RANDOM_MAX};
use denali_abi::layout::{LARGE_STACKS_BASE, PAGE_SIZE};
use denali_abi::net::{Descriptor, FRAME_LEN_MAX, RING_LEN};

/// Calls of one run.
const CALLS: u64 = 200_000;

/// Rounds with rings, if the kernel lets it come so far.
const ROUNDS: u64 = 2_000;

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    Attack::harmless("fuzz-hypercalls", hypercalls),
    Attack::new("fuzz-rings", End::Either, rings),
    Attack::new("fuzz-rings-again", End::Either, rings),
    Attack::new("fuzz-rings-once-more", End::Either, rings),
];

/// Numbers that follow from a seed: `SplitMix64` (Steele, Lea, Flood 2014).
struct Numbers(u64);

impl Numbers {
    /// Begins with the seed of the second argument, or any.
    fn begin() -> Self {
        let given = denali_rt::env::args().nth(1);
        let seed = given.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let mut any = 0_u64;
            hypercall(Hypercall::Random, [address_of(&raw mut any), 8, 0, 0]);
            core::hint::black_box(any)
        });
        denali_rt::println!("seed {seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn word(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    fn pick(&mut self, values: &[u64]) -> u64 {
        let place = self.below(values.len() as u64);
        values
            .iter()
            .copied()
            .nth(usize::try_from(place).unwrap_or(0))
            .unwrap_or(0)
    }

    /// Returns a length: usual, at a limit, or any.
    fn length(&mut self) -> u64 {
        match self.below(3) {
            0 => self.below(600),
            1 => self.pick(&[
                0,
                RANDOM_MAX + 1,
                PAGE_SIZE,
                PAGE_SIZE + 1,
                1 << 32,
                u64::MAX,
            ]),
            _ => self.next() >> self.below(64),
        }
    }

    /// Returns an address at which this guest has nothing, or any of the kernel's half.
    fn foreign(&mut self) -> u64 {
        if self.below(4) == 0 {
            return self.next() | 1 << 63;
        }
        self.pick(&FOREIGN)
            .wrapping_add(self.below(9))
            .wrapping_sub(4)
    }
}

fn hypercalls() -> Outcome {
    let mut numbers = Numbers::begin();
    let mut sacrifice = vec![0_u8; 2 * 4096];
    let own = address_of(sacrifice.as_mut_ptr());
    for nth in 0..CALLS {
        let mut arguments = [(); 4].map(|()| numbers.length());
        let anywhere = [own + numbers.below(4096), numbers.foreign()];
        arguments[0] = numbers.pick(&anywhere);
        let number = match numbers.below(16) {
            0..4 => Hypercall::ConsoleWrite.number(),
            4..7 => Hypercall::Random.number(),
            7..10 => {
                arguments[0] = LARGE_STACKS_BASE + numbers.below(4096 * PAGE_SIZE);
                arguments[0] -= numbers.pick(&[0, arguments[0] % PAGE_SIZE]);
                arguments[1] = numbers.pick(&[0, 1, 64, arguments[1]]);
                Hypercall::ReleaseMemory.number()
            }
            10 => Hypercall::Yield.number(),
            11 => Hypercall::NetworkNotify.number(),
            12 => {
                let now = denali_rt::time::Instant::now().as_ns();
                arguments[0] = numbers.pick(&[0, now, now + 1000]);
                Hypercall::IdleWithTimeout.number()
            }
            _ => CONTROL_BASE + numbers.below(11),
        };
        let result = call(number, arguments);
        let code = i32::try_from(result.unsigned_abs()).ok();
        let known = result >= 0 || code.and_then(Errno::from_code).is_some();
        ensure!(known, "call {nth}, {number:#x} {arguments:x?}: {result}");
    }
    Ok(())
}

fn rings() -> Outcome {
    let mut numbers = Numbers::begin();
    let mut buffer = vec![0_u8; 4 * 4096];
    let own = address_of(buffer.as_mut_ptr());
    for _ in 0..ROUNDS {
        let hostile = numbers.below(400) == 0;
        let descriptor = Descriptor {
            address: if hostile {
                numbers.foreign()
            } else {
                own + numbers.below(8192)
            },
            length: match numbers.below(4) {
                0 if hostile => numbers.word(),
                0 => u32::try_from(FRAME_LEN_MAX).unwrap_or(0),
                _ => numbers.word() % 128,
            },
            flags: u16::from(numbers.below(4) == 0),
            segment_size: 0,
        };
        let place = usize::try_from(numbers.below(RING_LEN.into())).unwrap_or(0);
        let ahead = if hostile {
            numbers.word()
        } else {
            numbers.word() % 5
        };
        let transmits = numbers.below(2) == 0;
        shared(|page| {
            let ring = if transmits {
                &mut page.tx
            } else {
                &mut page.rx
            };
            if let Some(slot) = ring.get_mut(place) {
                *slot = descriptor;
            }
            page.tx_produced = page.tx_consumed.wrapping_add(ahead);
            page.rx_posted = page.rx_filled.wrapping_add(RING_LEN);
            page.pending = 0;
        });
        hypercall(Hypercall::NetworkNotify, [0; 4]);
    }
    Ok(())
}
