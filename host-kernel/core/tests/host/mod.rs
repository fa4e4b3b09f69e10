//! A host for tests: the kernel on the fake machine, with a supervisor that does what it is told.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::print_stdout,
    reason = "a module of several test binaries, each of which uses a part"
)]

pub mod seeds;

use denali_abi::control::{HostStatus, Limits, VmConfig, VmState, VmStatus};
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::image::{BUILD_ID_LEN, IMAGE_MAGIC, ImageHeader};
use denali_abi::layout::{IMAGE_BASE, PAGE_SIZE};
use denali_abi::net::{NetworkConfig, addressing};
use denali_abi::registers::NAME_MAX;
use denali_kernel_core::machine::disk::Writable;
use denali_kernel_core::machine::fake::FakeMachine;
use denali_kernel_core::machine::{Exit, FrameId, Machine, Space};
use denali_kernel_core::paging::NO_SPACE;
use denali_kernel_core::policy::Policies;
use denali_kernel_core::{FrameRange, Kernel, Next, VmId};
use zerocopy::{FromZeros, IntoBytes};

/// Memory limit of the supervisor and, if a test says nothing, of every VM.
pub const LIMIT: u32 = 64;

/// Pages of text, rodata and data of the test image, one of each.
pub const CONTENT_PAGES: u32 = 3;

/// Where the supervisor of the tests keeps its arguments: on its heap.
pub const SCRATCH: u64 = 0x0100_0000;

/// Where the test image's data page lies.
pub const DATA: u64 = IMAGE_BASE + 2 * PAGE_SIZE;

/// The header of the test image.
pub fn header() -> ImageHeader {
    ImageHeader {
        magic: IMAGE_MAGIC,
        abi_version: denali_abi::ABI_VERSION,
        memory_pages: LIMIT,
        text_pages: 1,
        rodata_pages: 1,
        data_pages: 1,
        bss_pages: 2,
        entry: IMAGE_BASE + 16,
        build_id: [7; BUILD_ID_LEN],
        reserved: 0,
    }
}

/// A boot module: the test image, its pages filled with `T`, `R`, `D`, and arguments behind it.
pub fn module(arguments: &[u8]) -> Vec<u8> {
    let page = u64_to_usize(PAGE_SIZE);
    let mut module = header().as_bytes().to_vec();
    module.resize(page, 0);
    for fill in *b"TRD" {
        module.resize(module.len() + page, fill);
    }
    module.extend_from_slice(arguments);
    module
}

/// The network configuration of the VM number `number`.
pub fn network(number: u32) -> NetworkConfig {
    let [_, high, middle, low] = number.to_be_bytes();
    NetworkConfig {
        mac: [2, 0, 0, high, middle, low],
        addressing: addressing::STATIC,
        address: [10, 90 + high, middle, low],
        prefix_len: 8,
        ..NetworkConfig::default()
    }
}

