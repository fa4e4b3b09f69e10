//! Frozen VMs: what is saved of one is all there is to it, and what is given back is checked.

mod host;

use core::mem::offset_of;
use denali_abi::control::{FrozenState, FrozenVm, VmConfig, VmState, vm_flags};
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_abi::hypercall::{Hypercall, PAGES_LOOKED};
use denali_abi::layout::{GUEST_END, INITIAL_STACK_TOP, PAGE_SIZE, REGISTERS_ADDRESS};
use denali_abi::registers::VirtualRegisters;
use denali_abi::shared::interrupt::{RESUME, TIMER};
use denali_kernel_core::machine::{Machine, Position};
use denali_kernel_core::{Next, VmId};
use host::{DATA, Host, Random, SCRATCH, seeds};
use std::collections::BTreeMap;
use zerocopy::{FromZeros, IntoBytes};

/// Where the supervisor keeps what it reads and writes.
const BUFFER: u64 = SCRATCH + 0x1_0000;

/// Turns of the kernel's loop in which a page comes back from swap.
const TURNS_MAX: u32 = 20_000;

/// What is saved of a VM.
#[derive(Clone)]
struct Saved {
    pages: BTreeMap<u64, Vec<u8>>,
    rest: Box<FrozenVm>,
}

fn host() -> (Host, u64, VmId) {
    let mut host = Host::boot(2048, "");
    let image = host.create_image().expect("there is room");
    let vm = host.create_vm(image, 1);
    run(&mut host, vm);
    (host, image, vm)
}

/// Lets the kernel choose `vm` once.
fn run(host: &mut Host, vm: VmId) {
    for _ in 0..TURNS_MAX {
        if matches!(host.next(), Next::Run { vm: chosen, .. } if chosen == vm) {
            return;
        }
        host.turn();
    }
    panic!("{vm} never runs");
}

/// Makes a call until it is not too early for it.
fn patiently(host: &mut Host, call: Hypercall, arguments: &[u64]) -> Result<u64, Errno> {
    for _ in 0..TURNS_MAX {
        match host.control(call, arguments) {
            Err(Errno::Busy) => host.turn(),
            result => return result,
        }
    }
    panic!("{call:?} is too early for ever");
}

fn freeze(host: &mut Host, vm: VmId) {
    assert_eq!(host.control(Hypercall::VmFreeze, &[vm.raw()]), Ok(0));
}

fn thaw(host: &mut Host, vm: VmId) -> Result<u64, Errno> {
    host.control(Hypercall::VmThaw, &[vm.raw(), 0])
}

fn save(host: &mut Host, vm: VmId) -> Saved {
    let mut pages = BTreeMap::new();
    let mut next = 0;
    while next < GUEST_END / PAGE_SIZE {
        let found = patiently(host, Hypercall::PageRead, &[vm.raw(), next, BUFFER]);
        let found = found.expect("a frozen VM is read");
        if found >= (next + u64::from(PAGES_LOOKED)).min(GUEST_END / PAGE_SIZE) {
            next = found;
            continue;
        }
        let mut page = vec![0; 4096];
        host.read(host.supervisor, BUFFER, &mut page);
        pages.insert(found, page);
        next = found + 1;
    }
    let saved = patiently(host, Hypercall::VmSave, &[vm.raw(), BUFFER]);
    assert_eq!(saved, Ok(0));
    let mut rest = Box::new(FrozenVm::new_zeroed());
    host.read(host.supervisor, BUFFER, rest.as_mut_bytes());
    Saved { pages, rest }
}

fn create_frozen(host: &mut Host, image: u64, number: u32) -> VmId {
    let config = VmConfig {
        flags: vm_flags::FROZEN,
        ..Host::config(image, number)
    };
    host.create(&config).expect("there is room")
}

/// Gives a VM that was created frozen what was saved, and lets it go on.
fn load(host: &mut Host, vm: VmId, saved: &Saved) -> Result<u64, Errno> {
    for (&page, bytes) in &saved.pages {
        host.write(host.supervisor, BUFFER, bytes);
        patiently(host, Hypercall::PageWrite, &[vm.raw(), page, BUFFER])?;
    }
    host.write(host.supervisor, BUFFER, saved.rest.as_bytes());
    patiently(host, Hypercall::VmThaw, &[vm.raw(), BUFFER])
}

