//! Making VMs: what a new one must be, what it gets, and how it is let in.
//!
//! Everything that can be refused is refused before anything is taken, so a failed creation leaves
//! nothing behind.

use super::allowance::Allowance;
use super::image::{Contents, ImageId};
use super::network::Network;
use super::{Counters, FIXED_FRAMES, MEMORY_PAGES_MIN, Vm, VmId, WakeOn};
use crate::block::infos;
use crate::kernel::Kernel;
use crate::machine::{FrameId, Machine, Space};
use crate::memory::address_space::{REGISTERS_PAGE, SHARED_PAGE};
use crate::memory::frame::{Fill, FrameList, FrameUse, Owner};
use crate::net::ring::RingState;
use crate::paging::birth::Birth;
use crate::paging::{NO_SPACE, NOWHERE, Swap};
use crate::policy::gatekeeper::{Occasion, Request, Verdict};
use crate::time::Time;
use crate::trace::{Event, Name};
use denali_abi::ABI_VERSION;
use denali_abi::block::VolumeConfig;
use denali_abi::control::{Limits, VmState};
use denali_abi::errno::Errno;
use denali_abi::image::ImageHeader;
use denali_abi::layout::INITIAL_STACK_TOP;
use denali_abi::net::NetworkConfig;
use denali_abi::registers::{ARGUMENTS_MAX, NAME_MAX, VirtualRegisters};
use zerocopy::IntoBytes;

/// What a new VM is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmSpec {
    /// The image to run.
    pub(crate) image: ImageId,
    /// Memory limit in pages; 0 takes the image's request.
    pub(crate) memory_pages: u32,
    /// Its virtual Ethernet.
    pub(crate) network: NetworkConfig,
    /// What it may take.
    pub(crate) limits: Limits,
    /// Its name, padded with zeros.
    pub(crate) name: [u8; NAME_MAX],
    /// Its addresses are those of a VM whose place it is to take.
    pub(crate) is_successor: bool,
}

/// What a new VM finds when it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootData<'a> {
    /// Its arguments.
    pub(crate) arguments: &'a [u8],
    /// Its volumes.
    pub(crate) volumes: &'a [VolumeConfig],
}

/// How a new VM is let in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entrance {
    /// By the gatekeeper.
    Gatekeeper,
    /// By the gatekeeper, when the first packet for it comes.
    Dormant,
    /// It is the supervisor: at once.
    Privileged,
    /// It is the supervisor again, and begins at this time.
    PrivilegedAt(Time),
}

/// The frames every VM has.
struct FixedFrames {
    space: Space,
    registers: FrameId,
    shared: FrameId,
    console: FrameId,
}

impl Kernel {
    /// Creates a VM and has it admitted or waiting.
    pub(crate) fn create_vm(
        &mut self,
        spec: &VmSpec,
        boot: &BootData<'_>,
        entrance: Entrance,
        machine: &mut dyn Machine,
    ) -> Result<VmId, Errno> {
        let (header, limit) = self.check_spec(spec, boot.arguments)?;
        self.check_volumes(boot.volumes)?;
        let id = self.vms.next_id()?;
        self.connect(id, spec)?;
        let now = machine.now();
        let (state, mut swap) = self.promise(id, limit, entrance, now).inspect_err(|_| {
            self.switch.disconnect(id.index());
        })?;
        let birth = self.birth_of(spec.image, boot, swap.as_mut(), state);
        if matches!(entrance, Entrance::Dormant) && birth == Birth::Over {
            self.unpromise(id, limit, swap);
            return Err(Errno::OutOfMemory);
        }
        let vm = Vm {
            id,
            state,
            wake_on: WakeOn::Interrupt,
            deadline: None,
            capped_until: None,
            allowance: Allowance::new(spec.limits),
            space: NO_SPACE,
            registers: NOWHERE,
            shared: NOWHERE,
            console: NOWHERE,
            frames: FrameList::new(),
            image: spec.image,
            memory_pages: limit,
            promised: if state == VmState::Dormant && swap.is_none() {
                FIXED_FRAMES
            } else {
                limit
            },
            is_promised: swap.is_none(),
            swap,
            birth,
            upcall: None,
            ring: RingState::default(),
            awaits_nic: false,
            end: None,
            counters: Counters {
                created: now,
                ..Counters::default()
            },
            network: Network::new(&spec.network),
            name: spec.name,
        };
        let begins_now = birth == Birth::Over;
        self.vms.insert(vm)?;
        self.give_volumes(id, boot.volumes);
        if begins_now {
            self.furnish(id, &header, boot, machine);
        }
        if let Some(image) = self.images.get_mut(spec.image) {
            image.users += 1;
            image.contents = Contents::Sealed;
        }
        self.stats.vms_created += 1;
        self.trace.record(Event::VmCreated {
            vm: id,
            name: Name(spec.name),
            image: spec.image,
            pages: limit,
        });
        self.policies.queue.join(id.index());
        self.policies.scheduler.set_weight(id, spec.limits.weight());
        self.begin(id, entrance);
        Ok(id)
    }

    /// Gives a VM its fixed frames, which must be free, and its registers.
    pub(crate) fn furnish(
        &mut self,
        id: VmId,
        header: &ImageHeader,
        boot: &BootData<'_>,
        machine: &mut dyn Machine,
    ) {
        let mut frames = FrameList::new();
        let fixed = self.fixed_frames(id, &mut frames, machine);
        machine.create_space(fixed.space, header.entry, INITIAL_STACK_TOP);
        self.random.stir(machine);
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        vm.frames = frames;
        vm.space = fixed.space;
        vm.registers = fixed.registers;
        vm.shared = fixed.shared;
        vm.console = fixed.console;
        let network = vm.network.offered(self.policies.net_offload.features());
        let contents = registers_of(vm, header, boot, network, seed, machine);
        machine.write_frame(vm.registers, 0, contents.as_bytes());
    }