/// Pads a name with zeros.
pub fn name(text: &str) -> [u8; NAME_MAX] {
    let mut name = [0; NAME_MAX];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

/// The kernel, the machine and the supervisor.
pub struct Host {
    pub kernel: Kernel,
    pub machine: FakeMachine,
    pub supervisor: VmId,
}

impl Host {
    /// Boots a host with `frames` frames of memory.
    pub fn boot(frames: u32, command_line: &str) -> Self {
        Self::boot_with(frames, command_line, |_| {})
    }

    /// Boots a host whose policies are replaced.
    pub fn boot_with(frames: u32, command_line: &str, set: impl FnOnce(&mut Policies)) -> Self {
        Self::boot_on(FakeMachine::new(frames), frames, command_line, set)
    }

    /// Boots a host with `disks` disks of `blocks` blocks each.
    pub fn boot_with_disks(frames: u32, command_line: &str, disks: u32, blocks: u64) -> Self {
        let mut machine = FakeMachine::new(frames);
        for _ in 0..disks {
            machine.fake_disks().add(blocks, Writable::Yes);
        }
        let line = format!("gatekeeper=fifo {command_line}");
        Self::boot_on(machine, frames, &line, |_| {})
    }

    /// Boots a host with a machine that is ready.
    pub fn boot_on(
        mut machine: FakeMachine,
        frames: u32,
        command_line: &str,
        set: impl FnOnce(&mut Policies),
    ) -> Self {
        let memory = [
            FrameRange {
                start: FrameId(frames / 2),
                count: frames - frames / 2,
            },
            FrameRange {
                start: FrameId(0),
                count: frames / 2,
            },
        ];
        let mut policies = Policies::from_command_line(command_line, |_| {});
        set(&mut policies);
        let mut kernel = Kernel::with_policies(&memory, policies, &mut machine);
        let supervisor = kernel
            .start_supervisor(&module(b"boot"), &mut machine)
            .expect("fits");
        Self {
            kernel,
            machine,
            supervisor,
        }
    }

    /// Returns the address space of a VM that has not ended.
    pub fn space(&self, vm: VmId) -> Space {
        self.kernel.vm(vm).expect("the VM exists").space
    }

    /// Lets the kernel decide what to do now.
    pub fn next(&mut self) -> Next {
        self.kernel.next(self.machine.now(), &mut self.machine)
    }

    /// Returns the state of a VM, if it exists.
    pub fn state(&self, vm: VmId) -> Option<VmState> {
        self.kernel.vm(vm).map(|vm| vm.state)
    }

    /// Lets a VM make a hypercall; returns its result if it got one.
    pub fn call(&mut self, vm: VmId, call: Hypercall, arguments: &[u64]) -> Option<i64> {
        self.call_number(vm, call.number(), arguments)
    }

    /// Lets a VM make a hypercall by number.
    pub fn call_number(&mut self, vm: VmId, number: u64, arguments: &[u64]) -> Option<i64> {
        let space = self.space(vm);
        self.machine.take_result(space);
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        let waits = |host: &Self| host.state(vm) != Some(VmState::Ready);
        if waits(self) {
            return None;
        }
        let exit = Exit::Hypercall {
            number,
            arguments: all,
        };
        self.kernel.handle_or_resume(vm, exit, &mut self.machine);
        if waits(self) {
            None
        } else {
            self.machine.take_result(space)
        }
    }

    /// Goes once round the kernel's loop up to what is to be done next.
    pub fn round(&mut self) -> Next {
        while let Some(event) = self.machine.poll_event() {
            self.kernel.deliver(event, &mut self.machine);
        }
        self.kernel.work(&mut self.machine);
        self.kernel.next(self.machine.now(), &mut self.machine)
    }

    /// Lets a VM, whose turn it is, compute for so long.
    pub fn compute(&mut self, vm: VmId, ns: u64) {
        self.machine.advance(ns);
        self.kernel.handle(vm, Exit::Interrupted, &mut self.machine);
    }

    /// Goes once round the kernel's loop.
    pub fn turn(&mut self) {
        match self.round() {
            Next::Run { vm, space, until } => {
                let exit = self.machine.run(space, until);
                self.kernel.handle_or_resume(vm, exit, &mut self.machine);
            }
            Next::Idle { until } => self.machine.idle_until(until),
        }
    }

    /// Lets the supervisor make a hypercall, again if it had to wait for memory.
    pub fn control(&mut self, call: Hypercall, arguments: &[u64]) -> Result<u64, Errno> {
        let result = loop {
            let result = self.call(self.supervisor, call, arguments);
            if let Some(result) = result {
                break result;
            }
            assert_eq!(self.state(self.supervisor), Some(VmState::Paging));
            while self.state(self.supervisor) == Some(VmState::Paging) {
                self.turn();
            }
            let repeated = self.machine.take_repeated(self.space(self.supervisor));
            assert_eq!(repeated, Some(call.number()));
        };
        u64::try_from(result).map_err(|_| {
            let code = i32::try_from(-result).expect("errors are small");
            Errno::from_code(code).expect("a known error")
        })
    }

    /// Writes as the guest does, faults included; `false` if it ended on the way.
    pub fn write(&mut self, vm: VmId, address: u64, bytes: &[u8]) -> bool {
        for _ in 0..=bytes.len() / 4096 + 2 {
            match self.machine.guest_write(self.space(vm), address, bytes) {
                Ok(()) => return true,
                Err(exit) => self.kernel.handle(vm, exit, &mut self.machine),
            }
            if self.state(vm) != Some(VmState::Ready) {
                return false;
            }
        }
        panic!("{vm} faults at {address:#x} for ever");
    }

    /// Reads as the guest does, faults included; `false` if it ended on the way.
    pub fn read(&mut self, vm: VmId, address: u64, buffer: &mut [u8]) -> bool {
        for _ in 0..=buffer.len() / 4096 + 2 {
            match self.machine.guest_read(self.space(vm), address, buffer) {
                Ok(()) => return true,
                Err(exit) => self.kernel.handle(vm, exit, &mut self.machine),
            }
            if self.state(vm) != Some(VmState::Ready) {
                return false;
            }
        }
        panic!("{vm} faults at {address:#x} for ever");
    }

    /// Creates an image with the test contents.
    pub fn create_image(&mut self) -> Result<u64, Errno> {
        self.write(self.supervisor, SCRATCH, header().as_bytes());
        let image = self.control(Hypercall::ImageCreate, &[SCRATCH])?;
        for (index, fill) in (0..).zip(*b"TRD") {
            self.write(self.supervisor, SCRATCH, &[fill; 4096]);
            let write = [image, index * PAGE_SIZE, SCRATCH, PAGE_SIZE];
            self.control(Hypercall::ImageWrite, &write)?;
        }
        Ok(image)
    }

    /// Returns a good configuration of the VM number `number`.
    pub fn config(image: u64, number: u32) -> VmConfig {
        VmConfig {
            image,
            memory_pages: LIMIT,
            arguments_len: 5,
            arguments: SCRATCH + 1024,
            network: network(number),
            limits: Limits::default(),
            name: name("service"),
            ..VmConfig::default()
        }
    }

    /// Creates a VM from a configuration.
    pub fn create(&mut self, config: &VmConfig) -> Result<VmId, Errno> {
        self.write(self.supervisor, SCRATCH + 1024, b"hello");
        self.write(self.supervisor, SCRATCH, config.as_bytes());
        self.control(Hypercall::VmCreate, &[SCRATCH])
            .map(|raw| VmId::from_raw(raw).expect("an id"))
    }

    /// Creates the VM number `number` from an image.
    pub fn create_vm(&mut self, image: u64, number: u32) -> VmId {
        self.create(&Self::config(image, number))
            .expect("there is room")
    }

    /// Asks for the status of a VM.
    pub fn status(&mut self, vm: VmId) -> Result<VmStatus, Errno> {
        self.control(Hypercall::VmStatus, &[vm.raw(), SCRATCH])?;
        let mut status = VmStatus::new_zeroed();
        self.read(self.supervisor, SCRATCH, status.as_mut_bytes());
        Ok(status)
    }

    /// Asks for the status of the host.
    pub fn host_status(&mut self) -> HostStatus {
        self.control(Hypercall::HostStatus, &[SCRATCH])
            .expect("scratch memory is there");
        let mut status = HostStatus::new_zeroed();
        self.read(self.supervisor, SCRATCH, status.as_mut_bytes());
        status
    }

    /// Checks every invariant, and every mapping of every VM.
    pub fn audit(&self) {
        self.kernel
            .audit(&self.machine)
            .expect("the state is sound");
        let mut spaces = 0;
        let mut next = Some(0);
        while let Some(vm) = next.and_then(|index| self.kernel.next_vm(index)) {
            next = vm.id.index().checked_add(1);
            if vm.state == VmState::Ended || vm.space == NO_SPACE {
                continue;
            }
            spaces += 1;
            for (page, shown) in self.machine.mappings(vm.space) {
                assert!(
                    self.kernel.may_show(vm, page, shown),
                    "{} shows {page:?} {shown:?}",
                    vm.id
                );
            }
        }
        assert_eq!(self.machine.spaces(), spaces, "address spaces without a VM");
    }
}

/// A generator of numbers for tests: `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
