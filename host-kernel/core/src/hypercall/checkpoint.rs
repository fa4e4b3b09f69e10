//! Frozen VMs: read by the supervisor page by page, or made of what was read before.
//!
//! A frozen VM is one whose cap ends at the end of time: it is in memory, answers nothing and is
//! given no frames, so that what the supervisor reads of it belongs together. What the supervisor
//! passes back is an allegation like an image: a page goes where the VM itself could write, within
//! its limit, and registers are for the machine to check.

use crate::kernel::Kernel;
use crate::machine::{Access, FrameId, Machine, Page};
use crate::net::ring::RingState;
use crate::paging::is_fixed;
use crate::vm::image::ImageId;
use crate::vm::upcall::Upcall;
use crate::vm::{FROZEN, Vm, VmId, interrupt, page_number};
use core::mem::offset_of;
use denali_abi::control::{FrozenState, FrozenVm, VmState};
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::hypercall::PAGES_LOOKED;
use denali_abi::layout::{GUEST_END, PAGE_SIZE};
use denali_abi::registers::VirtualRegisters;
use denali_abi::shared::interrupt::RESUME;
use zerocopy::{FromZeros, IntoBytes};

/// Bytes copied at a time.
const CHUNK: usize = 1024;

/// Pages of a VM compared a call with what they were made from: the next is taken for written.
const PAGES_COMPARED: u32 = 64;

/// Memory a page may take: its frame, and page tables on the way to it.
const FRAMES_PER_PAGE: u32 = 4;

impl Kernel {
    /// Copies a page of an image, or its header alone; a page that nobody wrote is zero.
    pub(super) fn image_read(
        &mut self,
        caller: VmId,
        [image, index, address]: [u64; 3],
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = ImageId::from_raw(image).ok_or(Errno::NotFound)?;
        let image = self.images.get_mut(id).ok_or(Errno::NotFound)?;
        let Some(content) = index.checked_sub(1) else {
            let header = *image.header();
            self.copy_out(caller, address, header.as_bytes(), machine)?;
            return Ok(0);
        };
        let content = u32::try_from(content).map_err(|_| Errno::Invalid)?;
        let frame = image.materialize(id, content, &mut self.frames, machine)?;
        self.copy_frame_out(caller, frame, address, machine)
    }

