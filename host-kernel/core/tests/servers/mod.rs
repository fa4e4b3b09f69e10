//! Servers in virtual time, and clients in a closed loop: who is asked touches some of its pages and
//! answers; disks seek.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a module of several test binaries, and the numbers of a simulation are small"
)]

use super::host::{Host, Random, SCRATCH, network};
use core::mem::offset_of;
use denali_abi::control::VmConfig;
use denali_abi::convert::usize_to_u64;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::shared::SharedPage;
use denali_kernel_core::machine::Machine;
use denali_kernel_core::trace::Event;
use denali_kernel_core::{Next, VmId};
use zerocopy::IntoBytes;

/// CPU time of a request.
const REQUEST_NS: u64 = 500_000;

/// When a client asks again.
const PATIENCE_NS: u64 = 3_000_000_000;

/// A disk seeks and turns for so long.
const DISK_NS: (u64, u64) = (2_000_000, 8_000_000);

/// Blocks of each of the two disks.
const DISK_BLOCKS: u64 = 1 << 26;

/// Receive buffers of a server.
const BUFFERS: u32 = 4;

/// Where a server's pages are.
const PAGES_AT: u64 = SCRATCH + 16 * PAGE_SIZE;

/// A host and what it is for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Frames of the host.
    pub frames: u32,
    /// The kernel's command line.
    pub line: String,
    pub vms: u32,
    /// Flags that they are created with (`vm_flags`).
    pub flags: u32,
    /// Pages a server writes when it begins, and pages of them that a request needs.
    pub pages: u64,
    pub pages_a_request: u64,
    /// Requests under way at a time.
    pub clients: usize,
}

/// What the simulation knows of a VM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server {
    posted: u32,
    /// Whether its pages were made.
    has_begun: bool,
    /// How far it is with what it does: a page that is not there is tried again.
    touched: u64,
    /// When it was asked last, if a client waits.
    asked_ns: Option<u64>,
}

/// Draws ranks as Zipf's law has it.
pub struct Zipf(Vec<f64>);

impl Zipf {
    pub fn new(count: u32, alpha: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=count).map(|rank| {
            sum += f64::from(rank).powf(-alpha);
            sum
        });
        Self(weights.collect())
    }

    pub fn draw(&self, random: &mut Random) -> u32 {
        let total = self.0.last().copied().unwrap_or(1.0);
        let at = random.below(1 << 53) as f64 / (1_u64 << 53) as f64 * total;
        self.0.partition_point(|&sum| sum <= at) as u32
    }
}

/// The host, its servers and their clients.
pub struct World {
    pub host: Host,
    pub random: Random,
    plan: Plan,
    image: u64,
    servers: Vec<Server>,
    first: u32,
    answered: u32,
    waiting: Vec<u32>,
    /// Whether every VM was created, and the supervisor has nothing to do.
    is_complete: bool,
}

impl World {
    /// Boots a host without servers.
    pub fn new(plan: Plan) -> Self {
        let mut host = Host::boot_with_disks(plan.frames, &plan.line, 2, DISK_BLOCKS);
        let image = host.create_image().expect("there is room");
        host.machine
            .fake_disks()
            .set_latency_ns(DISK_NS.0, DISK_NS.1);
        Self {
            host,
            random: Random(7),
            servers: Vec::new(),
            plan,
            image,
            first: 0,
            answered: 0,
            waiting: Vec::new(),
            is_complete: false,
        }
    }

    /// Boots a host with all of its servers.
    pub fn complete(plan: Plan) -> Self {
        let vms = plan.vms;
        let mut world = Self::new(plan);
        world.add(vms);
        world
    }

    /// Makes so many servers more; with the last one that was planned the supervisor has nothing to
    /// do any more.
    pub fn add(&mut self, count: u32) {
        for _ in 0..count {
            let number = self.servers.len() as u32 + 1;
            let config = VmConfig {
                memory_pages: 128,
                flags: self.plan.flags,
                ..Host::config(self.image, number)
            };
            let vm = self.host.create(&config).expect("there is room");
            if number == 1 {
                self.first = vm.index();
            }
            self.servers.push(Server::default());
            self.turn();
        }
        self.is_complete = self.servers.len() as u32 == self.plan.vms;
    }

    fn server(&mut self, vm: VmId) -> &mut Server {
        &mut self.servers[(vm.index() - self.first) as usize]
    }

