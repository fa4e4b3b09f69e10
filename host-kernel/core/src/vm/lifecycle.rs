//! The life of a VM: created, admitted, woken, ended, destroyed; and the supervisor's restarts.
//!
//! Every change of state goes through here, so that table, scheduler, gatekeeper, alarms, switch
//! and promises always tell the same story.

use super::image::{Contents, ImageId};
use super::{Counters, FIXED_FRAMES, MEMORY_PAGES_MIN, Segments, Vm, VmId, WakeOn, interrupt};
use crate::kernel::Kernel;
use crate::machine::{FrameId, Machine, Space};
use crate::memory::address_space::{REGISTERS_PAGE, SHARED_PAGE};
use crate::memory::frame::{Fill, FrameList, FrameUse, Owner};
use crate::net::ring::{FEATURES, RingState};
use crate::policy::gatekeeper::{Request, Verdict};
use crate::time::Time;
use crate::trace::{Event, Name};
use alloc::vec::Vec;
use denali_abi::ABI_VERSION;
use denali_abi::control::VmState;
use denali_abi::end::{EndReason, EndRecord};
use denali_abi::errno::Errno;
use denali_abi::image::ImageHeader;
use denali_abi::layout::INITIAL_STACK_TOP;
use denali_abi::net::{FRAME_LEN_MAX, NetworkConfig};
use denali_abi::registers::{ARGUMENTS_MAX, NAME_MAX, VirtualRegisters};
use denali_abi::shared::interrupt::{CONTROL, TIMER};
use zerocopy::IntoBytes;

/// Waiting VMs admitted at one go; the next VM that ends brings the next ones.
const ADMISSIONS_MAX: usize = 64;

/// The shortest pause before the supervisor begins anew, in nanoseconds.
pub(crate) const RESTART_PAUSE_NS_MIN: u64 = 1_000_000_000;

/// The longest one; each restart doubles the pause.
pub(crate) const RESTART_PAUSE_NS_MAX: u64 = 64 * RESTART_PAUSE_NS_MIN;

/// A supervisor that ran this long is given the shortest pause again, in nanoseconds.
pub(crate) const RESTART_FORGIVEN_NS: u64 = 120 * RESTART_PAUSE_NS_MIN;

/// What a new VM is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmSpec {
    /// The image to run.
    pub(crate) image: ImageId,
    /// Memory limit in pages; 0 takes the image's request.
    pub(crate) memory_pages: u32,
    /// Its virtual Ethernet.
    pub(crate) network: NetworkConfig,
    /// Its name, padded with zeros.
    pub(crate) name: [u8; NAME_MAX],
}

/// The supervisor: its VM now, and what it takes to begin anew.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) vm: VmId,
    pub(crate) spec: VmSpec,
    pub(crate) arguments: Vec<u8>,
    pub(crate) begun: Time,
    pub(crate) pause_ns: u64,
}