/// Reads a guest's registers page.
fn registers(host: &mut Host, vm: VmId) -> VirtualRegisters {
    let mut registers = VirtualRegisters::new_zeroed();
    assert!(host.read(vm, REGISTERS_ADDRESS, registers.as_mut_bytes()));
    registers
}

#[test]
fn a_frozen_vm_does_not_run_until_it_is_thawed() {
    let (mut host, _, vm) = host();
    freeze(&mut host, vm);
    let switches = host.kernel.vm(vm).map(|vm| vm.counters.switches);
    for _ in 0..100 {
        host.turn();
        host.audit();
    }
    assert_eq!(host.kernel.vm(vm).map(|vm| vm.counters.switches), switches);
    let limits = denali_abi::control::Limits::default();
    host.write(host.supervisor, SCRATCH, limits.as_bytes());
    assert_eq!(
        host.control(Hypercall::VmLimits, &[vm.raw(), SCRATCH]),
        Ok(0)
    );
    assert!(host.kernel.vm(vm).is_some_and(|vm| vm.is_frozen()));
    assert_eq!(thaw(&mut host, vm), Ok(0));
    assert_eq!(thaw(&mut host, vm), Err(Errno::Invalid));
    run(&mut host, vm);
    host.audit();
}

#[test]
fn an_idle_vm_that_was_frozen_wakes_when_it_is_thawed_not_before() {
    let (mut host, _, vm) = host();
    let deadline = host.machine.now().as_ns() + 1_000;
    host.call(vm, Hypercall::IdleWithTimeout, &[deadline]);
    freeze(&mut host, vm);
    host.machine.advance(1_000_000);
    host.turn();
    host.audit();
    assert_eq!(host.state(vm), Some(VmState::Ready));
    assert_eq!(thaw(&mut host, vm), Ok(0));
    run(&mut host, vm);
    let space = host.space(vm);
    assert_eq!(host.machine.take_result(space), Some(i64::from(TIMER)));
}

#[test]
fn what_is_read_is_what_was_written_and_not_what_the_image_says() {
    let (mut host, _, vm) = host();
    host.write(vm, DATA, &[b'D'; 64]);
    host.write(vm, DATA + PAGE_SIZE, &[7; 64]);
    host.write(vm, SCRATCH, &[0; 64]);
    host.write(vm, INITIAL_STACK_TOP - 64, &[9; 64]);
    freeze(&mut host, vm);
    let saved = save(&mut host, vm);
    let pages: Vec<u64> = saved.pages.keys().copied().collect();
    let expected = [DATA + PAGE_SIZE, INITIAL_STACK_TOP - PAGE_SIZE];
    assert_eq!(pages, expected.map(|address| address / PAGE_SIZE));
    assert_eq!(saved.pages[&pages[0]][..64], [7; 64]);
    let image = host.kernel.vm(vm).expect("it is there").image.raw();
    let read = host.control(Hypercall::ImageRead, &[image, 0, BUFFER]);
    assert_eq!(read, Ok(0));
    let mut header = [0; size_of::<denali_abi::image::ImageHeader>()];
    host.read(host.supervisor, BUFFER, &mut header);
    assert_eq!(header, host::header().as_bytes());
    for (index, fill) in (1..).zip(*b"TRD") {
        let read = host.control(Hypercall::ImageRead, &[image, index, BUFFER]);
        assert_eq!(read, Ok(0));
        let mut page = [0; 4096];
        host.read(host.supervisor, BUFFER, &mut page);
        assert_eq!(page, [fill; 4096]);
    }
    let behind = host.control(Hypercall::ImageRead, &[image, 4, BUFFER]);
    assert_eq!(behind, Err(Errno::Invalid));
}

/// A guest of a program of its own: each step depends on all before.
struct Life {
    random: Random,
    sum: u64,
}

impl Life {
    const ADDRESSES: [u64; 4] = [DATA, DATA + PAGE_SIZE, SCRATCH, INITIAL_STACK_TOP - 512];

    /// Reads a word, mixes it with the number of the step and writes it elsewhere.
    fn step(&mut self, host: &mut Host, vm: VmId) {
        let pick = |random: &mut Random| {
            let address = Self::ADDRESSES[u64_to_usize(random.below(4))];
            address + random.below(32) * 8
        };
        let mut word = [0; 8];
        assert!(host.read(vm, pick(&mut self.random), &mut word));
        let next = u64::from_le_bytes(word).wrapping_mul(31) ^ self.random.next();
        assert!(host.write(vm, pick(&mut self.random), &next.to_le_bytes()));
        self.sum = self.sum.rotate_left(5) ^ next;
    }