    /// Goes once round the kernel's loop; whoever is to run does what servers do.
    pub fn turn(&mut self) {
        match self.host.round() {
            Next::Run { vm, .. } if vm == self.host.supervisor => {
                if self.is_complete {
                    self.host.machine.advance(20_000);
                    self.host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
                } else {
                    self.host.compute(vm, 20_000);
                }
            }
            Next::Run { vm, .. } => self.run_server(vm),
            Next::Idle { until } => {
                // Clients ask again.
                let soon = self.host.machine.now().plus_ns(10_000_000);
                self.host
                    .machine
                    .idle_until(Some(until.map_or(soon, |until| until.min(soon))));
            }
        }
        while let Some(event) = self.host.kernel.take_trace() {
            assert!(!matches!(event, Event::VmEnded { .. }), "{event}");
        }
    }

    /// Touches pages from where it was, and writes to every fourth; `false` if it has to wait.
    fn touch(&mut self, vm: VmId, pages: u64, first: u64) -> bool {
        while self.server(vm).touched < pages {
            let nth = (first + self.server(vm).touched) % self.plan.pages;
            let at = PAGES_AT + nth * PAGE_SIZE;
            let done = if nth.is_multiple_of(4) || !self.server(vm).has_begun {
                self.host.write(vm, at, &nth.to_le_bytes())
            } else {
                self.host.read(vm, at, &mut [0; 8])
            };
            if !done {
                return false;
            }
            self.server(vm).touched += 1;
        }
        true
    }

    fn run_server(&mut self, vm: VmId) {
        self.host.machine.advance(10_000);
        if !self.server(vm).has_begun {
            if !self.touch(vm, self.plan.pages, 0) {
                return;
            }
            *self.server(vm) = Server {
                has_begun: true,
                ..*self.server(vm)
            };
        }
        let filled_at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx_filled));
        let mut filled = [0; 4];
        if !self.host.read(vm, filled_at, &mut filled) {
            return;
        }
        let server = *self.server(vm);
        let target = u32::from_le_bytes(filled).wrapping_add(BUFFERS);
        if server.posted > 0 && target > server.posted {
            if server.touched >= self.plan.pages {
                self.server(vm).touched = 0;
            }
            if !self.touch(vm, self.plan.pages_a_request, u64::from(vm.index())) {
                return;
            }
            self.host.machine.advance(REQUEST_NS);
            if self.server(vm).asked_ns.take().is_some() {
                self.answered += 1;
            }
        }
        self.server(vm).touched = 0;
        for nth in server.posted..target {
            let descriptor = Descriptor {
                address: SCRATCH + u64::from(nth % BUFFERS) * PAGE_SIZE,
                length: 2048,
                ..Descriptor::default()
            };
            let slot = u64::from(nth % RING_LEN) * 16;
            let at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx)) + slot;
            if !self.host.write(vm, at, descriptor.as_bytes()) {
                return;
            }
        }
        let posted_at = SHARED_ADDRESS + usize_to_u64(offset_of!(SharedPage, rx_posted));
        if self.host.write(vm, posted_at, &target.to_le_bytes()) {
            self.server(vm).posted = target;
            self.host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
        }
    }

    /// Has clients ask by Zipf's law until so many requests are answered; returns how many in a
    /// second.
    pub fn load(&mut self, zipf: &Zipf, requests: u32) -> f64 {
        self.ask(requests, |random| Some(zipf.draw(random)))
    }

    /// Has clients ask whom `next` names, as long as it names somebody, until so many requests are
    /// answered; returns how many in a second.
    pub fn ask(&mut self, requests: u32, mut next: impl FnMut(&mut Random) -> Option<u32>) -> f64 {
        let (begun, before) = (self.host.machine.now(), self.answered);
        while self.answered - before < requests {
            let now = self.host.machine.now().as_ns();
            let servers = &self.servers;
            self.waiting
                .retain(|&rank| servers[rank as usize].asked_ns.is_some());
            while self.waiting.len() < self.plan.clients {
                let Some(rank) = next(&mut self.random) else {
                    break;
                };
                let server = &mut self.servers[rank as usize];
                if server.asked_ns.is_some() {
                    break;
                }
                server.asked_ns = Some(now);
                self.waiting.push(rank);
                self.host.machine.arrive(&frame_to(rank + 1));
            }
            for &rank in &self.waiting {
                let asked = &mut self.servers[rank as usize].asked_ns;
                if asked.is_some_and(|asked| now - asked > PATIENCE_NS) {
                    *asked = Some(now);
                    self.host.machine.arrive(&frame_to(rank + 1));
                }
            }
            self.turn();
        }
        let lasted = self.host.machine.now().since_ns(begun);
        f64::from(requests) * 1e9 / lasted as f64
    }
}

fn frame_to(number: u32) -> Vec<u8> {
    let mut frame = network(number).mac.to_vec();
    frame.extend_from_slice(&[0x52, 0x55, 10, 90, 0, 2]);
    frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&[10, 90, 0, 2, 10, 90, 0, 3]);
    frame.extend_from_slice(b"datagram");
    frame
}
