//! The PC as the core's [`Machine`]: the one meeting point of core, arch and drivers.

use crate::arch::guest_pages;
use crate::arch::paging::{self, Paging};
use crate::arch::{Apic, Clock, DEVICE_VECTORS, Left, World, cpu, idt};
use crate::platform::Ports;
use crate::{guest_memory, log};
use core::ops::Range;
use denali_abi::registers::ClockParameters;
use denali_abi::upcall::UpcallFrame;
use denali_kernel_core::machine::{
    Access, DiskCompletion, DiskFull, DiskInfo, DiskRequest, Event, Exit, FaultAccess, FrameId,
    Machine, Marks, NicFull, Offload, Page, Position, Received, Space, TableMissing,
    UnsoundRegisters,
};
use denali_kernel_core::time::Time;
use host_kernel::drivers::disk::{DISKS_MAX, Disks};
use host_kernel::drivers::nic::{Nic, Vectors};

/// Where the NIC's interrupts arrive.
pub(crate) const NIC_VECTORS: Vectors = Vectors {
    receive: DEVICE_VECTORS.start,
    transmit: DEVICE_VECTORS.start + 1,
};

/// Where the disks' interrupts arrive.
pub(crate) const DISK_VECTORS: [u8; DISKS_MAX] = {
    let Range { start, end } = DEVICE_VECTORS;
    assert!(NIC_VECTORS.transmit as usize + DISKS_MAX < end as usize);
    [
        start + 2,
        start + 3,
        start + 4,
        start + 5,
        start + 6,
        start + 7,
        start + 8,
        start + 9,
    ]
};

/// The machine.
#[derive(Debug)]
pub(crate) struct Pc {
    /// What the CPU offers.
    pub(crate) features: cpu::Features,
    /// Time.
    pub(crate) clock: Clock,
    /// The kernel's page tables.
    pub(crate) paging: Paging,
    /// Timer and end of interrupt.
    pub(crate) apic: Apic,
    /// The world switch.
    pub(crate) world: World,
    /// The physical NIC, if there is one.
    pub(crate) nic: Option<Nic>,
    /// Whether a device was given something that it was not told of.
    pub(crate) has_queued: bool,
    /// The disks.
    pub(crate) disks: Disks,
    /// Non-maskable interrupts that were reported.
    pub(crate) nmis_seen: u64,
}

impl Pc {
    /// Serves an interrupt; devices leave notes that [`Machine::poll_event`] turns into events.
    fn serve(&mut self, vector: u8) {
        if let Some(nic) = &mut self.nic {
            if vector == NIC_VECTORS.receive {
                nic.rx_interrupt();
            } else if vector == NIC_VECTORS.transmit {
                nic.tx_interrupt();
            }
        }
        if let Some(disk) = DISK_VECTORS.iter().position(|&it| it == vector) {
            self.disks.interrupt(disk);
        }
        if Apic::is_timer(vector) {
            self.look_at_devices();
        }
        self.apic.end_of_interrupt(vector);
    }

    /// Serves what arrived while halted and returns whether anything did.
    fn serve_pending(&mut self) -> bool {
        let mut any = false;
        while let Some(vector) = idt::take_pending() {
            self.serve(vector);
            any = true;
        }
        any
    }

    /// Returns whether something happened outside that the core has not seen.
    pub(crate) fn has_event(&self) -> bool {
        self.nic.as_ref().is_some_and(Nic::has_event) || self.disks.has_event()
    }

    /// Tells the devices of what was queued since they were last told.
    fn flush_devices(&mut self) {
        if core::mem::take(&mut self.has_queued) {
            if let Some(nic) = &mut self.nic {
                nic.flush();
            }
            self.disks.flush();
        }
    }

    /// Finds what a device has not been heard to say.
    fn look_at_devices(&mut self) {
        if let Some(nic) = &mut self.nic {
            nic.look_again();
        }
        self.disks.look_again();
    }

    /// Looks after disks that do not answer.
    fn watch_disks(&mut self) {
        if let Some(deadline) = self.disks.deadline() {
            let now = self.clock.now();
            if now >= deadline {
                self.has_queued = true;
                self.disks.expire(now, &mut Ports);
            }
        }
    }
}

impl Machine for Pc {
    fn now(&mut self) -> Time {
        self.clock.now()
    }

    fn clock(&self) -> ClockParameters {
        self.clock.parameters()
    }

    fn cpu_hz(&self) -> u64 {
        self.clock.hz()
    }

    fn entropy(&mut self) -> u64 {
        cpu::entropy(&self.features)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.watch_disks();
        // First, as they are bounded by what was asked for, which frames are not.
        if self.disks.has_event() {
            return Some(Event::DiskDone);
        }
        self.nic.as_mut()?.poll_event()
    }

    fn run(&mut self, space: Space, until: Time) -> Exit {
        self.flush_devices();
        while self.clock.now() < until {
            self.apic.arm(until, &self.clock);
            match self.world.run(space) {
                Left::Exit(exit) => return exit,
                Left::Interrupt(vector) => {
                    self.serve(vector);
                    // The timer may have been armed for an earlier slice.
                    if !Apic::is_timer(vector) {
                        break;
                    }
                }
            }
        }
        Exit::Interrupted
    }

