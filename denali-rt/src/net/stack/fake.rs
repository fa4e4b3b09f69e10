//! A wire between stacks, for tests: frames in queues, faults from a seed, time by hand.

use super::header::{Checksum, checksum_capabilities};
use super::{Link, Setup, Signal, Stack};
use crate::time::{Duration, Instant};
use core::cell::Cell;
use core::net::Ipv6Addr;
use denali_abi::net::{NetworkConfig, addressing};
use smoltcp::phy::{Device, DeviceCapabilities, Medium};
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

/// Frames a fake link holds in each direction.
const QUEUE_MAX: usize = 64;

/// Counts how often it was notified.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) Cell<u32>);

impl Signal for Count {
    fn notify(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// One end of a wire.
#[derive(Debug, Default)]
pub(super) struct FakeLink {
    pub(super) inbox: VecDeque<Vec<u8>>,
    pub(super) outbox: VecDeque<Vec<u8>>,
    transmitted: u32,
}

impl Link for FakeLink {
    fn peek(&self) -> Option<(&[u8], Checksum)> {
        self.inbox
            .front()
            .map(|frame| (frame.as_slice(), Checksum::Unverified))
    }

    fn skip(&mut self) {
        self.inbox.pop_front();
    }

    fn can_transmit(&mut self) -> bool {
        self.outbox.len() < QUEUE_MAX
    }

    fn refresh(&mut self) {}

    fn flush(&mut self) {}

    fn transmitted(&self) -> u32 {
        self.transmitted
    }
}

pub(super) struct RxToken(Vec<u8>);
pub(super) struct TxToken<'a>(&'a mut VecDeque<Vec<u8>>, &'a mut u32);

impl smoltcp::phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl smoltcp::phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame);
        *self.1 += 1;
        result
    }
}

impl Device for FakeLink {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(RxToken, TxToken<'_>)> {
        let frame = self.inbox.pop_front()?;
        Some((
            RxToken(frame),
            TxToken(&mut self.outbox, &mut self.transmitted),
        ))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<TxToken<'_>> {
        self.can_transmit()
            .then_some(TxToken(&mut self.outbox, &mut self.transmitted))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities.checksum = checksum_capabilities();
        capabilities
    }
}

pub(super) type TestStack = Stack<FakeLink, Count>;

/// The network configuration of host number `host` in 10.0.0.0/24; its router and name server is
/// host number 2.
pub(super) fn host_config(host: u8) -> NetworkConfig {
    NetworkConfig {
        mac: [2, 0, 0, 0, 0, host],
        frame_len_max: 1514,
        addressing: addressing::STATIC,
        address: [10, 0, 0, host],
        prefix_len: 24,
        gateway: [10, 0, 0, 2],
        dns: [10, 0, 0, 2],
        ..NetworkConfig::default()
    }
}

pub(super) fn stack(network: NetworkConfig) -> TestStack {
    let seed = [
        u64::from(network.mac[5]) * 0x1234_5678_9abc_def1,
        0x0fed_cba9_8765_4321,
    ];
    let setup = Setup {
        network,
        seed,
        memory_left: || usize::MAX,
        memory_limit: usize::MAX,
    };
    let start = Instant::from_ns(0);
    let mut stack = Stack::new(FakeLink::default(), &setup, start);
    // It knows its IPv6 network, and has said so.
    stack.configure_ipv6(NETWORK, None, start);
    stack.groups.change();
    stack.poll_groups(start);
    stack.address.take_change();
    stack.link_mut().outbox.clear();
    stack
}

/// The IPv6 network of all hosts.
pub(super) const NETWORK: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0);

/// How the wire mistreats frames, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) lose: u64,
    pub(super) duplicate: u64,
    pub(super) reorder: u64,
    pub(super) corrupt: u64,
}

/// Two stacks on one wire.
#[derive(Debug)]
pub(super) struct World {
    pub(super) a: TestStack,
    pub(super) b: TestStack,
    pub(super) now: Instant,
    pub(super) faults: Faults,
    pub(super) frames: u64,
    random: u64,
    next_a: Option<Instant>,
    next_b: Option<Instant>,
}

impl World {
    /// Joins hosts number 1 and 2.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            a: stack(host_config(1)),
            b: stack(host_config(2)),
            now: Instant::from_ns(1_000_000),
            faults: Faults::default(),
            frames: 0,
            random: seed | 1,
            next_a: None,
            next_b: None,
        }
    }

    /// Lets both stacks work and carries frames until nothing moves, without time passing.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.next_a = self.a.poll(self.now);
            self.next_b = self.b.poll(self.now);
            let idle = self.a.link_mut().outbox.is_empty() && self.b.link_mut().outbox.is_empty();
            if idle
                && [self.next_a, self.next_b]
                    .iter()
                    .flatten()
                    .all(|at| *at > self.now)
            {
                return;
            }
            self.carry();
        }
        panic!("the stacks never come to rest");
    }

    /// Lets time pass to the next deadline of either stack, at most until `limit`. Returns whether
    /// there was one.
    pub(super) fn advance(&mut self, limit: Instant) -> bool {
        self.settle();
        let next = [self.next_a, self.next_b].into_iter().flatten().min();
        let found = next.is_some_and(|next| next <= limit);
        self.now = next.unwrap_or(limit).min(limit);
        self.settle();
        found
    }

    /// Lets `duration` pass.
    pub(super) fn pass(&mut self, duration: Duration) {
        let limit = self.now + duration;
        for _ in 0..1_000_000 {
            if !self.advance(limit) {
                return;
            }
        }
        panic!("deadlines come too fast");
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) % 1000 < per_mille
    }

    fn carry(&mut self) {
        let from_a = core::mem::take(&mut self.a.link_mut().outbox);
        let from_b = core::mem::take(&mut self.b.link_mut().outbox);
        let to_b = self.mistreat(from_a);
        let to_a = self.mistreat(from_b);
        self.a.link_mut().inbox.extend(to_a);
        self.b.link_mut().inbox.extend(to_b);
    }

    fn mistreat(&mut self, frames: VecDeque<Vec<u8>>) -> Vec<Vec<u8>> {
        let faults = self.faults;
        let mut out = Vec::new();
        for mut frame in frames {
            self.frames += 1;
            if self.chance(faults.lose) {
                continue;
            }
            if self.chance(faults.corrupt) {
                let at = 14 + usize::try_from(self.random % 1000).unwrap() % (frame.len() - 14);
                frame[at] ^= 0x10;
            }
            if self.chance(faults.duplicate) {
                out.push(frame.clone());
            }
            out.push(frame);
            if out.len() > 1 && self.chance(faults.reorder) {
                let last = out.len() - 1;
                out.swap(last, last - 1);
            }
        }
        out
    }
}
