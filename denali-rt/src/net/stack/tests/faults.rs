//! Wires that lose, double, reorder and damage frames.
//!
//! A failure says its seed; with `DENALI_SEED` set to it, that one alone is tried.

use super::super::Buffers;
use super::super::fake::{Faults, World};
use super::{connect, drain};
use crate::time::Duration;
use core::task::Poll;
use std::vec::Vec;

/// Returns the seeds to try.
fn seeds(count: u64) -> core::ops::RangeInclusive<u64> {
    match std::env::var("DENALI_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("a seed is a number");
            seed..=seed
        }
        Err(_) => 1..=count,
    }
}

fn carries_both_ways(seed: u64, faults: Faults) {
    let mut world = World::new(seed);
    let (client, server) = connect(&mut world);
    world.faults = faults;
    let data: Vec<u8> = (0..40_000_u32)
        .map(|i| (i * 7 % 251).to_le_bytes()[0])
        .collect();
    let (mut sent_a, mut sent_b, mut got_a, mut got_b) = (0, 0, Vec::new(), Vec::new());
    let limit = world.now + Duration::from_secs(3000);
    while got_a.len() < data.len() || got_b.len() < data.len() {
        if let Poll::Ready(Ok(count)) = world.a.write(client, &data[sent_a..]) {
            sent_a += count;
        }
        if let Poll::Ready(Ok(count)) = world.b.write(server, &data[sent_b..]) {
            sent_b += count;
        }
        let step = world.now + Duration::from_secs(1);
        world.advance(step);
        drain(&mut world.a, client, &mut got_a);
        drain(&mut world.b, server, &mut got_b);
        assert!(
            world.now < limit,
            "seed {seed}: stuck at {} and {}",
            got_a.len(),
            got_b.len()
        );
    }
    assert!(got_a == data && got_b == data, "seed {seed}: damaged");
    world.a.release(client, world.now);
    world.b.release(server, world.now);
    world.pass(Duration::from_secs(300));
    let left = (world.a.stats().connections, world.b.stats().connections);
    assert_eq!(left, (0, 0), "seed {seed}");
    assert_eq!(world.b.listeners[&super::PORT].half_open, 0, "seed {seed}");
}

#[test]
fn an_upload_with_large_buffers_survives_everything_at_once() {
    for seed in seeds(20) {
        let mut world = World::new(seed);
        world
            .b
            .listen(super::at(super::PORT), 8, Buffers::BULK)
            .unwrap();
        let client = world
            .a
            .connect(super::SERVER, 0, Buffers::BULK, world.now)
            .unwrap()
            .id;
        world.settle();
        let server = super::ready(world.b.accept(super::PORT)).id;
        world.faults = Faults {
            lose: 20,
            duplicate: 20,
            reorder: 50,
            corrupt: 10,
        };
        let data: Vec<u8> = (0..400_000_u32)
            .map(|i| (i * 7 % 251).to_le_bytes()[0])
            .collect();
        let (mut sent, mut received) = (0, Vec::new());
        let limit = world.now + Duration::from_secs(1000);
        while received.len() < data.len() {
            if let Poll::Ready(Ok(count)) = world.a.write(client, &data[sent..]) {
                sent += count;
            }
            let step = world.now + Duration::from_secs(1);
            world.advance(step);
            drain(&mut world.b, server, &mut received);
            assert!(
                world.now < limit,
                "seed {seed}: stuck at {}",
                received.len()
            );
        }
        assert!(received == data, "seed {seed}: damaged");
    }
}

#[test]
fn data_survives_loss() {
    for seed in seeds(20) {
        carries_both_ways(
            seed,
            Faults {
                lose: 50,
                ..Faults::default()
            },
        );
    }
}

#[test]
fn data_survives_duplicates_and_disorder() {
    for seed in seeds(20) {
        carries_both_ways(
            seed,
            Faults {
                duplicate: 100,
                reorder: 200,
                ..Faults::default()
            },
        );
    }
}

#[test]
fn data_survives_everything_at_once() {
    for seed in seeds(40) {
        let faults = Faults {
            lose: 30,
            duplicate: 30,
            reorder: 100,
            corrupt: 20,
        };
        carries_both_ways(seed, faults);
    }
}

#[test]
fn random_frames_do_no_harm() {
    let mut world = World::new(1);
    let (client, server) = connect(&mut world);
    let mut random = 0x9e37_79b9_u64;
    for round in 0..20_000_usize {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888);
        let mut frame = std::vec![0; 14 + round % 80];
        for (at, byte) in frame.iter_mut().enumerate() {
            *byte = random
                .rotate_left(u32::try_from(at * 7 % 64).unwrap())
                .to_le_bytes()[3];
        }
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
        frame[12..14].copy_from_slice(if round % 4 == 0 { &[8, 6] } else { &[8, 0] });
        if frame.len() >= 34 && round % 4 != 0 {
            frame[14] = 0x45;
            frame[23] = [6, 17, 1][round % 3];
        }
        world.b.link_mut().inbox.push_back(frame);
        world.b.poll(world.now);
        world.b.link_mut().outbox.clear();
    }
    super::ready(world.a.write(client, b"still here"));
    world.pass(Duration::from_secs(5));
    assert_eq!(super::ready(world.b.read(server, &mut [0; 16])), 10);
}