    fn copy(&self) -> Self {
        Self {
            random: Random(self.random.0),
            sum: self.sum,
        }
    }
}

#[test]
fn pages_that_say_nothing_new_are_compared_in_small_numbers() {
    let (mut host, image, _) = host();
    let config = VmConfig {
        memory_pages: 128,
        ..Host::config(image, 2)
    };
    let vm = host.create(&config).expect("there is room");
    run(&mut host, vm);
    for page in 0..65 {
        host.write(vm, SCRATCH + page * PAGE_SIZE, &[0; 64]);
    }
    freeze(&mut host, vm);
    let saved = save(&mut host, vm);
    let pages: Vec<u64> = saved.pages.keys().copied().collect();
    assert_eq!(
        pages,
        [SCRATCH / PAGE_SIZE + 64],
        "the 65th is taken for written"
    );
}

#[test]
fn a_vm_goes_on_from_any_point_of_its_life_as_it_would_have() {
    for seed in seeds::seeds(40) {
        let (mut host, image, vm) = host();
        let mut random = Random(seed);
        let mut life = Life {
            random: Random(seed ^ 0xabcd),
            sum: 0,
        };
        for _ in 0..random.below(50) {
            life.step(&mut host, vm);
        }
        let position = Position {
            rip: denali_abi::layout::IMAGE_BASE + random.below(4096),
            rsp: INITIAL_STACK_TOP - random.below(4096),
        };
        let space = host.space(vm);
        host.machine.set_position(space, position);
        freeze(&mut host, vm);
        let saved = save(&mut host, vm);
        host.machine.advance(random.below(1_000_000_000));
        let copy = create_frozen(&mut host, image, 2);
        host.audit();
        assert_eq!(load(&mut host, copy, &saved), Ok(0));
        assert_eq!(thaw(&mut host, vm), Ok(0));
        host.audit();
        assert_eq!(host.machine.position(host.space(copy)), position);
        let mut twin = life.copy();
        for _ in 0..50 {
            life.step(&mut host, vm);
            twin.step(&mut host, copy);
            assert_eq!(life.sum, twin.sum, "seed {seed}");
        }
        host.audit();
    }
}

#[test]
fn a_restored_vm_learns_of_it_and_its_clock_goes_on_where_it_stood() {
    let (mut host, image, vm) = host();
    host.machine.advance(5_000_000_000);
    let before = registers(&mut host, vm);
    let shown = |host: &mut Host, registers: &VirtualRegisters| {
        registers.clock.monotonic_ns(host.machine.now().as_ns())
    };
    host.call(vm, Hypercall::IdleWithTimeout, &[9_000_000_000]);
    freeze(&mut host, vm);
    let saved = save(&mut host, vm);
    assert_eq!(saved.rest.state.idles, 1);
    host.machine.advance(60_000_000_000);
    let copy = create_frozen(&mut host, image, 2);
    assert_eq!(load(&mut host, copy, &saved), Ok(0));
    let space = host.space(copy);
    assert_eq!(host.machine.take_result(space), Some(i64::from(RESUME)));
    run(&mut host, copy);
    let after = registers(&mut host, copy);
    assert_eq!(after.resume_generation, before.resume_generation + 1);
    assert_ne!(after.seed, before.seed);
    assert_ne!(after.network.mac, before.network.mac);
    let now = shown(&mut host, &after);
    let stood = saved.rest.state.monotonic_ns;
    assert!((stood..stood + 1_000_000_000).contains(&now), "{now}");
    let wall = |clock: &denali_abi::registers::ClockParameters, ns: u64| {
        ns.wrapping_add(clock.wall_offset_ns)
    };
    let host_now = host.machine.now().as_ns();
    assert_eq!(
        wall(&after.clock, now),
        wall(&host.machine.clock(), host_now)
    );

    // A deadline of its own clock is met on the host's.
    host.call(copy, Hypercall::IdleWithTimeout, &[now + 1_000_000]);
    assert_eq!(host.state(copy), Some(VmState::Idle));
    let deadline = host.kernel.vm(copy).and_then(|vm| vm.deadline);
    let deadline = deadline.expect("it has one").as_ns();
    assert!(
        deadline.abs_diff(host_now + 1_000_000) < 1_000_000,
        "{deadline}"
    );
    let deadline_ns = host_now + 5_000_000;
    let stop = [copy.raw(), deadline_ns];
    assert_eq!(host.control(Hypercall::VmStop, &stop), Ok(0));
    let until = registers(&mut host, copy).stop_deadline_ns;
    assert_eq!(until, deadline_ns - host_now + now);
    assert_eq!(thaw(&mut host, vm), Ok(0));
    host.audit();
}

