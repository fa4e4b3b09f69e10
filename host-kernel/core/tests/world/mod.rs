//! Guests that run in virtual time: a server, and hogs of every kind beside it.
//!
//! The model: a world switch takes [`SWITCH_NS`], the kernel's work as [`COSTS`] says, the NIC holds
//! [`NIC_SLOTS`] frames and sends them at one gigabit a second, and reports room when half of them
//! are sent. Requests come from the wire at random times of a seed.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "a module of several test binaries, each of which uses a part"
)]

use crate::host::{Host, Random, SCRATCH, network};
use core::mem::offset_of;
use denali_abi::control::{Limits, VmConfig};
use denali_abi::convert::usize_to_u64;
use denali_abi::hypercall::{Hypercall, NO_DEADLINE};
use denali_abi::layout::{PAGE_SIZE, SHARED_ADDRESS};
use denali_abi::net::{Descriptor, RING_LEN};
use denali_abi::shared::SharedPage;
use denali_kernel_core::machine::fake::Costs;
use denali_kernel_core::machine::{Exit, Machine};
use denali_kernel_core::time::Time;
use denali_kernel_core::{Next, VmId};
use std::collections::VecDeque;
use zerocopy::IntoBytes;

/// A world switch into a guest and back.
pub const SWITCH_NS: u64 = 1_000;

/// What the kernel's work costs.
pub const COSTS: Costs = Costs {
    call_ns: 100,
    kib_ns: 100,
};

/// Frames the NIC holds.
pub const NIC_SLOTS: usize = 16;

/// CPU time the server needs for a request.
pub const REQUEST_NS: u64 = 500_000;

/// Mean time between two requests.
pub const REQUEST_EVERY_NS: u64 = 8_000_000;

/// CPU time the server needs for a frame that is none of its business.
const JUNK_NS: u64 = 2_000;

/// What a hog computes between two crossings: enough for nine to keep a gigabit busy.
const HOG_NS: u64 = 100_000;

/// What [`Kind::Timers`] computes between two.
const TIMERS_NS: u64 = 5_000;

/// When the first request arrives.
pub const WARM_UP_NS: u64 = 200_000_000;

/// Where guests keep frames to send.
const OUTBOX: u64 = SCRATCH;

/// Where the server's receive buffers lie, a page each for two.
const INBOX: u64 = SCRATCH + 0x10_0000;

/// Pages the page toucher touches before it gives them back.
const PAGES: u64 = 30;

const ROUTER: [u8; 6] = [0x52, 0x55, 10, 90, 0, 2];

/// What a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers requests.
    Server,
    /// Computes for ever.
    Cpu,
    /// Fills its ring with the longest frames to the wire and crosses, for ever.
    Packets,
    /// As [`Kind::Packets`], but sleeps while it cannot send.
    Sender,
    /// As [`Kind::Packets`], with frames for everybody.
    Broadcasts,
    /// Sleeps for a microsecond, for ever.
    Timers,
    /// Fills its console, for ever.
    Console,
    /// Touches new pages and gives them back, for ever.
    Pages,
}

/// One guest.
#[derive(Debug)]
struct Guest {
    vm: VmId,
    kind: Kind,
    /// CPU time it has put to its own use.
    useful_ns: u64,
    /// What is left to compute, and the request to answer then.
    work: Option<(u64, Option<u64>)>,
    /// Receive buffers it has looked at, or pages it has touched since it gave them back.
    seen: u32,
    /// Frames it has put into its transmit ring.
    produced: u32,
}

/// The host, its guests and the wire.
pub struct World {
    pub host: Host,
    guests: Vec<Guest>,
    random: Random,
    /// When the next request arrives, if there is a server.
    next_request: Option<u64>,
    /// When each request arrived.
    arrivals: Vec<u64>,
    /// Latencies of the answered requests.
    pub latencies_ns: Vec<u64>,
    /// When each frame in the NIC will have been sent, and the request it answers.
    wire: VecDeque<(u64, Option<u64>)>,
    wire_free_at: u64,
    nic_room: usize,
}

