//! What only the supervisor may ask for. The privilege is checked before any of this runs.

use crate::console;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::paging::NOWHERE;
use crate::time::Time;
use crate::trace::Event;
use crate::vm::allowance::Allowance;
use crate::vm::creation::{BootData, Entrance, VmSpec};
use crate::vm::image::{Image, ImageId};
use crate::vm::table::Handle;
use crate::vm::{FROZEN, VmId};
use denali_abi::ABI_VERSION;
use denali_abi::block::{VOLUMES_MAX, VolumeConfig};
use denali_abi::control::{HostStatus, KERNEL_VM, Limits, VmConfig, VmState, VmStatus, vm_flags};
use denali_abi::convert::{u32_to_usize, u64_to_usize, usize_to_u64};
use denali_abi::end::EndReason;
use denali_abi::errno::Errno;
use denali_abi::hypercall::IMAGE_WRITE_MAX;
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;
use denali_abi::registers::{ARGUMENTS_MAX, NAME_MAX, STOP_DEADLINE_OFFSET};
use denali_abi::shared::interrupt::STOP;
use zerocopy::{FromZeros, IntoBytes};

/// Bytes copied at a time between guests' memory and frames.
const CHUNK: usize = 1024;

impl Kernel {
    /// Makes an image without contents.
    pub(super) fn image_create(
        &mut self,
        caller: VmId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let mut header = ImageHeader::new_zeroed();
        self.copy_in(caller, address, header.as_mut_bytes(), machine)?;
        self.new_image(header).map(ImageId::raw)
    }

    /// Makes an image without contents from a header nobody has checked.
    pub(crate) fn new_image(&mut self, header: ImageHeader) -> Result<ImageId, Errno> {
        header.validate().map_err(|_| Errno::Invalid)?;
        let pages = u32::try_from(header.content_pages()).map_err(|_| Errno::TooLarge)?;
        if pages
            > self
                .commit
                .total()
                .saturating_sub(self.supervisor_promise())
        {
            return Err(Errno::TooLarge);
        }
        self.images.next_id()?;
        self.demand(pages)?;
        self.commit.promise(pages)?;
        let created = Image::new(header).and_then(|image| self.images.insert(image));
        match created {
            Ok(image) => {
                self.image_pages += pages;
                self.trace.record(Event::ImageCreated { image, pages });
            }
            Err(_) => self.commit.release(pages),
        }
        created
    }

    /// Writes contents of an image that no VM has run yet.
    pub(super) fn image_write(
        &mut self,
        caller: VmId,
        [image, offset, address, length]: [u64; 4],
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = ImageId::from_raw(image).ok_or(Errno::NotFound)?;
        let image = self.images.get(id).ok_or(Errno::NotFound)?;
        if length > IMAGE_WRITE_MAX {
            return Err(Errno::Invalid);
        }
        image.check_write(offset, length)?;
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        while done < length {
            // No further than the end of the image page.
            let room = PAGE_SIZE - (offset + done) % PAGE_SIZE;
            let step = room.min(length - done).min(usize_to_u64(CHUNK));
            let part = chunk.get_mut(..u64_to_usize(step)).unwrap_or_default();
            let from = address.checked_add(done).ok_or(Errno::BadAddress)?;
            self.copy_in(caller, from, part, machine)?;
            self.fill_image(id, offset + done, part, machine)?;
            done += step;
        }
        Ok(0)
    }

    /// Writes bytes that lie inside one page of an image.
    pub(crate) fn fill_image(
        &mut self,
        id: ImageId,
        offset: u64,
        bytes: &[u8],
        machine: &mut dyn Machine,
    ) -> Result<(), Errno> {
        let index = u32::try_from(offset / PAGE_SIZE).map_err(|_| Errno::Invalid)?;
        let image = self.images.get_mut(id).ok_or(Errno::NotFound)?;
        let frame = image.materialize(id, index, &mut self.frames, machine)?;
        machine.write_frame(frame, u64_to_usize(offset % PAGE_SIZE), bytes);
        Ok(())
    }

    /// Frees an image that no VM uses.
    pub(super) fn image_destroy(&mut self, image: u64) -> Result<u64, Errno> {
        let id = ImageId::from_raw(image).ok_or(Errno::NotFound)?;
        if self.images.get(id).ok_or(Errno::NotFound)?.users > 0 {
            return Err(Errno::Busy);
        }
        self.remove_image(id);
        self.admit_waiting();
        Ok(0)
    }

    /// Takes an unused image out of the table.
    pub(crate) fn remove_image(&mut self, id: ImageId) {
        if let Some(mut image) = self.images.remove(id) {
            self.frames.give_back_all(&mut image.frames, None);
            self.commit.release(image.page_count());
            self.image_pages -= image.page_count();
            self.trace.record(Event::ImageDestroyed { image: id });
        }
    }

