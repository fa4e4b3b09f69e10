//! The kernel: events and exits in, decisions out.
//!
//! ```text
//! deliver(event) ─┐                        ┌─► Run { vm, space, until } ─► machine.run ─► exit ─┐
//!                 ├─► next(now) ───────────┤                                                    │
//! handle(exit) ───┘                        └─► Idle { until } ─► machine.idle_until             │
//!      ▲                                                                                        │
//!      └────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The state is here; what is done with it lies in `vm/lifecycle.rs` (lives of VMs),
//! [`crate::hypercall`] (what guests ask for) and `network.rs` (frames on their way).

use crate::block::BlockLayer;
use crate::block::partition::Partitions;
use crate::fault::{Fault, end_by_exception};
use crate::heap;
use crate::hypercall::needs_memory;
use crate::machine::{Event, Exit, FaultAccess, Machine, Space};
use crate::memory::FrameRange;
use crate::memory::address_space::GuestView;
use crate::memory::commit::Commit;
use crate::memory::frame::FrameTable;
use crate::net::switch::Switch;
use crate::network::Staging;
use crate::paging::{Pager, PagingStats};
use crate::policy::Policies;
use crate::policy::scheduler::{QUANTUM_NS, SLICE_NS_MIN};
use crate::random::Generator;
use crate::stats::Stats;
use crate::supervisor::Supervisor;
use crate::time::Time;
use crate::trace::{self, Trace};
use crate::vm::alarm::Alarms;
use crate::vm::image::{Image, ImageId};
use crate::vm::table::Table;
use crate::vm::{Vm, VmId, vms_max};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use denali_abi::control::VmState;

/// Most VMs a host can have, however much memory.
pub const VMS_MAX: u32 = 1 << 20;

/// Most images a host can have.
pub const IMAGES_MAX: u32 = 4096;

/// The most that one turn can cost a VM: a slice, and the kernel's work for it. Whatever took longer
/// was no work of the VM's: the whole machine was paused.
const CHARGE_NS_MAX: u64 = 10 * QUANTUM_NS;

/// Wrong answers of the scheduler in a row before the mechanism chooses itself.
const PICKS_MAX: usize = 8;

/// What the boot code found out.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// Memory the kernel may give away: neither its own nor a device's.
    pub memory: &'a [FrameRange],
    /// Bytes of the heap, which bounds how many VMs there can be.
    pub heap_bytes: u64,
    /// The kernel's command line.
    pub command_line: &'a str,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this VM.
    Run {
        /// Which.
        vm: VmId,
        /// Its address space.
        space: Space,
        /// Until when at most.
        until: Time,
    },
    /// Halt.
    Idle {
        /// Until when at most; `None` means until an interrupt.
        until: Option<Time>,
    },
}

/// What becomes of a VM whose exit was dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It made a hypercall that concerned nobody else and was answered: it may go on until the time
    /// it was told, without another decision.
    Resume,
    /// Decide anew.
    Decide,
}

/// The state of the isolation kernel.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) frames: FrameTable,
    pub(crate) commit: Commit,
    pub(crate) images: Table<ImageId, Image>,
    pub(crate) vms: Table<VmId, Vm>,
    pub(crate) alarms: Alarms,
    /// Ready VMs that have used up their cap, and until when.
    pub(crate) capped: Alarms,
    pub(crate) policies: Policies,
    pub(crate) switch: Switch,
    pub(crate) nic_waiters: VecDeque<VmId>,
    pub(crate) staging: Staging,
    pub(crate) random: Generator,
    pub(crate) supervisor: Option<Supervisor>,
    /// Nobody pages on a host without disks.
    pub(crate) pager: Option<Box<Pager>>,
    /// Nobody has volumes on a host without a disk for them.
    pub(crate) block: Option<Box<BlockLayer>>,
    /// Frames promised to images.
    pub(crate) image_pages: u32,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    /// VMs in the state [`VmState::Ready`] that have not used up their cap.
    pub(crate) ready_vms: u32,
    /// Who was told to run, and when.
    running: Option<(VmId, Time)>,
    /// Whether something happened since the last decision that the next one must heed.
    pub(crate) decision_due: bool,
    idle_since: Option<Time>,
    /// Where the mechanism looks first when the scheduler has no good answer.
    rescue_index: u32,
}