fn frame(destination: [u8; 6], number: u32, length: usize, id: u64) -> Vec<u8> {
    let config = network(number);
    let mut frame = [destination, config.mac].concat();
    let [high, low] = u16::try_from(length - 14).expect("a frame").to_be_bytes();
    frame.extend_from_slice(&[8, 0, 0x45, 0, high, low, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend_from_slice(&config.address);
    frame.extend_from_slice(&[10, 90, 0, 2]);
    frame.extend_from_slice(&id.to_le_bytes());
    frame.resize(length, 0);
    frame
}

fn id_of(frame: &[u8]) -> u64 {
    u64::from_le_bytes(frame[34..42].try_into().expect("eight bytes"))
}

const fn shared(offset: usize) -> u64 {
    SHARED_ADDRESS + offset as u64
}

impl World {
    /// Boots a host with these policies and guests.
    pub fn new(command_line: &str, seed: u64, guests: &[(Kind, Limits)]) -> Self {
        let mut host = Host::boot(8192, command_line);
        let image = host.create_image().expect("there is room");
        let mut world = Self {
            host,
            guests: Vec::new(),
            random: Random(seed),
            next_request: None,
            arrivals: Vec::new(),
            latencies_ns: Vec::new(),
            wire: VecDeque::new(),
            wire_free_at: 0,
            nic_room: NIC_SLOTS,
        };
        for (number, &(kind, limits)) in (1..).zip(guests) {
            world.add(image, number, kind, limits);
        }
        let Host {
            supervisor,
            ref mut machine,
            ..
        } = world.host;
        machine.set_costs(COSTS);
        machine.set_transmit_room(NIC_SLOTS);
        world
            .host
            .call(supervisor, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
        world
    }

    fn add(&mut self, image: u64, number: u32, kind: Kind, limits: Limits) {
        let config = VmConfig {
            limits,
            ..Host::config(image, number)
        };
        let vm = self.host.create(&config).expect("there is room");
        match kind {
            Kind::Server => {
                self.post_buffers(vm);
                self.fill_outbox(vm, &frame(ROUTER, number, 64, u64::MAX));
                self.next_request = Some(WARM_UP_NS);
            }
            Kind::Packets | Kind::Sender => {
                self.fill_outbox(vm, &frame(ROUTER, number, 1514, u64::MAX));
            }
            Kind::Broadcasts => self.fill_outbox(vm, &frame([0xff; 6], number, 64, u64::MAX)),
            Kind::Cpu | Kind::Timers | Kind::Console | Kind::Pages => {
                self.host.write(vm, OUTBOX, &[b'x'; 4096]);
            }
        }
        self.guests.push(Guest {
            vm,
            kind,
            useful_ns: 0,
            work: None,
            seen: 0,
            produced: 0,
        });
    }

    /// Points every transmit descriptor to a frame of its own, all the same.
    fn fill_outbox(&mut self, vm: VmId, frame: &[u8]) {
        for slot in 0..u64::from(RING_LEN) {
            // Long frames are all one, short ones are changed before they are sent.
            let address = OUTBOX + if frame.len() <= 64 { slot * 64 } else { 0 };
            let descriptor = Descriptor {
                address,
                length: u32::try_from(frame.len()).expect("short"),
                ..Descriptor::default()
            };
            self.host.write(vm, address, frame);
            let at = shared(offset_of!(SharedPage, tx)) + slot * 16;
            self.host.write(vm, at, descriptor.as_bytes());
        }
    }

    fn post_buffers(&mut self, vm: VmId) {
        for slot in 0..RING_LEN {
            self.post_buffer(vm, slot);
            let touch = inbox(slot);
            self.host.write(vm, touch, &[0]);
        }
    }

    /// Posts the buffer of a slot, so that `posted` are posted in all.
    fn post_buffer(&mut self, vm: VmId, posted: u32) {
        let slot = posted % RING_LEN;
        let descriptor = Descriptor {
            address: inbox(slot),
            length: 2048,
            ..Descriptor::default()
        };
        let at = shared(offset_of!(SharedPage, rx)) + u64::from(slot) * 16;
        self.host.write(vm, at, descriptor.as_bytes());
        let index = (posted + 1).to_le_bytes();
        self.host
            .write(vm, shared(offset_of!(SharedPage, rx_posted)), &index);
    }

    fn shared_word(&mut self, vm: VmId, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.host.read(vm, shared(offset), &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn now(&mut self) -> u64 {
        self.host.machine.now().as_ns()
    }

    /// Returns CPU time a guest put to its own use, in nanoseconds.
    pub fn useful_ns(&self, guest: usize) -> u64 {
        self.guests[guest].useful_ns
    }

    /// Returns CPU time charged to a guest, in nanoseconds.
    pub fn charged_ns(&self, guest: usize) -> u64 {
        let vm = self.host.kernel.vm(self.guests[guest].vm);
        vm.expect("it lives").counters.cpu_ns
    }

    /// Returns the frames a guest sent.
    pub fn sent(&self, guest: usize) -> u64 {
        let vm = self.host.kernel.vm(self.guests[guest].vm);
        vm.expect("it lives").counters.tx_frames
    }

    /// Lets the guest `herald` end, which wakes the supervisor, and that gives another guest other
    /// limits.
    pub fn set_limits(&mut self, guest: usize, limits: Limits, herald: usize) {
        let supervisor = self.host.supervisor;
        let herald = self.guests[herald].vm;
        self.host.call(herald, Hypercall::Terminate, &[0]);
        self.host.write(supervisor, OUTBOX, limits.as_bytes());
        let vm = self.guests[guest].vm.raw();
        self.host
            .control(Hypercall::VmLimits, &[vm, OUTBOX])
            .expect("sound limits");
        self.host
            .call(supervisor, Hypercall::IdleWithTimeout, &[NO_DEADLINE]);
    }

    /// Lets no more requests arrive.
    pub const fn stop_requests(&mut self) {
        self.next_request = None;
    }

    /// Returns how many requests arrived.
    pub fn requests(&self) -> u64 {
        usize_to_u64(self.arrivals.len())
    }

    /// Returns the id of a guest's VM.
    pub fn vm(&self, guest: usize) -> VmId {
        self.guests[guest].vm
    }

    /// Lets this much time pass.
    pub fn run(&mut self, duration_ns: u64) {
        let end = self.now() + duration_ns;
        while self.now() < end {
            self.pump();
            for _ in 0..NIC_SLOTS {
                let Some(event) = self.host.machine.poll_event() else {
                    break;
                };
                self.host.kernel.deliver(event, &mut self.host.machine);
                self.pump();
            }
            let now = self.host.machine.now();
            match self.host.kernel.next(now, &mut self.host.machine) {
                Next::Run { vm, until, .. } => self.run_guest(vm, until),
                Next::Idle { until } => {
                    let alarm = until.map_or(end, Time::as_ns);
                    let wake = alarm.min(self.next_outside()).min(end);
                    let now = self.now();
                    self.host.machine.advance(wake.saturating_sub(now).max(1));
                }
            }
        }
    }

    /// Lets arrive what is due, and takes frames sent onto the wire.
    fn pump(&mut self) {
        let now = self.now();
        while let Some(at) = self.next_request.filter(|&at| at <= now) {
            let id = usize_to_u64(self.arrivals.len());
            self.arrivals.push(at);
            let server = network(1).mac;
            let mut request = frame(server, 99, 64, id);
            request[6..12].copy_from_slice(&ROUTER);
            self.host.machine.arrive(&request);
            // Between a tenth and 1.9 times the mean.
            let gap = REQUEST_EVERY_NS / 10 + self.random.below(REQUEST_EVERY_NS * 9 / 5);
            self.next_request = Some(at + gap);
        }
        while let Some(frame) = self.host.machine.take_sent() {
            // Preamble, check sequence and gap (IEEE 802.3) are 24 bytes; a byte takes 8 ns.
            let done = self.wire_free_at.max(now) + 8 * (usize_to_u64(frame.len()) + 24);
            self.wire_free_at = done;
            let id = Some(id_of(&frame)).filter(|&id| id != u64::MAX);
            self.wire.push_back((done, id));
            self.nic_room -= 1;
        }
        let mut sent = 0;
        while self.wire.get(sent).is_some_and(|&(done, _)| done <= now) {
            sent += 1;
        }
        if self.nic_room == 0 && sent < NIC_SLOTS / 2 {
            return;
        }
        for (done, id) in self.wire.drain(..sent) {
            self.nic_room += 1;
            if let Some(id) = id {
                let arrived = self.arrivals[usize::try_from(id).expect("an index")];
                self.latencies_ns.push(done - arrived);
            }
        }
        self.host.machine.set_transmit_room(self.nic_room);
    }

    /// Returns when something next happens outside.
    fn next_outside(&self) -> u64 {
        let room = (self.nic_room == 0).then(|| self.wire[NIC_SLOTS / 2 - 1].0);
        let next = self.next_request.into_iter().chain(room).min();
        next.unwrap_or(u64::MAX)
    }

    fn run_guest(&mut self, vm: VmId, until: Time) {
        let index = self
            .guests
            .iter()
            .position(|guest| guest.vm == vm)
            .expect("the supervisor sleeps");
        self.host.machine.advance(SWITCH_NS);
        let exit = match self.guests[index].kind {
            Kind::Cpu => {
                self.compute(index, u64::MAX, until);
                Exit::Interrupted
            }
            Kind::Server => self.serve(index, until),
            hog => {
                let busy_ns = if hog == Kind::Timers {
                    TIMERS_NS
                } else {
                    HOG_NS
                };
                self.compute(index, busy_ns, Time::from_ns(u64::MAX));
                self.hog(index, hog)
            }
        };
        self.host.kernel.handle(vm, exit, &mut self.host.machine);
    }

    /// Computes for `wanted_ns`, or until the slice is over or an interrupt comes. Returns for how
    /// long.
    fn compute(&mut self, index: usize, wanted_ns: u64, until: Time) -> u64 {
        let now = self.now();
        let end = until.as_ns().min(self.next_outside()).max(now);
        let ran_ns = wanted_ns.min(end - now);
        self.host.machine.advance(ran_ns);
        self.guests[index].useful_ns += ran_ns;
        ran_ns
    }

    /// Lets a hog cross.
    fn hog(&mut self, index: usize, kind: Kind) -> Exit {
        let vm = self.guests[index].vm;
        match kind {
            Kind::Packets | Kind::Broadcasts | Kind::Sender => {
                let consumed = self.shared_word(vm, offset_of!(SharedPage, tx_consumed));
                let produced = consumed.wrapping_add(RING_LEN).to_le_bytes();
                let at = shared(offset_of!(SharedPage, tx_produced));
                self.host.write(vm, at, &produced);
                if kind == Kind::Sender {
                    return hypercall(Hypercall::IdleWithTimeout, [NO_DEADLINE, 0]);
                }
                hypercall(Hypercall::NetworkNotify, [0; 2])
            }
            Kind::Timers => {
                let deadline = self.now() + 1_000;
                hypercall(Hypercall::IdleWithTimeout, [deadline, 0])
            }
            Kind::Console => hypercall(Hypercall::ConsoleWrite, [OUTBOX, 4096]),
            Kind::Pages => {
                let touched = self.guests[index].seen;
                if u64::from(touched) == PAGES {
                    self.guests[index].seen = 0;
                    return hypercall(Hypercall::ReleaseMemory, [INBOX, PAGES]);
                }
                self.guests[index].seen += 1;
                let address = INBOX + u64::from(touched) * PAGE_SIZE;
                let space = self.host.space(vm);
                let touch = self.host.machine.guest_write(space, address, &[1]);
                touch.expect_err("the page was given back")
            }
            Kind::Server | Kind::Cpu => unreachable!("no hogs of this kind"),
        }
    }

    /// Lets the server work on requests until it has none left, and sleep then.
    fn serve(&mut self, index: usize, until: Time) -> Exit {
        let vm = self.guests[index].vm;
        loop {
            if let Some((wanted_ns, request)) = self.guests[index].work {
                let ran_ns = self.compute(index, wanted_ns, until);
                if ran_ns < wanted_ns {
                    self.guests[index].work = Some((wanted_ns - ran_ns, request));
                    return Exit::Interrupted;
                }
                self.guests[index].work = None;
                if let Some(id) = request {
                    self.reply(index, id);
                    return hypercall(Hypercall::NetworkNotify, [0; 2]);
                }
            }
            let filled = self.shared_word(vm, offset_of!(SharedPage, rx_filled));
            let seen = self.guests[index].seen;
            if seen == filled {
                return hypercall(Hypercall::IdleWithTimeout, [NO_DEADLINE, 0]);
            }
            let mut bytes = [0; 64];
            self.host.read(vm, inbox(seen % RING_LEN), &mut bytes);
            self.post_buffer(vm, seen.wrapping_add(RING_LEN));
            self.guests[index].seen = seen.wrapping_add(1);
            let id = id_of(&bytes);
            self.guests[index].work = Some(if bytes[6..12] == ROUTER {
                (REQUEST_NS, Some(id))
            } else {
                (JUNK_NS, None)
            });
        }
    }

    /// Puts the answer to a request into the transmit ring.
    fn reply(&mut self, index: usize, id: u64) {
        let Guest { vm, produced, .. } = self.guests[index];
        let address = OUTBOX + u64::from(produced % RING_LEN) * 64;
        self.host.write(vm, address + 34, &id.to_le_bytes());
        self.guests[index].produced = produced.wrapping_add(1);
        let at = shared(offset_of!(SharedPage, tx_produced));
        let produced = self.guests[index].produced.to_le_bytes();
        self.host.write(vm, at, &produced);
    }
}

fn inbox(slot: u32) -> u64 {
    INBOX + u64::from(slot) * 2048
}

fn hypercall(call: Hypercall, [first, second]: [u64; 2]) -> Exit {
    Exit::Hypercall {
        number: call.number(),
        arguments: [first, second, 0, 0, 0, 0],
    }
}