    /// Creates and starts a VM.
    pub(super) fn vm_create(
        &mut self,
        caller: VmId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let mut config = VmConfig::new_zeroed();
        self.copy_in(caller, address, config.as_mut_bytes(), machine)?;
        let length = u32_to_usize(config.arguments_len);
        let mut arguments = [0; ARGUMENTS_MAX];
        let arguments = arguments.get_mut(..length).ok_or(Errno::Invalid)?;
        self.copy_in(caller, config.arguments, arguments, machine)?;
        if !is_name(&config.name) || config.network.mac == [0; 6] {
            return Err(Errno::Invalid);
        }
        let flags = config.flags & !vm_flags::SUCCESSOR;
        let entrance = match flags {
            0 | vm_flags::FROZEN => Entrance::Gatekeeper,
            vm_flags::DORMANT if self.pager.is_some() => Entrance::Dormant,
            _ => return Err(Errno::Invalid),
        };
        let spec = VmSpec {
            image: ImageId::from_raw(config.image).ok_or(Errno::NotFound)?,
            memory_pages: config.memory_pages,
            network: config.network,
            limits: config.limits,
            name: config.name,
            is_successor: config.flags != flags,
        };
        let mut volumes = [VolumeConfig::new_zeroed(); VOLUMES_MAX];
        let count = u32_to_usize(config.volumes_len);
        let volumes = volumes.get_mut(..count).ok_or(Errno::Invalid)?;
        self.copy_in(caller, config.volumes, volumes.as_mut_bytes(), machine)?;
        let boot = BootData { arguments, volumes };
        let id = self.create_vm(&spec, &boot, entrance, machine)?;
        if flags == vm_flags::FROZEN {
            self.cap(id, FROZEN);
        }
        Ok(id.raw())
    }