    fn resume(&mut self, space: Space, until: Time) -> Exit {
        self.flush_devices();
        // The timer is armed since `run`.
        match self.world.resume(space) {
            Left::Exit(exit) => exit,
            Left::Interrupt(vector) => {
                self.serve(vector);
                if Apic::is_timer(vector) {
                    return self.run(space, until);
                }
                Exit::Interrupted
            }
        }
    }

    fn idle_until(&mut self, until: Option<Time>) {
        self.flush_devices();
        self.look_at_devices();
        if self.has_event() {
            return;
        }
        let until = self.disks.deadline().into_iter().chain(until).min();
        match until {
            Some(until) if self.clock.now() >= until => return,
            Some(until) => self.apic.arm(until, &self.clock),
            None => self.apic.disarm(),
        }
        // One wait: whatever ends it, the run loop looks at events and deadlines again.
        if !self.serve_pending() {
            cpu::wait_for_interrupt();
            self.serve_pending();
        }
    }

    fn create_space(&mut self, space: Space, entry: u64, stack_top: u64) {
        self.paging.create(space);
        World::create(space, entry, stack_top);
    }

    fn drop_space(&mut self, space: Space) {
        self.world.forget(space);
    }

    fn suspend_space(&mut self, space: Space) {
        self.world.suspend(space);
    }

    fn resume_space(&mut self, space: Space) {
        self.paging.create(space);
    }

    fn settle_registers(&mut self, space: Space) {
        self.world.suspend(space);
    }

    fn adopt_registers(&mut self, space: Space) -> Result<(), UnsoundRegisters> {
        let is_sound = self.world.adopt(space);
        is_sound.then_some(()).ok_or(UnsoundRegisters)
    }

    fn repeat_call(&mut self, space: Space, number: u64) {
        World::repeat_call(space, number);
    }

    fn set_result(&mut self, space: Space, result: i64) {
        World::set_result(space, result);
    }

    fn position(&self, space: Space) -> Position {
        World::position(space)
    }

    fn interrupted(&self, space: Space) -> UpcallFrame {
        World::interrupted(space)
    }

    fn divert(&mut self, space: Space, position: Position) {
        World::divert(space, position);
    }

    fn map(
        &mut self,
        space: Space,
        page: Page,
        frame: FrameId,
        access: Access,
    ) -> Result<(), TableMissing> {
        let replaced = self.paging.map(space, page, frame, access)?;
        if replaced && self.world.is_loaded(space) {
            paging::flush(page);
        }
        Ok(())
    }

    fn add_table(&mut self, space: Space, page: Page, frame: FrameId) {
        guest_pages::add_table(space, page, frame);
    }

    fn unmap(&mut self, space: Space, page: Page) -> Option<FrameId> {
        let frame = guest_pages::unmap(space, page)?;
        if self.world.is_loaded(space) && !cfg!(sabotage = "skip-flush") {
            paging::flush(page);
        }
        Some(frame)
    }

    fn touch(&mut self, space: Space, page: Page, wanted: FaultAccess) -> Option<FrameId> {
        guest_pages::touch(space, page, wanted)
    }

    fn take_marks(&mut self, space: Space, page: Page) -> Option<Marks> {
        let marks = guest_pages::take_marks(space, page)?;
        // The CPU marks a page when it loads its translation.
        if marks.referenced && self.world.is_loaded(space) {
            paging::flush(page);
        }
        Some(marks)
    }

    fn lookup(&self, space: Space, page: Page) -> Option<(FrameId, Access)> {
        guest_pages::lookup(space, page)
    }

    fn read_frame(&self, frame: FrameId, offset: usize, buffer: &mut [u8]) {
        guest_memory::read(frame, offset, buffer);
    }

    fn write_frame(&mut self, frame: FrameId, offset: usize, bytes: &[u8]) {
        guest_memory::write(frame, offset, bytes);
    }

    fn zero_frame(&mut self, frame: FrameId) {
        guest_memory::zero(frame);
    }

    fn copy_frame(&mut self, from: FrameId, to: FrameId) {
        guest_memory::copy(from, to);
    }

    fn log(&mut self, bytes: &[u8]) {
        log::write_raw(bytes);
    }

    fn boot_report(&self, position: usize, buffer: &mut [u8]) -> usize {
        log::boot_report(position, buffer)
    }

    fn nic_mac(&self) -> [u8; 6] {
        self.nic.as_ref().map_or([0; 6], Nic::mac)
    }

    fn nic_receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        self.nic.as_mut()?.receive(buffer)
    }

    fn nic_offloads(&self) -> u16 {
        self.nic.as_ref().map_or(0, Nic::offloads)
    }

    fn nic_transmit(&mut self, frame: &[u8], offload: Offload) -> Result<(), NicFull> {
        match &mut self.nic {
            Some(nic) => {
                self.has_queued = true;
                nic.transmit(frame, offload)
            }
            // A wire that leads nowhere takes everything.
            None => Ok(()),
        }
    }

    fn disks(&self) -> &[DiskInfo] {
        self.disks.infos()
    }

    fn disk_submit(&mut self, request: &DiskRequest<'_>) -> Result<(), DiskFull> {
        let now = self.clock.now();
        self.has_queued = true;
        self.disks.submit(request, now)
    }

    fn disk_completion(&mut self) -> Option<DiskCompletion> {
        // A device that broke down is given again what it had.
        self.has_queued = true;
        self.disks.completion(&mut Ports)
    }
}