    /// Returns the header of the image and the memory limit of a VM that may be created.
    fn check_spec(&self, spec: &VmSpec, arguments: &[u8]) -> Result<(ImageHeader, u32), Errno> {
        let image = self.images.get(spec.image).ok_or(Errno::NotFound)?;
        let header = *image.header();
        let limit = if spec.memory_pages == 0 {
            header.memory_pages
        } else {
            spec.memory_pages
        };
        let fits = limit >= MEMORY_PAGES_MIN && arguments.len() <= ARGUMENTS_MAX;
        if !fits || !spec.limits.is_valid() {
            return Err(Errno::Invalid);
        }
        let others = self.supervisor_promise().saturating_add(image.page_count());
        let others = match &self.pager {
            Some(pager) => others.saturating_add(pager.reserve_frames(limit)),
            None => others,
        };
        if limit > self.commit.total().saturating_sub(others) {
            return Err(Errno::TooLarge);
        }
        Ok((header, limit))
    }

    fn connect(&mut self, id: VmId, spec: &VmSpec) -> Result<(), Errno> {
        let (index, network) = (id.index(), &spec.network);
        // A host without a NIC has a supervisor without a port; nobody else comes without a MAC.
        if network.mac == [0; 6] {
            return Ok(());
        }
        if spec.is_successor {
            let supervisor = self.supervisor_vm().map(VmId::index);
            return self.switch.connect_successor(index, network, supervisor);
        }
        self.switch.connect(index, network)
    }

    /// Promises a new VM its memory, or the fixed frames alone if it has to wait. With a pager it
    /// gets a part of swap space instead.
    fn promise(
        &mut self,
        id: VmId,
        limit: u32,
        entrance: Entrance,
        now: Time,
    ) -> Result<(VmState, Option<Swap>), Errno> {
        let state = match entrance {
            Entrance::Gatekeeper if self.pager.is_some() => return self.reserve(id, limit, now),
            Entrance::Dormant => return self.reserve_asleep(limit, now),
            Entrance::Privileged | Entrance::PrivilegedAt(_) | Entrance::Gatekeeper => {
                self.promise_frames(id, limit, entrance)?
            }
        };
        Ok((state, None))
    }

    fn promise_frames(
        &mut self,
        id: VmId,
        limit: u32,
        entrance: Entrance,
    ) -> Result<VmState, Errno> {
        let verdict = match entrance {
            Entrance::Privileged | Entrance::PrivilegedAt(_) => Verdict::Admit,
            Entrance::Dormant => Verdict::Refuse,
            Entrance::Gatekeeper if self.commit.available() < FIXED_FRAMES => Verdict::Refuse,
            Entrance::Gatekeeper => {
                let request = Request {
                    vm: id,
                    frames: limit - FIXED_FRAMES,
                    occasion: Occasion::New,
                };
                let available = self.commit.available() - FIXED_FRAMES;
                self.policies.gatekeeper.arrive(request, available)
            }
        };
        match verdict {
            Verdict::Refuse => Err(Errno::OutOfMemory),
            Verdict::Wait => self.commit.promise(FIXED_FRAMES).map(|()| VmState::Dormant),
            Verdict::Admit => match self.commit.promise(limit) {
                Ok(()) => Ok(VmState::Ready),
                Err(errno) => {
                    self.stats.gatekeeper_refused += 1;
                    Err(errno)
                }
            },
        }
    }

    fn fixed_frames(
        &mut self,
        id: VmId,
        list: &mut FrameList,
        machine: &mut dyn Machine,
    ) -> FixedFrames {
        let owner = Owner::Vm(id.index());
        let mut take = |usage| {
            self.frames
                .take(owner, usage, list, Fill::Zero, machine)
                .expect("the fixed frames are promised, and promises never exceed memory")
        };
        let space = Space {
            root: take(FrameUse::Root),
            context: take(FrameUse::Context),
        };
        FixedFrames {
            space,
            registers: take(FrameUse::Page(REGISTERS_PAGE)),
            shared: take(FrameUse::Page(SHARED_PAGE)),
            console: take(FrameUse::Console),
        }
    }
}

fn registers_of(
    vm: &Vm,
    header: &ImageHeader,
    boot: &BootData<'_>,
    network: NetworkConfig,
    seed: [u8; 32],
    machine: &dyn Machine,
) -> VirtualRegisters {
    let mut bytes = [0; ARGUMENTS_MAX];
    let mut arguments_len = 0;
    for (place, &byte) in bytes.iter_mut().zip(boot.arguments) {
        *place = byte;
        arguments_len += 1;
    }
    VirtualRegisters {
        abi_version: ABI_VERSION,
        resume_generation: 0,
        vm_id: vm.id.raw(),
        memory_pages: vm.memory_pages,
        resident_pages: vm.frames.count(),
        cpu_hz: machine.cpu_hz(),
        heap_start: header.end_address(),
        clock: machine.clock(),
        network,
        seed,
        name: vm.name,
        arguments_len,
        reserved: 0,
        arguments: bytes,
        stop_deadline_ns: 0,
        volumes: infos(boot.volumes),
    }
}