    /// Has a VM take the place of the one whose addresses it has.
    pub(super) fn vm_succeed(&mut self, vm: u64) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        self.switch.succeed(id.index());
        Ok(0)
    }

    /// Ends a VM that has not ended, or asks it to end by itself until a deadline. The supervisor
    /// cannot stop itself: it terminates.
    pub(super) fn vm_stop(
        &mut self,
        caller: VmId,
        vm: u64,
        deadline_ns: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        if id == caller {
            return Err(Errno::Invalid);
        }
        let vm = self.vms.get(id).ok_or(Errno::NotFound)?;
        if deadline_ns == 0 || !vm.is_active() {
            self.end_vm(id, EndReason::Stopped, 0, machine);
        } else {
            let deadline_ns = vm.guest_ns(Time::from_ns(deadline_ns), machine);
            let deadline = deadline_ns.to_le_bytes();
            machine.write_frame(vm.registers, STOP_DEADLINE_OFFSET, &deadline);
            self.raise(id, STOP, machine);
        }
        Ok(0)
    }

    /// Frees an ended VM.
    pub(super) fn vm_destroy(&mut self, vm: u64) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        self.destroy_vm(id).map(|()| 0)
    }

    /// Writes state and counters of a VM.
    pub(super) fn vm_status(
        &mut self,
        caller: VmId,
        vm: u64,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        let vm = self.vms.get(id).ok_or(Errno::NotFound)?;
        let leased = self.switch.address_of(id.index());
        let mut network = vm.network.offered(self.policies.net_offload.features());
        network.address = leased.unwrap_or(network.address);
        let end = vm.end.as_deref().copied().unwrap_or_default();
        let status = VmStatus {
            vm: id.raw(),
            image: vm.image.raw(),
            state: vm.state.code(),
            memory_pages: vm.memory_pages,
            resident_pages: vm.frames.count(),
            swapped_pages: self.pages_away(id),
            shared_pages: vm.counters.shared_pages,
            wake_us: vm.swap.map_or(0, |swap| swap.wake_us),
            end: end.record,
            created_ns: vm.counters.created.as_ns(),
            cpu_ns: vm.counters.cpu_ns,
            switches: vm.counters.switches,
            page_faults: vm.counters.page_faults,
            page_ins: u64::from(vm.counters.page_ins),
            wakes: u64::from(vm.counters.wakes),
            rx_frames: vm.counters.rx_frames,
            rx_dropped: vm.counters.rx_dropped,
            tx_frames: vm.counters.tx_frames,
            tx_refused: vm.counters.tx_refused,
            console_written: vm.counters.console_written,
            network,
            limits: *vm.allowance.limits(),
            name: vm.name,
            thread: end.thread,
        };
        self.copy_out(caller, address, status.as_bytes(), machine)?;
        Ok(0)
    }

    /// Returns the next VM in the table.
    pub(super) fn vm_next(&self, after: u64) -> Result<u64, Errno> {
        let index = match Handle::from_raw(after) {
            Some(handle) => handle.index().checked_add(1).ok_or(Errno::NotFound)?,
            None if after == 0 => 0,
            None => return Err(Errno::Invalid),
        };
        self.vms
            .next_from(index)
            .map(VmId::raw)
            .ok_or(Errno::NotFound)
    }

    /// Copies bytes of a VM's console.
    pub(super) fn console_read(
        &mut self,
        caller: VmId,
        [vm, position, address, length]: [u64; 4],
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        const POSITION_LEN: u64 = size_of::<u64>() as u64;
        let room = length.checked_sub(POSITION_LEN).ok_or(Errno::Invalid)?;
        if vm == KERNEL_VM {
            let mut report = [0; CHUNK];
            let length = u64_to_usize(room.min(usize_to_u64(CHUNK)));
            let buffer = report.get_mut(..length).unwrap_or_default();
            let read = machine.boot_report(u64_to_usize(position), buffer);
            let bytes = buffer.get(..read).unwrap_or_default();
            let to = address.checked_add(POSITION_LEN).ok_or(Errno::BadAddress)?;
            self.copy_out(caller, address, &position.to_le_bytes(), machine)?;
            self.copy_out(caller, to, bytes, machine)?;
            return Ok(usize_to_u64(read));
        }
        let id = self.find(vm)?;
        let vm = self.vms.get(id).ok_or(Errno::NotFound)?;
        let (console, written) = (vm.console, vm.counters.console_written);
        let mut range = console::readable(written, position, room);
        if !range.is_empty() && console == NOWHERE {
            if vm.state != VmState::Ended {
                self.call_back(id, machine.now());
                return Err(Errno::Busy);
            }
            // What was on swap when it ended is gone.
            range = written..written;
        }
        self.copy_out(caller, address, &range.start.to_le_bytes(), machine)?;
        let mut to = address.checked_add(POSITION_LEN).ok_or(Errno::BadAddress)?;
        let mut at = range.start;
        let mut chunk = [0; CHUNK];
        while at < range.end {
            let step = (range.end - at).min(usize_to_u64(CHUNK));
            let part = chunk.get_mut(..u64_to_usize(step)).unwrap_or_default();
            console::read(console, at, part, machine);
            self.copy_out(caller, to, part, machine)?;
            at += step;
            to = to.checked_add(step).ok_or(Errno::BadAddress)?;
        }
        Ok(range.end - range.start)
    }

    /// Writes state and counters of the host.
    pub(super) fn host_status(
        &mut self,
        caller: VmId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let status = HostStatus {
            abi_version: ABI_VERSION,
            reserved: 0,
            frames_total: u64::from(self.commit.total()),
            frames_free: u64::from(self.frames.free()),
            frames_committed: u64::from(self.commit.promised()),
            vms: u64::from(self.vms.len()),
            vms_max: u64::from(self.vms.limit()),
            images: u64::from(self.images.len()),
            images_max: u64::from(self.images.limit()),
            now_ns: machine.now().as_ns(),
            idle_ns: self.stats.idle_ns,
            nic_rx_frames: self.stats.nic_rx_frames,
            nic_tx_frames: self.stats.nic_tx_frames,
            nic_dropped: self.stats.nic_dropped,
            paging: self.paging_status(),
            block: self.block_status(),
            nic_mac: machine.nic_mac(),
            reserved_tail: [0; 2],
        };
        self.copy_out(caller, address, status.as_bytes(), machine)?;
        Ok(0)
    }

    /// Gives a VM new limits; what it took so far is forgotten.
    pub(super) fn vm_limits(
        &mut self,
        caller: VmId,
        vm: u64,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let id = self.find(vm)?;
        let mut limits = Limits::new_zeroed();
        self.copy_in(caller, address, limits.as_mut_bytes(), machine)?;
        if !limits.is_valid() {
            return Err(Errno::Invalid);
        }
        let vm = self.vms.get_mut(id).ok_or(Errno::NotFound)?;
        vm.allowance = Allowance::new(limits);
        if vm.state != VmState::Ended {
            self.policies.scheduler.set_weight(id, limits.weight());
        }
        self.uncap(id);
        Ok(0)
    }

    pub(super) fn find(&self, vm: u64) -> Result<VmId, Errno> {
        VmId::from_raw(vm)
            .filter(|&id| self.vms.contains(id))
            .ok_or(Errno::NotFound)
    }
}

/// Returns whether `name` is printable ASCII without spaces, at least one byte, padded with zeros.
fn is_name(name: &[u8; NAME_MAX]) -> bool {
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(NAME_MAX);
    let (used, padding) = name.split_at(length);
    length > 0 && used.iter().all(u8::is_ascii_graphic) && padding.iter().all(|&byte| byte == 0)
}
