//! Block devices: whose blocks are whose, what hostile rings and failing disks bring about, and a
//! simulation of many VMs against a model of what their volumes hold.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

mod host;

use core::mem::offset_of;
use denali_abi::block::{
    BLOCK_LEN, BLOCK_RING_LEN, BlockCompletion, BlockRequest, BlockRings, VOLUME_KEY_LEN,
    VolumeConfig, VolumeInfo, operation,
};
use denali_abi::control::{VmConfig, VmState};
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::SHARED_ADDRESS;
use denali_abi::partition::{Partition, PartitionTable, kind};
use denali_abi::shared::{SharedPage, interrupt};
use denali_kernel_core::VmId;
use denali_kernel_core::machine::disk::Writable;
use denali_kernel_core::machine::fake::{DiskFault, FakeMachine};
use host::{Host, Random, SCRATCH};
use zerocopy::{FromZeros, IntoBytes};

/// Blocks of the disk: the table, a store, volumes, swap.
const STORE: (u64, u64) = (1, 63);
const VOLUMES: (u64, u64) = (64, 400);
const SWAP: (u64, u64) = (512, 4096);
const DISK: u64 = 8192;

/// Where guests keep the blocks of their requests.
const BUFFERS: u64 = SCRATCH + 0x10_0000;

/// Turns of the kernel's loop in which everything must be done.
const TURNS_MAX: u32 = 20_000;

fn partitions() -> PartitionTable {
    let part = |kind, (start, blocks)| Partition {
        kind,
        start,
        blocks,
        ..Partition::default()
    };
    PartitionTable::new(&[
        part(kind::STORE, STORE),
        part(kind::VOLUMES, VOLUMES),
        part(kind::SWAP, SWAP),
    ])
}

fn first_block(table: &PartitionTable) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    block[..size_of::<PartitionTable>()].copy_from_slice(table.as_bytes());
    block
}

fn boot(first: &[u8; BLOCK_LEN]) -> Host {
    let mut machine = FakeMachine::new(2048);
    machine.fake_disks().add(DISK, Writable::Yes);
    machine.fake_disks().set_contents(0, 0, first);
    machine.fake_disks().set_latency_ns(50_000, 2_000_000);
    Host::boot_on(machine, 2048, "gatekeeper=fifo", |_| {})
}

fn key(of: u8) -> [u8; VOLUME_KEY_LEN] {
    core::array::from_fn(|at| of ^ u8::try_from(at).expect("short"))
}