#[test]
fn what_waits_is_told_in_the_shared_page_if_it_does_not_idle() {
    let (mut host, image, vm) = host();
    freeze(&mut host, vm);
    let saved = save(&mut host, vm);
    let copy = create_frozen(&mut host, image, 2);
    assert_eq!(load(&mut host, copy, &saved), Ok(0));
    run(&mut host, copy);
    let pending = host.call(copy, Hypercall::IdleWithTimeout, &[u64::MAX]);
    assert_eq!(pending, Some(i64::from(RESUME)));
}

#[test]
fn only_a_vm_that_never_ran_takes_pages_and_a_state() {
    let (mut host, image, vm) = host();
    let raw = vm.raw();
    let reads = [
        (Hypercall::VmSave, vec![raw, BUFFER]),
        (Hypercall::PageRead, vec![raw, 0, BUFFER]),
        (Hypercall::PageWrite, vec![raw, DATA / PAGE_SIZE, BUFFER]),
        (Hypercall::VmThaw, vec![raw, BUFFER]),
    ];
    for (call, arguments) in &reads {
        assert_eq!(host.control(*call, arguments), Err(Errno::Invalid));
    }
    freeze(&mut host, vm);
    for (call, arguments) in &reads[2..] {
        assert_eq!(host.control(*call, arguments), Err(Errno::Invalid));
    }
    let copy = create_frozen(&mut host, image, 2);
    assert_eq!(thaw(&mut host, copy), Err(Errno::Busy));
    let fresh = host.create_vm(image, 3);
    let early = host.control(Hypercall::VmFreeze, &[fresh.raw()]);
    assert_eq!(early, Err(Errno::Busy));
    let own = host.supervisor.raw();
    let itself = host.control(Hypercall::VmFreeze, &[own]);
    assert_eq!(itself, Err(Errno::Invalid));
    host.audit();
}

#[test]
fn a_page_goes_where_the_vm_itself_could_write_and_nowhere_else() {
    let (mut host, image, _) = host();
    let copy = create_frozen(&mut host, image, 2);
    let write = |host: &mut Host, page: u64| {
        host.control(Hypercall::PageWrite, &[copy.raw(), page, BUFFER])
    };
    let text = denali_abi::layout::IMAGE_BASE / PAGE_SIZE;
    let guard = denali_abi::layout::SMALL_STACKS_BASE / PAGE_SIZE;
    let bad = [
        0,
        1,
        REGISTERS_ADDRESS / PAGE_SIZE,
        text,
        text + 1,
        guard,
        GUEST_END / PAGE_SIZE,
        1 << 40,
        u64::MAX / PAGE_SIZE,
        u64::MAX,
    ];
    for page in bad {
        assert_eq!(write(&mut host, page), Err(Errno::BadAddress), "{page:#x}");
    }
    let mut written = 0;
    let last = loop {
        match write(&mut host, SCRATCH / PAGE_SIZE + written) {
            Ok(_) => written += 1,
            Err(errno) => break errno,
        }
    };
    assert_eq!(last, Errno::OutOfMemory);
    assert!(written < u64::from(host::LIMIT), "{written} pages");
    host.audit();
}