    /// Keeps a VM from running and from being given frames.
    pub(super) fn vm_freeze(&mut self, caller: VmId, vm: u64) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        let vm = self.vms.get(id).ok_or(Errno::NotFound)?;
        if id == caller || vm.state == VmState::Ended {
            return Err(Errno::Invalid);
        }
        if vm.counters.switches == 0 {
            return Err(Errno::Busy);
        }
        self.cap(id, FROZEN);
        Ok(0)
    }

    /// Lets a frozen VM go on, or begin with a state that was saved.
    pub(super) fn vm_thaw(
        &mut self,
        caller: VmId,
        vm: u64,
        state: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        let vm = self.vms.get(id).ok_or(Errno::NotFound)?;
        if !vm.is_frozen() {
            return Err(Errno::Invalid);
        }
        let is_new = vm.counters.switches == 0;
        match state {
            0 if is_new => return Err(Errno::Busy),
            0 => {}
            _ => {
                self.new_at_rest(id, machine)?;
                if let Err(errno) = self.load_state(caller, id, state, machine) {
                    // What it would go on with is neither here nor there.
                    self.end_vm(id, EndReason::Stopped, 0, machine);
                    return Err(errno);
                }
            }
        }
        self.lift_cap(id);
        self.end_freshness(id, machine);
        Ok(0)
    }

    /// Writes what is not in the pages of a frozen VM.
    pub(super) fn vm_save(
        &mut self,
        caller: VmId,
        vm: u64,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        let now = machine.now();
        let vm = self.at_rest(id, machine)?;
        machine.settle_registers(vm.space);
        let mut generation = [0; 4];
        let at = offset_of!(VirtualRegisters, resume_generation);
        machine.read_frame(vm.registers, at, &mut generation);
        let (upcall_entry, upcall_stack) = Upcall::arguments(vm.upcall);
        let (tx_consumed, rx_filled) = vm.ring.indices();
        let frames = [vm.space.context, vm.shared, vm.console];
        let mut state = FrozenState {
            monotonic_ns: vm.guest_ns(now, machine),
            console_written: vm.counters.console_written,
            upcall_entry,
            upcall_stack,
            resume_generation: u32::from_le_bytes(generation),
            idles: u32::from(vm.state == VmState::Idle),
            tx_consumed,
            rx_filled,
            ..FrozenState::default()
        };
        if let Some(ring) = self.block.as_mut().and_then(|layer| layer.ring_of(id)) {
            (state.block_taken, state.block_completed) = ring.indices();
        }
        self.copy_out(caller, address, state.as_bytes(), machine)?;
        for (frame, at) in frames.into_iter().zip(places(address)) {
            self.copy_frame_out(caller, frame, at?, machine)?;
        }
        Ok(0)
    }

    /// Copies the first page that a frozen VM has written, or may have, from a page on.
    pub(super) fn page_read(
        &mut self,
        caller: VmId,
        [vm, first, address]: [u64; 3],
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        let space = self.at_rest(id, machine)?.space;
        let guest_end = page_number(GUEST_END);
        let first = u32::try_from(first).map_err(|_| Errno::Invalid)?;
        let end = first.saturating_add(PAGES_LOOKED).min(guest_end);
        let mut compared = 0;
        for page in (first..end).map(Page).filter(|&page| !is_fixed(page)) {
            match machine.lookup(space, page) {
                Some((frame, Access::ReadWrite)) => {
                    if compared == PAGES_COMPARED || !self.is_as_made(id, page, frame, machine) {
                        self.copy_frame_out(caller, frame, address, machine)?;
                        return Ok(u64::from(page.0));
                    }
                    compared += 1;
                }
                None if self.is_away(id, page) => {
                    self.page_in(id, u64::from(page.0) * PAGE_SIZE, machine);
                    return Err(Errno::Busy);
                }
                _ => {}
            }
        }
        Ok(u64::from(end.max(first)))
    }

    /// Writes a page of a frozen VM that has never run.
    pub(super) fn page_write(
        &mut self,
        caller: VmId,
        [vm, page, address]: [u64; 3],
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        self.new_at_rest(id, machine)?;
        self.demand(FRAMES_PER_PAGE)?;
        let to = page.checked_mul(PAGE_SIZE).ok_or(Errno::BadAddress)?;
        let mut chunk = [0; CHUNK];
        for done in (0..PAGE_SIZE).step_by(CHUNK) {
            let from = address.checked_add(done).ok_or(Errno::BadAddress)?;
            self.copy_in(caller, from, &mut chunk, machine)?;
            self.copy_out(id, to.saturating_add(done), &chunk, machine)?;
        }
        Ok(0)
    }

    /// Returns a frozen VM that is in memory and for which no device works.
    fn at_rest(&mut self, id: VmId, machine: &mut dyn Machine) -> Result<&Vm, Errno> {
        self.call_back(id, machine.now());
        let held = self.block.as_ref().is_some_and(|layer| layer.holds(id));
        let vm = self.vms.get(id).ok_or(Errno::NotFound)?;
        match vm.state {
            _ if !vm.is_frozen() => Err(Errno::Invalid),
            VmState::Ended => Err(Errno::Invalid),
            VmState::Dormant | VmState::Paging => Err(Errno::Busy),
            VmState::Ready | VmState::Idle if held || vm.awaits_nic => Err(Errno::Busy),
            VmState::Ready | VmState::Idle => Ok(vm),
        }
    }

    /// Checks that a VM is [at rest](Self::at_rest) and has never run.
    fn new_at_rest(&mut self, id: VmId, machine: &mut dyn Machine) -> Result<(), Errno> {
        let switches = self.at_rest(id, machine)?.counters.switches;
        if switches == 0 {
            Ok(())
        } else {
            Err(Errno::Invalid)
        }
    }

    /// Gives a VM that has never run the state that the caller says another had.
    fn load_state(
        &mut self,
        caller: VmId,
        id: VmId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<(), Errno> {
        let mut state = FrozenState::new_zeroed();
        self.copy_in(caller, address, state.as_mut_bytes(), machine)?;
        let vm = self.vms.get(id).ok_or(Errno::NotFound)?;
        let frames = [vm.space.context, vm.shared, vm.console];
        for (frame, at) in frames.into_iter().zip(places(address)) {
            self.copy_frame_in(caller, frame, at?, machine)?;
        }
        if let Some(ring) = self.block.as_mut().and_then(|layer| layer.ring_of(id)) {
            ring.set_indices(state.block_taken, state.block_completed);
        }
        let vm = self.vms.get_mut(id).ok_or(Errno::NotFound)?;
        let sound = machine.adopt_registers(vm.space);
        sound.map_err(|_| Errno::Invalid)?;
        vm.upcall = Upcall::from_arguments(state.upcall_entry, state.upcall_stack)?;
        vm.ring = RingState::with_indices(state.tx_consumed, state.rx_filled);
        vm.counters.console_written = state.console_written;
        let generation = state.resume_generation.wrapping_add(1).to_le_bytes();
        let at = offset_of!(VirtualRegisters, resume_generation);
        machine.write_frame(vm.registers, at, &generation);
        vm.set_clock(state.monotonic_ns, machine);
        if state.idles == 0 {
            interrupt::post(vm.shared, RESUME, machine);
        } else {
            machine.set_result(vm.space, i64::from(RESUME));
        }
        Ok(())
    }

    /// Copies a whole frame to the caller's memory. Returns 0.
    fn copy_frame_out(
        &mut self,
        caller: VmId,
        frame: FrameId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let mut chunk = [0; CHUNK];
        for done in (0..PAGE_SIZE).step_by(CHUNK) {
            let to = address.checked_add(done).ok_or(Errno::BadAddress)?;
            machine.read_frame(frame, u64_to_usize(done), &mut chunk);
            self.copy_out(caller, to, &chunk, machine)?;
        }
        Ok(0)
    }

    /// Copies a whole frame from the caller's memory.
    fn copy_frame_in(
        &mut self,
        caller: VmId,
        frame: FrameId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<(), Errno> {
        let mut chunk = [0; CHUNK];
        for done in (0..PAGE_SIZE).step_by(CHUNK) {
            let from = address.checked_add(done).ok_or(Errno::BadAddress)?;
            self.copy_in(caller, from, &mut chunk, machine)?;
            machine.write_frame(frame, u64_to_usize(done), &chunk);
        }
        Ok(())
    }
}

/// Returns where the three frames of a [`FrozenVm`] lie that begins at `address`.
fn places(address: u64) -> impl Iterator<Item = Result<u64, Errno>> {
    let offsets = [
        offset_of!(FrozenVm, registers),
        offset_of!(FrozenVm, shared),
        offset_of!(FrozenVm, console),
    ];
    let place = move |offset| address.checked_add(usize_to_u64(offset));
    offsets
        .into_iter()
        .map(move |offset| place(offset).ok_or(Errno::BadAddress))
}