fn volume(start: u64, blocks: u64) -> VolumeConfig {
    VolumeConfig {
        start,
        info: VolumeInfo {
            blocks,
            name: *b"data\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        },
        key: key(u8::try_from(start % 251).expect("short")),
    }
}

struct World {
    host: Host,
    image: u64,
    numbers: u32,
}

/// One VM's view of its rings.
#[derive(Clone, Copy, Debug)]
struct Guest {
    vm: VmId,
    submitted: u32,
    reaped: u32,
}

const fn rings(offset: usize) -> u64 {
    SHARED_ADDRESS + (offset_of!(SharedPage, block) + offset) as u64
}

impl World {
    fn new() -> Self {
        Self::on(boot(&first_block(&partitions())))
    }

    fn on(mut host: Host) -> Self {
        let image = host.create_image().expect("there is room");
        Self {
            host,
            image,
            numbers: 0,
        }
    }

    fn create(&mut self, volumes: &[VolumeConfig]) -> Result<Guest, Errno> {
        self.numbers += 1;
        let at = SCRATCH + 2048;
        let supervisor = self.host.supervisor;
        self.host.write(supervisor, at, volumes.as_bytes());
        let config = VmConfig {
            volumes: at,
            volumes_len: u32::try_from(volumes.len()).expect("few"),
            ..Host::config(self.image, self.numbers)
        };
        let vm = self.host.create(&config)?;
        Ok(Guest {
            vm,
            submitted: 0,
            reaped: 0,
        })
    }

    fn word(&mut self, guest: &Guest, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.host.read(guest.vm, rings(offset), &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn set_word(&mut self, guest: &Guest, offset: usize, value: u32) {
        self.host
            .write(guest.vm, rings(offset), &value.to_le_bytes());
    }

    /// Puts a request into the ring; its tag is its number.
    fn put(&mut self, guest: &mut Guest, operation: u32, volume: u32, block: u64) -> u64 {
        let tag = u64::from(guest.submitted);
        let slot = tag % u64::from(BLOCK_RING_LEN);
        self.put_raw(
            guest,
            BlockRequest {
                operation,
                volume,
                block,
                address: BUFFERS + slot * BLOCK_LEN as u64,
                tag,
            },
        );
        tag
    }

    fn put_raw(&mut self, guest: &mut Guest, request: BlockRequest) {
        let slot = u64::from(guest.submitted % BLOCK_RING_LEN);
        let at = rings(offset_of!(BlockRings, requests)) + slot * 32;
        self.host.write(guest.vm, at, request.as_bytes());
        guest.submitted = guest.submitted.wrapping_add(1);
        self.set_word(guest, offset_of!(BlockRings, submitted), guest.submitted);
    }

    fn submit(&mut self, guest: &Guest) {
        self.host.call(guest.vm, Hypercall::BlockSubmit, &[]);
    }

    fn fill(&mut self, guest: &Guest, tag: u64, contents: &[u8; BLOCK_LEN]) {
        let at = BUFFERS + tag % u64::from(BLOCK_RING_LEN) * BLOCK_LEN as u64;
        self.host.write(guest.vm, at, contents);
    }

    fn buffer(&mut self, guest: &Guest, tag: u64) -> [u8; BLOCK_LEN] {
        let at = BUFFERS + tag % u64::from(BLOCK_RING_LEN) * BLOCK_LEN as u64;
        let mut bytes = [0; BLOCK_LEN];
        self.host.read(guest.vm, at, &mut bytes);
        bytes
    }

    fn reap(&mut self, guest: &mut Guest) -> Option<BlockCompletion> {
        if self.host.state(guest.vm) == Some(VmState::Ended) {
            return None;
        }
        let completed = self.word(guest, offset_of!(BlockRings, completed));
        if completed == guest.reaped {
            return None;
        }
        let slot = u64::from(guest.reaped % BLOCK_RING_LEN);
        let at = rings(offset_of!(BlockRings, completions)) + slot * 16;
        let mut completion = BlockCompletion::new_zeroed();
        self.host.read(guest.vm, at, completion.as_mut_bytes());
        guest.reaped = guest.reaped.wrapping_add(1);
        self.set_word(guest, offset_of!(BlockRings, reaped), guest.reaped);
        Some(completion)
    }

    fn turn(&mut self) {
        // Everybody is runnable, so time goes on by hand.
        self.host.machine.advance(100_000);
        self.host.turn();
    }

    fn wait(&mut self, guest: &mut Guest) -> BlockCompletion {
        for _ in 0..TURNS_MAX {
            if let Some(completion) = self.reap(guest) {
                return completion;
            }
            self.turn();
        }
        panic!("no completion for {guest:?}");
    }

    /// Makes one request and returns its result and buffer.
    fn ask(
        &mut self,
        guest: &mut Guest,
        operation: u32,
        (volume, block): (u32, u64),
        contents: &[u8; BLOCK_LEN],
    ) -> (i32, [u8; BLOCK_LEN]) {
        let tag = u64::from(guest.submitted);
        self.fill(guest, tag, contents);
        self.put(guest, operation, volume, block);
        self.submit(guest);
        let completion = self.wait(guest);
        assert_eq!(completion.tag, tag);
        (completion.result, self.buffer(guest, tag))
    }

    fn end(&mut self, guest: &Guest) {
        self.host.call(guest.vm, Hypercall::Terminate, &[0]);
        self.host
            .control(Hypercall::VmDestroy, &[guest.vm.raw()])
            .expect("it has ended");
    }

    fn reason(&self, guest: &Guest) -> u32 {
        let vm = self.host.kernel.vm(guest.vm).expect("kept");
        vm.end.as_ref().map_or(0, |end| end.record.reason)
    }
}

#[test]
fn what_is_written_outlives_the_vm_and_is_secret_on_the_disk() {
    let mut world = World::new();
    let plain = [0x77; BLOCK_LEN];
    let mut guest = world.create(&[volume(10, 20)]).expect("free blocks");
    let blank = world.ask(&mut guest, operation::READ, (0, 5), &plain);
    assert_eq!(blank, (0, [0; BLOCK_LEN]), "never written");
    let written = world.ask(&mut guest, operation::WRITE, (0, 5), &plain);
    assert_eq!(written.0, 0);
    assert_eq!(world.ask(&mut guest, operation::FLUSH, (0, 0), &plain).0, 0);
    let on_disk = world.host.machine.fake_disks().contents(0, 64 + 10 + 5);
    assert!(on_disk != plain && on_disk != [0; BLOCK_LEN]);
    world.end(&guest);
    let mut heir = world.create(&[volume(10, 20)]).expect("free again");
    let read = world.ask(&mut heir, operation::READ, (0, 5), &[0; BLOCK_LEN]);
    assert_eq!(read, (0, plain));
    world.end(&heir);
    let mut other_key = volume(10, 20);
    other_key.key = key(200);
    let mut thief = world.create(&[other_key]).expect("free again");
    let read = world.ask(&mut thief, operation::READ, (0, 5), &[0; BLOCK_LEN]);
    assert!(read.0 == 0 && read.1 != plain);
    let status = world.host.host_status().block;
    assert_eq!((status.store_blocks, status.volume_blocks), (63, 400));
    assert_eq!((status.reads, status.writes, status.flushes), (3, 1, 1));
    world.host.audit();
}

#[test]
fn nobody_reaches_beyond_his_volumes() {
    let mut world = World::new();
    let mut guest = world
        .create(&[volume(0, 10), volume(300, 7)])
        .expect("free blocks");
    let refused = [
        ((0, 10), Errno::Invalid),
        ((0, u64::MAX), Errno::Invalid),
        ((1, 7), Errno::Invalid),
        ((2, 0), Errno::NotFound),
        ((u32::MAX, 0), Errno::NotFound),
    ];
    for (place, errno) in refused {
        for operation in [operation::READ, operation::WRITE] {
            let answer = world.ask(&mut guest, operation, place, &[1; BLOCK_LEN]);
            assert_eq!(answer.0, -errno.code(), "{operation} {place:?}");
        }
    }
    let unknown = world.ask(&mut guest, 9, (0, 0), &[1; BLOCK_LEN]);
    assert_eq!(unknown.0, -Errno::Invalid.code());
    assert_eq!(
        world
            .ask(&mut guest, operation::READ, (1, 6), &[1; BLOCK_LEN])
            .0,
        0
    );
    let status = world.host.host_status().block;
    assert_eq!((status.reads, status.writes), (1, 0));
}

#[test]
fn no_two_vms_have_the_same_block() {
    let mut world = World::new();
    let first = world.create(&[volume(100, 50)]).expect("free blocks");
    for taken in [
        volume(100, 50),
        volume(149, 1),
        volume(0, 101),
        volume(120, 1),
    ] {
        assert_eq!(world.create(&[taken]).err(), Some(Errno::Busy), "{taken:?}");
    }
    let twice = world.create(&[volume(200, 10), volume(209, 5)]);
    assert_eq!(twice.err(), Some(Errno::Busy));
    for wrong in [
        volume(0, 0),
        volume(0, 401),
        volume(400, 1),
        volume(u64::MAX, 2),
    ] {
        assert_eq!(world.create(&[wrong]).err(), Some(Errno::Invalid));
    }
    let mut weak = volume(0, 1);
    weak.key = [5; VOLUME_KEY_LEN];
    assert_eq!(world.create(&[weak]).err(), Some(Errno::Invalid));
    let many = [0, 1, 2, 3, 4].map(|at| volume(at, 1));
    assert_eq!(world.create(&many).err(), Some(Errno::Invalid));
    world.end(&first);
    world.create(&[volume(149, 1)]).expect("free again");
    world.host.audit();
}

#[test]
fn the_next_owner_of_a_block_comes_after_the_last_write_to_it() {
    for seed in 1..30 {
        let mut world = World::new();
        world.host.machine.fake_disks().set_seed(seed);
        let mut guest = world.create(&[volume(0, 10)]).expect("free blocks");
        for block in 0..10 {
            world.fill(&guest, block, &[1; BLOCK_LEN]);
            world.put(&mut guest, operation::WRITE, 0, block);
        }
        world.submit(&guest);
        world.end(&guest);
        let mut heir = world.create(&[volume(0, 10)]).expect("free blocks");
        for block in 0..10 {
            world.fill(&heir, block, &[2; BLOCK_LEN]);
            world.put(&mut heir, operation::WRITE, 0, block);
        }
        world.submit(&heir);
        for _ in 0..10 {
            assert_eq!(world.wait(&mut heir).result, 0);
        }
        for block in 0..10 {
            let read = world.ask(&mut heir, operation::READ, (0, block), &[0; BLOCK_LEN]);
            assert_eq!(read, (0, [2; BLOCK_LEN]), "seed {seed}");
        }
        world.host.audit();
    }
}

#[test]
fn a_hostile_ring_ends_its_vm_and_nobody_else() {
    let mut world = World::new();
    let mut victim = world.create(&[volume(390, 10)]).expect("free blocks");
    let plain = [0x31; BLOCK_LEN];
    assert_eq!(
        world.ask(&mut victim, operation::WRITE, (0, 0), &plain).0,
        0
    );
    type Attack = fn(&mut World, &mut Guest);
    let attacks: [Attack; 6] = [
        |world, guest| {
            world.set_word(guest, offset_of!(BlockRings, submitted), BLOCK_RING_LEN + 1);
        },
        |world, guest| world.set_word(guest, offset_of!(BlockRings, submitted), u32::MAX),
        |world, guest| world.set_word(guest, offset_of!(BlockRings, reaped), 1),
        |world, guest| {
            world.set_word(guest, offset_of!(BlockRings, reaped), 0u32.wrapping_sub(17));
        },
        |world, guest| world.put_address(guest, operation::WRITE, 0xffff_8000_0000_0000),
        |world, guest| {
            world.put_address(
                guest,
                operation::READ,
                denali_abi::layout::REGISTERS_ADDRESS,
            );
        },
    ];
    for (nth, attack) in (0..).zip(attacks) {
        let mut guest = world.create(&[volume(nth * 10, 10)]).expect("free blocks");
        attack(&mut world, &mut guest);
        world.submit(&guest);
        assert_eq!(
            world.reason(&guest),
            EndReason::RingViolation.code(),
            "{nth}"
        );
        assert_eq!(
            world.ask(&mut victim, operation::READ, (0, 0), &[0; BLOCK_LEN]),
            (0, plain)
        );
        world.host.audit();
    }
}

impl World {
    fn put_address(&mut self, guest: &mut Guest, operation: u32, address: u64) {
        let request = BlockRequest {
            operation,
            address,
            ..BlockRequest::default()
        };
        self.put_raw(guest, request);
    }
}

#[test]
fn what_is_beyond_the_rings_waits_until_completions_are_reaped() {
    let mut world = World::new();
    let mut guest = world.create(&[volume(0, 100)]).expect("free blocks");
    for block in 0..u64::from(BLOCK_RING_LEN) {
        world.put(&mut guest, operation::READ, 0, block);
    }
    world.submit(&guest);
    for _ in 0..100 {
        world.turn();
    }
    world.put(&mut guest, operation::READ, 0, 50);
    world.submit(&guest);
    let taken = world.word(&guest, offset_of!(BlockRings, taken));
    assert_eq!(taken, BLOCK_RING_LEN, "nothing is reaped yet");
    for _ in 0..BLOCK_RING_LEN {
        assert_eq!(world.wait(&mut guest).result, 0);
    }
    world.submit(&guest);
    assert_eq!(world.wait(&mut guest).tag, u64::from(BLOCK_RING_LEN));
    let pending = interrupt::BLOCK;
    let mut mask = [0; 4];
    let at = SHARED_ADDRESS + offset_of!(SharedPage, pending) as u64;
    world.host.read(guest.vm, at, &mut mask);
    assert_eq!(u32::from_le_bytes(mask) & pending, pending);
}

#[test]
fn a_failing_disk_is_told_and_hurts_nobody_else() {
    let mut world = World::new();
    let mut guest = world.create(&[volume(0, 10)]).expect("free blocks");
    world.host.machine.fake_disks().inject(DiskFault::Error);
    let failed = world.ask(&mut guest, operation::WRITE, (0, 1), &[1; BLOCK_LEN]);
    assert_eq!(failed.0, -Errno::Io.code());
    let mut other = world.create(&[volume(10, 10)]).expect("free blocks");
    assert_eq!(
        world
            .ask(&mut other, operation::WRITE, (0, 1), &[2; BLOCK_LEN])
            .0,
        0
    );
    world.host.machine.fake_disks().inject(DiskFault::Slow);
    assert_eq!(
        world
            .ask(&mut guest, operation::READ, (0, 1), &[1; BLOCK_LEN])
            .0,
        0
    );
    assert_eq!(world.host.host_status().block.errors, 1);
    world.host.audit();
}

#[test]
fn vms_take_turns_at_a_busy_disk() {
    let mut world = World::new();
    world.host.machine.fake_disks().set_requests_max(4);
    let mut guests: Vec<Guest> = (0..6)
        .map(|nth| world.create(&[volume(nth * 20, 20)]).expect("free blocks"))
        .collect();
    for guest in &mut guests {
        for block in 0..u64::from(BLOCK_RING_LEN) {
            world.put(guest, operation::WRITE, 0, block);
        }
        world.submit(guest);
    }
    let mut done = vec![0_u32; guests.len()];
    for _ in 0..TURNS_MAX / 4 {
        world.turn();
        for (guest, done) in guests.iter_mut().zip(&mut done) {
            while let Some(completion) = world.reap(guest) {
                assert_eq!(completion.result, 0);
                *done += 1;
                world.put(guest, operation::WRITE, 0, u64::from(*done % 20));
            }
            world.submit(guest);
        }
    }
    let (least, most) = (done.iter().min(), done.iter().max());
    let (least, most) = (*least.expect("some"), *most.expect("some"));
    assert!(
        least > 100 && most - least <= 2 * BLOCK_RING_LEN,
        "{done:?}"
    );
    world.host.audit();
}

#[test]
fn the_store_is_the_supervisors_alone_and_opens_once() {
    let mut world = World::new();
    let mut guest = world.create(&[volume(0, 10)]).expect("free blocks");
    let number = Hypercall::StoreOpen.number();
    let answer = world.host.call_number(guest.vm, number, &[SCRATCH]);
    assert_eq!(answer, Some(-i64::from(Errno::NotPermitted.code())));
    let supervisor = world.host.supervisor;
    world.host.write(supervisor, SCRATCH, &key(9));
    assert_eq!(world.host.control(Hypercall::StoreOpen, &[SCRATCH]), Ok(63));
    let again = world.host.control(Hypercall::StoreOpen, &[SCRATCH]);
    assert_eq!(again, Err(Errno::Exists));
    let mut own = Guest {
        vm: supervisor,
        submitted: 0,
        reaped: 0,
    };
    let plain = [0x44; BLOCK_LEN];
    assert_eq!(world.ask(&mut own, operation::WRITE, (0, 62), &plain).0, 0);
    assert_eq!(
        world.ask(&mut own, operation::READ, (0, 63), &plain).0,
        -Errno::Invalid.code()
    );
    assert_eq!(world.ask(&mut guest, operation::READ, (0, 0), &plain).0, 0);
    // A supervisor that begins anew opens it again.
    world.host.call(supervisor, Hypercall::Terminate, &[1]);
    world.host.supervisor = world.host.kernel.supervisor_vm().expect("restarted");
    while world.host.state(world.host.supervisor) != Some(VmState::Ready) {
        world.turn();
    }
    own.vm = world.host.supervisor;
    (own.submitted, own.reaped) = (0, 0);
    world.host.write(own.vm, SCRATCH, &key(9));
    assert_eq!(world.host.control(Hypercall::StoreOpen, &[SCRATCH]), Ok(63));
    let read = world.ask(&mut own, operation::READ, (0, 62), &[0; BLOCK_LEN]);
    assert_eq!(read, (0, plain));
    world.host.audit();
}

#[test]
fn a_disk_with_a_table_that_is_wrong_is_used_for_nothing() {
    let mut damaged = first_block(&partitions());
    damaged[40] ^= 1;
    let host = boot(&damaged);
    assert!(host.kernel.paging_stats().is_none());
    let log = String::from_utf8_lossy(host.machine.logged()).into_owned();
    assert!(
        log.contains("disk 0 is not used: partition table is damaged"),
        "{log}"
    );
    let mut world = World::on(host);
    assert_eq!(world.create(&[volume(0, 1)]).err(), Some(Errno::NotFound));
    let supervisor = world.host.supervisor;
    world.host.write(supervisor, SCRATCH, &key(9));
    let open = world.host.control(Hypercall::StoreOpen, &[SCRATCH]);
    assert_eq!(open, Err(Errno::NotFound));
}

#[test]
fn a_disk_without_a_table_is_swap_as_a_whole() {
    let host = boot(&[0; BLOCK_LEN]);
    assert_eq!(host.kernel.swap_space().0, DISK);
    assert_eq!(World::new().host.kernel.swap_space().0, SWAP.1);
}

/// What a simulated VM is waiting for.
struct Outstanding {
    tag: u64,
    operation: u32,
    block: u64,
    contents: u8,
}

impl World {
    /// Holds what was completed against what each block may hold.
    fn settle(
        &mut self,
        guest: &mut Guest,
        outstanding: &mut Vec<Outstanding>,
        model: &mut [Vec<Option<u8>>],
        seed: u64,
    ) {
        while let Some(completion) = self.reap(guest) {
            let at = outstanding
                .iter()
                .position(|it| it.tag == completion.tag)
                .expect("asked for once");
            let it = outstanding.remove(at);
            let may_hold = &mut model[it.block as usize];
            match (it.operation, completion.result) {
                (operation::WRITE, 0) => *may_hold = vec![Some(it.contents)],
                (operation::WRITE, _) => may_hold.push(Some(it.contents)),
                (_, 0) => {
                    let read = self.buffer(guest, it.tag);
                    let fits =
                        |byte: &Option<u8>| byte.is_none_or(|byte| read == [byte; BLOCK_LEN]);
                    assert!(may_hold.iter().any(fits), "seed {seed}: {}", it.block);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn many_vms_on_failing_disks_read_what_they_wrote() {
    const VMS: u64 = 8;
    const BLOCKS: u64 = 12;
    for seed in 1..=60_u64 {
        let mut world = World::new();
        let mut random = Random(seed);
        world.host.machine.fake_disks().set_seed(seed);
        world
            .host
            .machine
            .fake_disks()
            .set_odds(DiskFault::Error, 9);
        world
            .host
            .machine
            .fake_disks()
            .set_odds(DiskFault::Slow, 30);
        world
            .host
            .machine
            .fake_disks()
            .set_requests_max(1 + (seed % 7) as usize);
        // What each block may hold, if that is known: after a failed write, the old or the new.
        let mut model: Vec<Vec<Vec<Option<u8>>>> =
            vec![vec![vec![None]; BLOCKS as usize]; VMS as usize];
        let mut guests: Vec<Option<(Guest, Vec<Outstanding>)>> = (0..VMS).map(|_| None).collect();
        for _ in 0..400 {
            let nth = random.below(VMS) as usize;
            let start = nth as u64 * BLOCKS;
            let Some((guest, outstanding)) = &mut guests[nth] else {
                if let Ok(guest) = world.create(&[volume(start, BLOCKS)]) {
                    guests[nth] = Some((guest, Vec::new()));
                }
                world.turn();
                continue;
            };
            match random.below(20) {
                0 => {
                    // It ends in the middle of what it does.
                    for lost in outstanding.drain(..) {
                        if lost.operation == operation::WRITE {
                            model[nth][lost.block as usize].push(Some(lost.contents));
                        }
                    }
                    world.end(guest);
                    guests[nth] = None;
                }
                1..12 if outstanding.len() < BLOCK_RING_LEN as usize => {
                    let block = random.below(BLOCKS);
                    if outstanding.iter().any(|other| other.block == block) {
                        continue;
                    }
                    let contents = random.below(255) as u8 + 1;
                    let operation = 1 + random.below(2) as u32;
                    let tag = u64::from(guest.submitted);
                    world.fill(guest, tag, &[contents; BLOCK_LEN]);
                    world.put(guest, operation, 0, block);
                    outstanding.push(Outstanding {
                        tag,
                        operation,
                        block,
                        contents,
                    });
                    world.submit(guest);
                }
                _ => {
                    world.turn();
                    world.settle(guest, outstanding, &mut model[nth], seed);
                }
            }
        }
        world.host.audit();
    }
}