impl Kernel {
    /// Makes a kernel that owns the given memory, with policies from the command line.
    #[must_use]
    pub fn new(boot: &Boot<'_>, machine: &mut dyn Machine) -> Self {
        // VMs that do not fit into memory can wait where there are disks; the last word counts.
        let partitions = Partitions::read(boot.memory, machine);
        let line = if partitions.swap.is_empty() {
            String::from(boot.command_line)
        } else {
            format!("gatekeeper=fifo {}", boot.command_line)
        };
        let policies = Policies::from_command_line(&line, |unknown| {
            machine.log(format!("{unknown}\n").as_bytes());
        });
        let mut kernel = Self::with_partitions(boot.memory, policies, &partitions, machine);
        let fit = heap::vms_in(boot.heap_bytes, u64::from(kernel.frames.total()));
        kernel
            .vms
            .lower_limit(u32::try_from(fit).unwrap_or(u32::MAX));
        kernel
    }

    /// Makes a kernel that owns the given memory, with any policies.
    #[must_use]
    pub fn with_policies(
        memory: &[FrameRange],
        policies: Policies,
        machine: &mut dyn Machine,
    ) -> Self {
        let partitions = Partitions::read(memory, machine);
        Self::with_partitions(memory, policies, &partitions, machine)
    }

    fn with_partitions(
        memory: &[FrameRange],
        policies: Policies,
        partitions: &Partitions,
        machine: &mut dyn Machine,
    ) -> Self {
        let mut frames = FrameTable::new(memory);
        let block = BlockLayer::new(partitions, &mut frames, machine);
        // What the slots have is nobody else's for good.
        let total = frames.free();
        let mut random = Generator::new(machine);
        let pager = Pager::new(total, &mut random, &partitions.swap);
        let vms_max = if pager.is_some() {
            VMS_MAX
        } else {
            vms_max(total)
        };
        let mut kernel = Self {
            frames,
            commit: Commit::new(total),
            images: Table::new(IMAGES_MAX),
            vms: Table::new(vms_max),
            alarms: Alarms::default(),
            capped: Alarms::default(),
            policies,
            switch: Switch::new(machine.nic_mac()),
            nic_waiters: VecDeque::new(),
            staging: Staging::default(),
            random,
            supervisor: None,
            pager,
            block,
            image_pages: 0,
            trace: Trace::default(),
            stats: Stats::default(),
            ready_vms: 0,
            running: None,
            decision_due: true,
            idle_since: None,
            rescue_index: 0,
        };
        for &event in &partitions.events {
            kernel.deliver(event, machine);
        }
        kernel
    }

    /// Takes note of something that happened outside.
    pub fn deliver(&mut self, event: Event, machine: &mut dyn Machine) {
        match event {
            Event::NicReceive => self.receive(machine),
            Event::NicTransmit => self.resume_transmit(machine),
            Event::DiskDone => self.disks_done(machine),
        }
    }

    /// Decides what to do at the time `now`.
    pub fn next(&mut self, now: Time, machine: &mut dyn Machine) -> Next {
        if let Some((id, _)) = self.running {
            self.charge(id, machine);
        }
        self.decision_due = false;
        if let Some(since) = self.idle_since.take() {
            self.stats.idle_ns += now.since_ns(since);
        }
        while let Some(vm) = self.alarms.expire(now) {
            self.wake(vm);
            self.call_back(vm, now);
        }
        while let Some(vm) = self.capped.expire(now) {
            self.uncap(vm);
        }
        let works = self.pager.as_ref().is_some_and(|pager| pager.has_work());
        let alarm = if works { Some(now) } else { self.next_alarm() };
        // Whoever cannot be run has ended, so this comes to an end, too.
        while let Some((id, slice_ns)) = self.choose() {
            let delivered = self.deliver_upcall(id, now, machine);
            let (Ok(timer), Some(vm)) = (delivered, self.vms.get_mut(id)) else {
                continue;
            };
            vm.counters.switches += 1;
            self.stats.switches += 1;
            self.running = Some((id, now));
            let slice_ns = slice_ns.min(vm.allowance.cpu_left_ns(now));
            let end = now.plus_ns(slice_ns.clamp(SLICE_NS_MIN, QUANTUM_NS));
            // An alarm may be late by the shortest slice: alarms in quick succession would else
            // leave whoever runs nothing but world switches.
            let grain_ns = if cfg!(sabotage = "quick-alarms") {
                1
            } else {
                SLICE_NS_MIN
            };
            let soonest = now.plus_ns(grain_ns);
            let earliest = alarm.into_iter().chain(timer).min();
            let until = earliest.map_or(end, |earliest| earliest.max(soonest).min(end));
            return Next::Run {
                vm: id,
                space: vm.space,
                until,
            };
        }
        self.idle_since = Some(now);
        Next::Idle { until: alarm }
    }

