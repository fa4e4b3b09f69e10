//! Too much of everything: each must cost the sender, not its neighbours.

use crate::forge::{BROADCAST, ethernet, ipv4, own, question, udp};
use crate::raw::{FOREIGN, address_of, descriptor, hypercall, poke, shared, transmit, wait};
use crate::{Attack, End, Outcome, ensure};
use alloc::vec;
use core::hint::spin_loop;
use denali_abi::hypercall::{CONTROL_BASE, Hypercall};
use denali_abi::layout::{LARGE_STACKS_BASE, PAGE_SIZE};
use denali_abi::net::RING_LEN;

/// An attack that goes on for ever.
macro_rules! forever {
    ($name:literal, $turn:expr) => {
        Attack::new($name, End::Throttled, || {
            loop {
                $turn;
            }
        })
    };
}

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    forever!("hog-cpu", spin_loop()),
    forever!("hog-hypercalls", denali_rt::hypercall::yield_cpu()),
    forever!(
        "hog-console",
        denali_rt::hypercall::console_write_all(&[b'x'; 4096])
    ),
    forever!("hog-page-faults", fault_and_release()?),
    forever!("hog-frames", flood(&abroad(1400))),
    forever!("hog-broadcasts", flood(&broadcast(1400))),
    forever!("hog-questions", flood(&question())),
    forever!("hog-refused-frames", flood(&[0x55; 60])),
    forever!("hog-alarms", hypercall(Hypercall::IdleWithTimeout, [0; 4])),
    Attack::harmless("console-flood", || {
        for _ in 0..200 {
            denali_rt::hypercall::console_write_all(&[b'\x1b'; 4096]);
        }
        Ok(())
    }),
    Attack::harmless("notify-storm", || {
        for _ in 0..20_000 {
            let result = hypercall(Hypercall::NetworkNotify, [0; 4]);
            ensure!(result == 0, "{result}");
        }
        Ok(())
    }),
    Attack::harmless("alarm-storm", || {
        for count in 0..3000 {
            let now = denali_rt::time::Instant::now().as_ns();
            let result = hypercall(Hypercall::IdleWithTimeout, [now + count % 3, 0, 0, 0]);
            ensure!(result > 0, "{result}");
        }
        Ok(())
    }),
    Attack::harmless("random-storm", || {
        let memory = vec![0_u8; 256];
        for _ in 0..2000 {
            let result = hypercall(Hypercall::Random, [address_of(memory.as_ptr()), 256, 0, 0]);
            ensure!(result == 256, "{result}");
        }
        Ok(())
    }),
    Attack::harmless("refusal-storm", || {
        for _ in 0..300 {
            for argument in FOREIGN {
                hypercall(Hypercall::ConsoleWrite, [argument, argument.max(1), 0, 0]);
                crate::raw::call(CONTROL_BASE + argument % 10, [argument; 4]);
            }
        }
        Ok(())
    }),
    Attack::harmless("pending-storm", || {
        for _ in 0..5000 {
            shared(|page| page.pending = u32::MAX);
            wait(0);
        }
        Ok(())
    }),
    Attack::harmless("broadcast-flood", || {
        for _ in 0..500 {
            flood(&broadcast(1400));
        }
        Ok(())
    }),
    Attack::harmless("full-ring-of-tiny-frames", || {
        let frame = broadcast(0);
        let length = u32::try_from(frame.len()).unwrap_or(0);
        let ring = [descriptor(address_of(frame.as_ptr()), length); RING_LEN as usize];
        for _ in 0..20 {
            let idle = shared(|page| page.tx_produced == page.tx_consumed);
            if idle {
                transmit(&ring);
            }
            wait(5);
        }
        Ok(())
    }),
    Attack::harmless("release-storm", || {
        for _ in 0..100 {
            let result = hypercall(Hypercall::ReleaseMemory, [LARGE_STACKS_BASE, 1 << 17, 0, 0]);
            ensure!(result >= 0, "{result}");
        }
        Ok(())
    }),
];

/// Sends a frame as often as the ring has room.
fn flood(frame: &[u8]) {
    let length = u32::try_from(frame.len()).unwrap_or(0);
    let room = shared(|page| page.tx_produced.wrapping_sub(page.tx_consumed) < RING_LEN);
    if room {
        transmit(&[descriptor(address_of(frame.as_ptr()), length)]);
    } else {
        wait(1);
    }
}

fn broadcast(length: usize) -> vec::Vec<u8> {
    datagram(BROADCAST, [255; 4], length)
}

/// Makes a frame for somebody on the wire.
fn abroad(length: usize) -> vec::Vec<u8> {
    datagram([2, 0xaa, 0, 0, 0, 1], [192, 0, 2, 1], length)
}

fn datagram(mac: [u8; 6], address: [u8; 4], length: usize) -> vec::Vec<u8> {
    let datagram = udp(9, 9, &vec![0x55; length]);
    ethernet(
        mac,
        own().mac,
        0x0800,
        &ipv4(own().address, address, 17, &datagram),
    )
}

fn fault_and_release() -> Outcome {
    let start = LARGE_STACKS_BASE + PAGE_SIZE;
    for page in 0..64 {
        poke(start + page * PAGE_SIZE, 1);
    }
    let released = hypercall(Hypercall::ReleaseMemory, [start, 64, 0, 0]);
    ensure!(released == 64, "{released} pages");
    Ok(())
}