/// How a new VM is let in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entrance {
    /// By the gatekeeper.
    Gatekeeper,
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
        arguments: &[u8],
        entrance: Entrance,
        machine: &mut dyn Machine,
    ) -> Result<VmId, Errno> {
        let image = self.images.get(spec.image).ok_or(Errno::NotFound)?;
        let header = *image.header();
        let limit = if spec.memory_pages == 0 {
            header.memory_pages
        } else {
            spec.memory_pages
        };
        if limit < MEMORY_PAGES_MIN || arguments.len() > ARGUMENTS_MAX {
            return Err(Errno::Invalid);
        }
        let others = self.supervisor_promise().saturating_add(image.page_count());
        if limit > self.commit.total().saturating_sub(others) {
            return Err(Errno::TooLarge);
        }
        let id = self.vms.next_id()?;
        self.connect(id, &spec.network)?;
        let state = self.promise(id, limit, entrance).inspect_err(|_| {
            self.switch.disconnect(id.index());
        })?;
        let promised = if state == VmState::Dormant {
            FIXED_FRAMES
        } else {
            limit
        };

        let mut frames = FrameList::new();
        let fixed = self.fixed_frames(id, &mut frames, machine);
        machine.create_space(fixed.space, header.entry, INITIAL_STACK_TOP);
        self.random.stir(machine);
        let network = offered(&spec.network);
        let registers = self.registers_of(
            id,
            limit,
            &header,
            &VmSpec { network, ..*spec },
            arguments,
            machine,
        );
        machine.write_frame(fixed.registers, 0, registers.as_bytes());

        let FixedFrames {
            space,
            registers,
            shared,
            console,
        } = fixed;
        let created = machine.now();
        let vm = Vm {
            id,
            state,
            wake_on: WakeOn::Interrupt,
            deadline: None,
            space,
            registers,
            shared,
            console,
            frames,
            image: spec.image,
            segments: Segments::of(&header),
            memory_pages: limit,
            promised,
            ring: RingState::default(),
            awaits_nic: false,
            end: EndRecord::default(),
            counters: Counters {
                created,
                ..Counters::default()
            },
            network,
            name: spec.name,
        };
        self.vms.insert(vm)?;
        if let Some(image) = self.images.get_mut(spec.image) {
            image.users += 1;
            image.contents = Contents::Sealed;
        }
        self.stats.vms_created += 1;
        let name = Name(spec.name);
        self.trace.record(Event::VmCreated {
            vm: id,
            name,
            image: spec.image,
            pages: limit,
        });
        self.begin(id, entrance);
        Ok(id)
    }

    /// Adds interrupts to a VM's pending mask, and wakes it if it waits for one.
    pub(crate) fn raise(&mut self, id: VmId, bits: u32, machine: &mut dyn Machine) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        if !vm.is_active() {
            return;
        }
        interrupt::post(vm.shared, bits, machine);
        if vm.state != VmState::Idle || vm.wake_on != WakeOn::Interrupt {
            return;
        }
        let mut mask = interrupt::take(vm.shared, machine);
        if vm
            .deadline
            .is_some_and(|deadline| deadline <= machine.now())
        {
            mask |= TIMER;
        }
        machine.set_result(vm.space, i64::from(mask));
        self.wake(id);
    }

    /// Lets a VM wait for an interrupt or, if there is one, the deadline.
    pub(crate) fn idle(&mut self, id: VmId, deadline: Option<Time>, machine: &mut dyn Machine) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        machine.set_result(vm.space, i64::from(TIMER));
        vm.wake_on = WakeOn::Interrupt;
        self.sleep(id, deadline);
    }

    /// Makes an idle VM runnable. What its wait returned is in its registers already.
    pub(crate) fn wake(&mut self, id: VmId) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        if vm.state != VmState::Idle {
            return;
        }
        if let Some(deadline) = vm.deadline.take() {
            self.alarms.cancel(deadline, id);
        }
        vm.state = VmState::Ready;
        self.ready_vms += 1;
        self.policies.scheduler.ready(id);
    }

    /// Ends a VM: frees all it had but its descriptor and console, and tells the supervisor.
    pub(crate) fn end_vm(
        &mut self,
        id: VmId,
        reason: EndReason,
        detail: u64,
        machine: &mut dyn Machine,
    ) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        match vm.state {
            VmState::Ended => return,
            VmState::Ready => self.ready_vms -= 1,
            VmState::Dormant => self.policies.gatekeeper.leave(id),
            VmState::Idle => {}
        }
        vm.state = VmState::Ended;
        self.policies.scheduler.leave(id);
        if let Some(deadline) = vm.deadline.take() {
            self.alarms.cancel(deadline, id);
        }
        let position = machine.position(vm.space);
        vm.end = EndRecord {
            reason: reason.code(),
            reserved: 0,
            detail,
            rip: position.rip,
            rsp: position.rsp,
        };
        let name = Name(vm.name);
        self.trace.record(Event::VmEnded {
            vm: id,
            name,
            reason,
            detail,
            position,
        });
        machine.drop_space(vm.space);
        self.frames.give_back_all(&mut vm.frames, Some(vm.console));
        self.commit.release(vm.promised - vm.frames.count());
        vm.promised = vm.frames.count();
        if let Some(image) = self.images.get_mut(vm.image) {
            image.users -= 1;
        }
        self.switch.disconnect(id.index());
        self.stats.vms_ended += 1;
        match self.supervisor_vm() {
            Some(supervisor) if supervisor == id => self.restart_supervisor(machine),
            Some(supervisor) => self.raise(supervisor, CONTROL, machine),
            None => {}
        }
        self.admit_waiting();
    }

    /// Frees what is left of an ended VM.
    pub(crate) fn destroy_vm(&mut self, id: VmId) -> Result<(), Errno> {
        match self.vms.get(id).map(|vm| vm.state) {
            None => return Err(Errno::NotFound),
            Some(VmState::Ended) => {}
            Some(VmState::Ready | VmState::Idle | VmState::Dormant) => return Err(Errno::Busy),
        }
        if let Some(mut vm) = self.vms.remove(id) {
            self.frames.give_back_all(&mut vm.frames, None);
            self.commit.release(vm.promised);
            self.trace.record(Event::VmDestroyed { vm: id });
        }
        self.admit_waiting();
        Ok(())
    }

    fn connect(&mut self, id: VmId, network: &NetworkConfig) -> Result<(), Errno> {
        // A host without a NIC has a supervisor without a port; nobody else comes without a MAC.
        if network.mac == [0; 6] {
            return Ok(());
        }
        self.switch.connect(id.index(), network)
    }

    /// Promises a new VM its memory, or the fixed frames alone if it has to wait.
    fn promise(&mut self, id: VmId, limit: u32, entrance: Entrance) -> Result<VmState, Errno> {
        let verdict = match entrance {
            Entrance::Privileged | Entrance::PrivilegedAt(_) => Verdict::Admit,
            Entrance::Gatekeeper if self.commit.available() < FIXED_FRAMES => Verdict::Refuse,
            Entrance::Gatekeeper => {
                let request = Request {
                    vm: id,
                    frames: limit - FIXED_FRAMES,
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

    fn registers_of(
        &mut self,
        id: VmId,
        limit: u32,
        header: &ImageHeader,
        spec: &VmSpec,
        arguments: &[u8],
        machine: &dyn Machine,
    ) -> VirtualRegisters {
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        let mut bytes = [0; ARGUMENTS_MAX];
        let mut arguments_len = 0;
        for (place, &byte) in bytes.iter_mut().zip(arguments) {
            *place = byte;
            arguments_len += 1;
        }
        VirtualRegisters {
            abi_version: ABI_VERSION,
            resume_generation: 0,
            vm_id: id.raw(),
            memory_pages: limit,
            resident_pages: FIXED_FRAMES,
            cpu_hz: machine.cpu_hz(),
            heap_start: header.end_address(),
            clock: machine.clock(),
            network: spec.network,
            seed,
            name: spec.name,
            arguments_len,
            reserved: 0,
            arguments: bytes,
        }
    }

    /// Starts a VM that was just put into the table.
    fn begin(&mut self, id: VmId, entrance: Entrance) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        if vm.state == VmState::Dormant {
            self.trace.record(Event::VmWaits { vm: id });
            return;
        }
        self.ready_vms += 1;
        self.policies.scheduler.ready(id);
        if let Entrance::PrivilegedAt(time) = entrance {
            vm.wake_on = WakeOn::Deadline;
            self.sleep(id, Some(time));
        }
    }

    fn sleep(&mut self, id: VmId, deadline: Option<Time>) {
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        vm.state = VmState::Idle;
        vm.deadline = deadline;
        self.ready_vms -= 1;
        if let Some(deadline) = deadline {
            self.alarms.set(deadline, id);
        }
        self.policies.scheduler.block(id);
    }

    /// Admits VMs that waited, as far as the gatekeeper names them and memory can be promised.
    pub(crate) fn admit_waiting(&mut self) {
        for _ in 0..ADMISSIONS_MAX {
            let Some(id) = self.policies.gatekeeper.next(self.commit.available()) else {
                return;
            };
            let waiting = self
                .vms
                .get_mut(id)
                .filter(|vm| vm.state == VmState::Dormant);
            let Some(vm) = waiting else {
                self.stats.gatekeeper_refused += 1;
                continue;
            };
            let frames = vm.memory_pages - vm.promised;
            if self.commit.promise(frames).is_err() {
                self.stats.gatekeeper_refused += 1;
                let request = Request { vm: id, frames };
                // It goes back into the queue; an answer to admit it cannot be followed.
                let _answer = self.policies.gatekeeper.arrive(request, 0);
                return;
            }
            vm.promised = vm.memory_pages;
            vm.state = VmState::Ready;
            self.ready_vms += 1;
            self.policies.scheduler.ready(id);
            self.trace.record(Event::VmAdmitted { vm: id });
        }
    }

    /// Replaces an ended supervisor by a new one from its image, which begins after a pause.
    fn restart_supervisor(&mut self, machine: &mut dyn Machine) {
        let Some(mut supervisor) = self.supervisor.take() else {
            return;
        };
        let now = machine.now();
        supervisor.pause_ns = if now.since_ns(supervisor.begun) >= RESTART_FORGIVEN_NS {
            RESTART_PAUSE_NS_MIN
        } else {
            (supervisor.pause_ns * 2).clamp(RESTART_PAUSE_NS_MIN, RESTART_PAUSE_NS_MAX)
        };
        let at = now.plus_ns(supervisor.pause_ns);
        if let Some(mut vm) = self.vms.remove(supervisor.vm) {
            self.frames.give_back_all(&mut vm.frames, None);
            self.commit.release(vm.promised);
        }
        let entrance = Entrance::PrivilegedAt(at);
        supervisor.vm = self
            .create_vm(&supervisor.spec, &supervisor.arguments, entrance, machine)
            .expect("the supervisor's image, memory and address were just given up");
        supervisor.begun = at;
        self.stats.supervisor_restarts += 1;
        self.trace.record(Event::SupervisorRestarts {
            vm: supervisor.vm,
            at,
        });
        self.supervisor = Some(supervisor);
    }
}

/// Returns the configuration with what the kernel adds to it.
fn offered(network: &NetworkConfig) -> NetworkConfig {
    NetworkConfig {
        frame_len_max: u16::try_from(FRAME_LEN_MAX).unwrap_or(u16::MAX),
        features: u32::from(FEATURES),
        ..*network
    }
}