#[test]
fn a_state_that_no_guest_can_have_ends_the_new_vm_and_nothing_else() {
    let (mut host, image, vm) = host();
    freeze(&mut host, vm);
    let saved = save(&mut host, vm);
    let mut number = 1;
    let mut spoil = |host: &mut Host, change: &dyn Fn(&mut FrozenVm)| {
        number += 1;
        let mut saved = saved.clone();
        change(&mut saved.rest);
        let copy = create_frozen(host, image, number);
        let loaded = load(host, copy, &saved);
        let state = host.state(copy);
        host.audit();
        if loaded.is_err() {
            assert_eq!(state, Some(VmState::Ended));
            assert!(host.control(Hypercall::VmDestroy, &[copy.raw()]).is_ok());
        }
        loaded
    };
    let bad_rip = |it: &mut FrozenVm| it.registers[24..32].fill(0xff);
    assert_eq!(spoil(&mut host, &bad_rip), Err(Errno::Invalid));
    let upcall = |it: &mut FrozenVm| it.state.upcall_entry = u64::MAX;
    assert_eq!(spoil(&mut host, &upcall), Err(Errno::BadAddress));
    let stack = |it: &mut FrozenVm| it.state.upcall_stack = 8;
    assert!(spoil(&mut host, &stack).is_err());
    // A clock or index of any kind is the guest's own trouble.
    let odd = |it: &mut FrozenVm| {
        it.state = FrozenState {
            monotonic_ns: u64::MAX,
            console_written: u64::MAX,
            resume_generation: u32::MAX,
            tx_consumed: 77,
            rx_filled: u32::MAX,
            ..FrozenState::default()
        }
    };
    assert_eq!(spoil(&mut host, &odd), Ok(0));
    assert_eq!(thaw(&mut host, vm), Ok(0));
    run(&mut host, vm);
}

#[test]
fn no_flipped_bit_of_a_state_breaks_an_invariant() {
    let (mut host, image, vm) = host();
    host.write(vm, SCRATCH, &[1; 64]);
    host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
    freeze(&mut host, vm);
    let saved = save(&mut host, vm);
    let state = 8 * offset_of!(FrozenVm, registers);
    let words = 8 * 40;
    let shared = 8 * offset_of!(FrozenVm, shared);
    let bits = (0..state + words).chain(shared..shared + 8 * 64);
    for bit in bits.step_by(3) {
        let mut saved = saved.clone();
        saved.rest.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        let copy = create_frozen(&mut host, image, 2);
        let loaded = load(&mut host, copy, &saved);
        for _ in 0..3 {
            host.turn();
        }
        if loaded.is_ok() && host.state(copy) == Some(VmState::Ready) {
            host.call(copy, Hypercall::IdleWithTimeout, &[0]);
        }
        host.audit();
        host.control(Hypercall::VmStop, &[copy.raw(), 0]).ok();
        assert!(host.control(Hypercall::VmDestroy, &[copy.raw()]).is_ok());
    }
    host.audit();
}

#[test]
fn a_vm_that_sleeps_on_swap_is_called_back_and_saved_whole() {
    let mut host = Host::boot_with_disks(512, "", 2, 1 << 20);
    host.machine.fake_disks().set_latency_ns(50_000, 2_000_000);
    let image = host.create_image().expect("there is room");
    let vm = host.create_vm(image, 1);
    run(&mut host, vm);
    for page in 0..20_u8 {
        host.write(vm, SCRATCH + u64::from(page) * PAGE_SIZE, &[page + 1; 32]);
    }
    host.call(vm, Hypercall::IdleWithTimeout, &[u64::MAX]);
    // Others take the memory.
    for number in 2..30 {
        let other = host.create_vm(image, number);
        for _ in 0..TURNS_MAX {
            if host.state(other) == Some(VmState::Ready) {
                break;
            }
            host.turn();
        }
        for page in 0..20 {
            host.write(other, SCRATCH + page * PAGE_SIZE, &[0xee; 32]);
        }
        if host.state(other) == Some(VmState::Ready) {
            host.call(other, Hypercall::IdleWithTimeout, &[u64::MAX]);
        }
        if host.state(vm) == Some(VmState::Dormant) {
            break;
        }
    }
    assert_eq!(host.state(vm), Some(VmState::Dormant));
    freeze(&mut host, vm);
    let saved = save(&mut host, vm);
    assert_eq!(saved.pages.len(), 20);
    host.audit();
    let copy = create_frozen(&mut host, image, 99);
    assert_eq!(load(&mut host, copy, &saved), Ok(0));
    assert_eq!(thaw(&mut host, vm), Ok(0));
    for page in 0..20_u8 {
        let mut found = [0; 32];
        while !host.read(copy, SCRATCH + u64::from(page) * PAGE_SIZE, &mut found) {
            host.turn();
        }
        assert_eq!(found, [page + 1; 32]);
    }
    host.audit();
}