    /// Returns when time next changes who may run.
    fn next_alarm(&self) -> Option<Time> {
        let (alarm, capped) = (self.alarms.next_deadline(), self.capped.next_deadline());
        alarm.into_iter().chain(capped).min()
    }

    /// Deals with the exit of a VM that ran, and charges it.
    pub fn handle(&mut self, vm: VmId, exit: Exit, machine: &mut dyn Machine) {
        self.deal_with(vm, exit, machine);
        self.charge(vm, machine);
    }

    /// Deals with the exit of a VM that ran. Charges it, unless it may go on at once: then it is
    /// charged when it leaves next.
    pub fn handle_or_resume(&mut self, vm: VmId, exit: Exit, machine: &mut dyn Machine) -> Handled {
        let handled = self.deal_with(vm, exit, machine);
        if handled == Handled::Resume && !self.is_decision_due() {
            return Handled::Resume;
        }
        self.charge(vm, machine);
        Handled::Decide
    }

    /// Takes the oldest event of the trace.
    pub fn take_trace(&mut self) -> Option<trace::Event> {
        self.trace.take()
    }

    /// Returns the counters of the host.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            trace_lost: self.trace.lost(),
            ..self.stats
        }
    }

    /// Returns the supervisor's VM, if there is one.
    #[must_use]
    pub fn supervisor_vm(&self) -> Option<VmId> {
        self.supervisor.as_ref().map(|supervisor| supervisor.vm)
    }

    /// Returns the descriptor of a VM.
    #[must_use]
    pub fn vm(&self, id: VmId) -> Option<&Vm> {
        self.vms.get(id)
    }

    /// Returns the first VM at or behind `index` of the table.
    #[must_use]
    pub fn next_vm(&self, index: u32) -> Option<&Vm> {
        self.vms.get(self.vms.next_from(index)?)
    }

    /// Returns what paging did, on a host with disks.
    #[must_use]
    pub fn paging_stats(&self) -> Option<PagingStats> {
        self.pager.as_ref().map(|pager| pager.stats)
    }

    /// Returns how many blocks of swap space there are, and how many of them are free.
    #[must_use]
    pub fn swap_space(&self) -> (u64, u64) {
        self.pager.as_ref().map_or((0, 0), |pager| pager.space())
    }

    /// Returns the frame table.
    #[must_use]
    pub const fn frames(&self) -> &FrameTable {
        &self.frames
    }

    pub(crate) fn view<'a>(
        &'a mut self,
        id: VmId,
        machine: &'a mut dyn Machine,
    ) -> Option<GuestView<'a>> {
        let floor = match &self.pager {
            Some(_) if self.supervisor_vm() != Some(id) => self.unclaimed(),
            _ => 0,
        };
        let vm = self.vms.get_mut(id)?;
        let (frames, images) = (&mut self.frames, &mut self.images);
        let pager = self.pager.as_deref_mut();
        Some(GuestView {
            frames,
            images,
            vm,
            machine,
            directories: pager.map(|pager| &mut pager.directories),
            floor,
            fault: None,
        })
    }

    /// Returns the frames promised to the supervisor, which nobody else can ever have.
    pub(crate) fn supervisor_promise(&self) -> u32 {
        let vm = self.supervisor_vm().and_then(|id| self.vms.get(id));
        vm.map_or(0, |vm| vm.memory_pages)
    }

    /// Returns whether a VM that is paged and wants memory has to wait for it, while memory is
    /// short; it tries again then.
    fn waits(&mut self, id: VmId, space: Space, exit: &Exit, machine: &mut dyn Machine) -> bool {
        match *exit {
            Exit::Hypercall { number, .. } if needs_memory(number) => {
                let waits = self.stall(id, machine);
                if waits {
                    machine.repeat_call(space, number);
                }
                waits
            }
            Exit::PageFault { .. } => self.stall(id, machine),
            _ => false,
        }
    }

    /// Returns whether something happened, or is left to do, that the next decision must heed.
    fn is_decision_due(&self) -> bool {
        let works = self.pager.as_ref().is_some_and(|pager| pager.has_work());
        self.decision_due || works || !self.trace.is_empty()
    }

    fn deal_with(&mut self, id: VmId, exit: Exit, machine: &mut dyn Machine) -> Handled {
        let is_ready = |vm: &&Vm| vm.state == VmState::Ready;
        let Some(vm) = self.vms.get(id).filter(is_ready) else {
            return Handled::Decide;
        };
        let (space, is_paged) = (vm.space, vm.swap.is_some());
        if is_paged
            && let Exit::Hypercall { number, arguments } = exit
            && self.waits_for_pages(id, number, arguments, machine)
        {
            return Handled::Decide;
        }
        if is_paged && self.is_short() && self.waits(id, space, &exit, machine) {
            return Handled::Decide;
        }
        match exit {
            Exit::Interrupted => {}
            Exit::Hypercall { number, arguments } => {
                return self.hypercall(id, number, arguments, machine);
            }
            Exit::PageFault {
                address, access, ..
            } => self.page_fault(id, address, access, machine),
            Exit::Exception { vector, code } => {
                let (reason, detail) = end_by_exception(vector, code);
                self.end_vm(id, reason, detail, machine);
            }
        }
        Handled::Decide
    }

    fn page_fault(
        &mut self,
        id: VmId,
        address: u64,
        access: FaultAccess,
        machine: &mut dyn Machine,
    ) {
        let Some(mut view) = self.view(id, machine) else {
            return;
        };
        match view.fault_in(address, access) {
            Ok(_) => {}
            Err(Fault::OnSwap) => self.await_page(id, address, machine),
            Err(fault) => self.end_vm(id, fault.into(), address, machine),
        }
    }

    /// Charges a VM for the time since it was told to run, the kernel's work for it included.
    fn charge(&mut self, id: VmId, machine: &mut dyn Machine) {
        let Some((running, since)) = self.running.take() else {
            return;
        };
        if running != id {
            return;
        }
        self.charge_since(id, since, machine);
    }

    /// Charges a VM for the time since `since`, spent by it or for it.
    pub(crate) fn charge_since(&mut self, id: VmId, since: Time, machine: &mut dyn Machine) {
        let now = machine.now();
        let ran_ns = now.since_ns(since).min(CHARGE_NS_MAX);
        let Some(vm) = self.vms.get_mut(id) else {
            return;
        };
        vm.counters.cpu_ns += ran_ns;
        self.policies.scheduler.charge(id, ran_ns);
        if let Some(until) = vm.allowance.charge_cpu(ran_ns, now) {
            self.cap(id, until);
        }
    }

    /// Returns a VM that is runnable, by the scheduler's choice if it has a good one.
    fn choose(&mut self) -> Option<(VmId, u64)> {
        if self.ready_vms == 0 {
            return None;
        }
        for _ in 0..PICKS_MAX {
            let Some(choice) = self.policies.scheduler.pick() else {
                break;
            };
            if self.vms.get(choice.vm).is_some_and(may_run) {
                return Some((choice.vm, choice.slice_ns));
            }
            self.stats.scheduler_refused += 1;
            self.policies.scheduler.leave(choice.vm);
        }
        self.stats.scheduler_refused += 1;
        let first = self.rescue_index;
        let ready = |(id, vm): (VmId, &Vm)| may_run(vm).then_some(id);
        let behind = self
            .vms
            .iter()
            .filter_map(ready)
            .find(|id| id.index() >= first);
        let id = behind.or_else(|| self.vms.iter().find_map(ready))?;
        self.rescue_index = id.index() + 1;
        Some((id, SLICE_NS_MIN))
    }
}

/// Returns whether a VM competes for the CPU.
pub(crate) fn may_run(vm: &Vm) -> bool {
    vm.state == VmState::Ready && vm.capped_until.is_none()
}
