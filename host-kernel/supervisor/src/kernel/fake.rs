//! A kernel of tables and counters, for tests: admits, refuses and fails on demand.

use super::{ConsolePiece, ImageId, Kernel, VmId};
use crate::checkpoint::body::{PAGE_LEN, Page};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use denali_abi::ABI_VERSION;
use denali_abi::block::VolumeConfig;
use denali_abi::control::{
    FrozenState, FrozenVm, HostStatus, Limits, PagingStatus, VmConfig, VmState, VmStatus, vm_flags,
};
use denali_abi::end::{EndReason, EndRecord};
use denali_abi::errno::Errno;
use denali_abi::hypercall::PAGES_LOOKED;
use denali_abi::image::ImageHeader;
use denali_abi::layout::{GUEST_END, PAGE_SIZE};

/// The calls a test can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `image_create`.
    ImageCreate,
    /// `image_write`.
    ImageWrite,
    /// `vm_create`.
    VmCreate,
    /// `vm_destroy`.
    VmDestroy,
    /// `vm_limits`.
    VmLimits,
    /// `vm_freeze`.
    VmFreeze,
    /// `vm_succeed`.
    VmSucceed,
    /// `vm_thaw`.
    VmThaw,
    /// `page_write`.
    PageWrite,
}

/// What the fake said while booting.
pub const BOOT_REPORT: &str = "denali: measures on: none\ndenali: 1 MiB of RAM free\n";

/// One VM of the fake.
#[derive(Clone, Debug)]
pub struct FakeVm {
    /// What `vm_status` answers.
    pub status: VmStatus,
    /// The arguments it was given.
    pub arguments: Vec<u8>,
    /// The volumes it was given.
    pub volumes: Vec<VolumeConfig>,
    /// The console bytes kept.
    pub console: Vec<u8>,
    /// Absolute position of the first of them.
    pub console_start: u64,
    /// Whether it is kept from running.
    pub frozen: bool,
    /// Whether it was created frozen and has no state yet.
    pub unborn: bool,
    /// The pages it has written: with what each is filled, by number.
    pub pages: BTreeMap<u64, u8>,
    /// What the kernel keeps of it.
    pub state: FrozenState,
}

/// The fake.
#[derive(Debug)]
pub struct FakeKernel {
    /// VMs by id.
    pub vms: BTreeMap<u64, FakeVm>,
    /// Images by id: header and contents.
    pub images: BTreeMap<u64, (ImageHeader, Vec<u8>)>,
    /// Frames there are.
    pub frames_total: u64,
    /// VM slots there are.
    pub vms_max: u64,
    /// How often consoles are asked for before their sleeping VMs are in memory.
    pub calls_to_wake: u32,
    /// Blocks of swap space, all free.
    pub swap_blocks: u64,
    /// The clock.
    pub now_ns: u64,
    /// Whether VMs end when they are asked to.
    pub obedient: bool,
    /// Calls that fail, each once, with the error.
    pub failures: Vec<(Call, Errno)>,
    next_id: u64,
}

impl FakeKernel {
    /// Returns a host with this many frames for VMs and images.
    pub fn new(frames_total: u64) -> Self {
        Self {
            vms: BTreeMap::new(),
            images: BTreeMap::new(),
            frames_total,
            vms_max: 16,
            calls_to_wake: 0,
            swap_blocks: 0,
            now_ns: 1_000_000_000,
            obedient: true,
            failures: Vec::new(),
            next_id: 1,
        }
    }

    /// Ends a VM as a fault would.
    pub fn end(&mut self, vm: VmId, reason: EndReason, detail: u64) {
        let vm = self
            .vms
            .get_mut(&vm.0)
            .expect("the test names a VM that exists");
        vm.status.state = VmState::Ended.code();
        vm.status.end = EndRecord {
            reason: reason.code(),
            detail,
            rip: 0x11_a2b3,
            ..vm.status.end
        };
    }

    /// Appends to a VM's console.
    pub fn print(&mut self, vm: VmId, text: &str) {
        let vm = self
            .vms
            .get_mut(&vm.0)
            .expect("the test names a VM that exists");
        vm.console.extend_from_slice(text.as_bytes());
        vm.status.console_written += text.len() as u64;
    }

    fn committed(&self) -> u64 {
        let images: u64 = self
            .images
            .values()
            .map(|(header, _)| header.content_pages())
            .sum();
        let vms: u64 = self
            .vms
            .values()
            .filter(|vm| vm.status.state != VmState::Ended.code())
            .map(|vm| u64::from(vm.status.memory_pages))
            .sum();
        images + vms
    }

    fn fail(&mut self, call: Call) -> Result<(), Errno> {
        match self
            .failures
            .iter()
            .position(|(failing, _)| *failing == call)
        {
            Some(index) => Err(self.failures.remove(index).1),
            None => Ok(()),
        }
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl Kernel for FakeKernel {
    fn image_create(&mut self, header: &ImageHeader) -> Result<ImageId, Errno> {
        self.fail(Call::ImageCreate)?;
        if self.committed() + header.content_pages() > self.frames_total {
            return Err(Errno::OutOfMemory);
        }
        let id = self.take_id();
        self.images.insert(id, (*header, Vec::new()));
        Ok(ImageId(id))
    }

    fn image_write(&mut self, image: ImageId, offset: u64, contents: &[u8]) -> Result<(), Errno> {
        self.fail(Call::ImageWrite)?;
        let (_, stored) = self.images.get_mut(&image.0).ok_or(Errno::NotFound)?;
        assert_eq!(offset, stored.len() as u64, "images are written in order");
        stored.extend_from_slice(contents);
        Ok(())
    }

    fn image_header(&mut self, image: ImageId) -> Result<ImageHeader, Errno> {
        let (header, _) = self.images.get(&image.0).ok_or(Errno::NotFound)?;
        Ok(*header)
    }

    fn image_read(&mut self, image: ImageId, index: u64, page: &mut Page) -> Result<(), Errno> {
        let (_, stored) = self.images.get(&image.0).ok_or(Errno::NotFound)?;
        let (pages, _) = stored.as_chunks::<PAGE_LEN>();
        let index = usize::try_from(index).map_err(|_| Errno::Invalid)?;
        *page = *pages.get(index).ok_or(Errno::Invalid)?;
        Ok(())
    }

    fn vm_freeze(&mut self, vm: VmId) -> Result<(), Errno> {
        self.fail(Call::VmFreeze)?;
        let vm = self.vms.get_mut(&vm.0).ok_or(Errno::NotFound)?;
        if vm.status.state == VmState::Ended.code() {
            return Err(Errno::Invalid);
        }
        vm.frozen = true;
        Ok(())
    }

    fn vm_succeed(&mut self, vm: VmId) -> Result<(), Errno> {
        self.fail(Call::VmSucceed)?;
        self.vms.get(&vm.0).map(drop).ok_or(Errno::NotFound)
    }

    fn vm_thaw(&mut self, vm: VmId, state: Option<&FrozenVm>) -> Result<(), Errno> {
        self.fail(Call::VmThaw)?;
        let vm = self.vms.get_mut(&vm.0).ok_or(Errno::NotFound)?;
        match state {
            _ if !vm.frozen => return Err(Errno::Invalid),
            None if vm.unborn => return Err(Errno::Busy),
            None => {}
            Some(_) if !vm.unborn => return Err(Errno::Invalid),
            Some(state) => vm.state = state.state,
        }
        (vm.frozen, vm.unborn) = (false, false);
        Ok(())
    }

    fn vm_save(&mut self, vm: VmId, state: &mut FrozenVm) -> Result<(), Errno> {
        let vm = self.vms.get(&vm.0).ok_or(Errno::NotFound)?;
        if !vm.frozen {
            return Err(Errno::Invalid);
        }
        state.state = vm.state;
        Ok(())
    }

    fn page_read(&mut self, vm: VmId, first: u64, page: &mut Page) -> Result<u64, Errno> {
        let vm = self.vms.get(&vm.0).ok_or(Errno::NotFound)?;
        if !vm.frozen {
            return Err(Errno::Invalid);
        }
        let end = (first + u64::from(PAGES_LOOKED)).min(GUEST_END / PAGE_SIZE);
        let Some((number, found)) = vm.pages.range(first..end).next() else {
            return Ok(end);
        };
        page.fill(*found);
        Ok(*number)
    }

    fn page_write(&mut self, vm: VmId, number: u64, page: &Page) -> Result<(), Errno> {
        self.fail(Call::PageWrite)?;
        let vm = self.vms.get_mut(&vm.0).ok_or(Errno::NotFound)?;
        if !vm.unborn {
            return Err(Errno::Invalid);
        }
        vm.pages.insert(number, page[0]);
        Ok(())
    }

    fn image_destroy(&mut self, image: ImageId) -> Result<(), Errno> {
        if self.vms.values().any(|vm| vm.status.image == image.0) {
            return Err(Errno::Busy);
        }
        self.images
            .remove(&image.0)
            .map(|_| ())
            .ok_or(Errno::NotFound)
    }

    fn vm_create(
        &mut self,
        config: VmConfig,
        arguments: &[u8],
        volumes: &[VolumeConfig],
    ) -> Result<VmId, Errno> {
        self.fail(Call::VmCreate)?;
        if !self.images.contains_key(&config.image) {
            return Err(Errno::NotFound);
        }
        let taken = |vm: &FakeVm| {
            let network = vm.status.network;
            network.mac == config.network.mac
                || (network.address != [0; 4] && network.address == config.network.address)
        };
        let has_addresses = self.vms.values().filter(|vm| taken(vm)).count();
        let allowed = usize::from(config.flags & vm_flags::SUCCESSOR != 0);
        let flags = config.flags & !vm_flags::SUCCESSOR;
        if has_addresses > allowed {
            return Err(Errno::Exists);
        }
        if self.committed() + u64::from(config.memory_pages) > self.frames_total {
            return Err(Errno::OutOfMemory);
        }
        if self.vms.len() as u64 >= self.vms_max {
            return Err(Errno::TableFull);
        }
        let id = self.take_id();
        let status = VmStatus {
            vm: id,
            image: config.image,
            state: match flags {
                vm_flags::DORMANT => VmState::Dormant,
                _ => VmState::Ready,
            }
            .code(),
            memory_pages: config.memory_pages,
            created_ns: self.now_ns + id,
            network: config.network,
            limits: config.limits,
            name: config.name,
            ..VmStatus::default()
        };
        let (arguments, console) = (arguments.to_vec(), Vec::new());
        let volumes = volumes.to_vec();
        self.vms.insert(
            id,
            FakeVm {
                status,
                arguments,
                volumes,
                console,
                console_start: 0,
                frozen: flags == vm_flags::FROZEN,
                unborn: flags == vm_flags::FROZEN,
                pages: BTreeMap::new(),
                state: FrozenState::default(),
            },
        );
        Ok(VmId(id))
    }

    fn vm_stop(&mut self, vm: VmId) -> Result<(), Errno> {
        let record = self.vms.get(&vm.0).ok_or(Errno::NotFound)?;
        if record.status.state != VmState::Ended.code() {
            self.end(vm, EndReason::Stopped, 0);
        }
        Ok(())
    }

    fn vm_ask_to_stop(&mut self, vm: VmId, deadline_ns: u64) -> Result<(), Errno> {
        assert!(deadline_ns > self.now_ns, "a deadline lies ahead");
        let record = self.vms.get(&vm.0).ok_or(Errno::NotFound)?;
        if self.obedient && record.status.state != VmState::Ended.code() {
            self.end(vm, EndReason::Terminated, 0);
        }
        Ok(())
    }

    fn vm_destroy(&mut self, vm: VmId) -> Result<(), Errno> {
        self.fail(Call::VmDestroy)?;
        let record = self.vms.get(&vm.0).ok_or(Errno::NotFound)?;
        if record.status.state != VmState::Ended.code() {
            return Err(Errno::Busy);
        }
        self.vms.remove(&vm.0);
        Ok(())
    }

    fn vm_status(&mut self, vm: VmId) -> Result<VmStatus, Errno> {
        self.vms
            .get(&vm.0)
            .map(|vm| vm.status)
            .ok_or(Errno::NotFound)
    }

    fn vm_limits(&mut self, vm: VmId, limits: &Limits) -> Result<(), Errno> {
        self.fail(Call::VmLimits)?;
        let record = self.vms.get_mut(&vm.0).ok_or(Errno::NotFound)?;
        record.status.limits = *limits;
        Ok(())
    }

    fn vm_next(&mut self, after: Option<VmId>) -> Option<VmId> {
        let first = after.map_or(0, |vm| vm.0 + 1);
        self.vms.range(first..).next().map(|(id, _)| VmId(*id))
    }

    fn console_read(
        &mut self,
        vm: VmId,
        position: u64,
        buffer: &mut [u8],
    ) -> Result<ConsolePiece, Errno> {
        if vm == VmId::KERNEL {
            let start = usize::try_from(position).map_err(|_| Errno::Invalid)?;
            let report = BOOT_REPORT.as_bytes().get(start..).unwrap_or_default();
            let len = report.len().min(buffer.len());
            buffer[..len].copy_from_slice(&report[..len]);
            return Ok(ConsolePiece { position, len });
        }
        if let Some(left) = self.calls_to_wake.checked_sub(1) {
            self.calls_to_wake = left;
            return Err(Errno::Busy);
        }
        let vm = self.vms.get(&vm.0).ok_or(Errno::NotFound)?;
        let position = position.clamp(vm.console_start, vm.status.console_written);
        let skip = usize::try_from(position - vm.console_start).map_err(|_| Errno::Invalid)?;
        let kept = &vm.console[skip..];
        let len = kept.len().min(buffer.len());
        buffer[..len].copy_from_slice(&kept[..len]);
        Ok(ConsolePiece { position, len })
    }

    fn host_status(&mut self) -> HostStatus {
        HostStatus {
            abi_version: ABI_VERSION,
            frames_total: self.frames_total,
            frames_free: self.frames_total.saturating_sub(self.committed()),
            frames_committed: self.committed(),
            vms: self.vms.len() as u64,
            vms_max: self.vms_max,
            images: self.images.len() as u64,
            images_max: 16,
            now_ns: self.now_ns,
            nic_mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            paging: PagingStatus {
                swap_blocks: self.swap_blocks,
                swap_free: self.swap_blocks,
                ..PagingStatus::default()
            },
            ..HostStatus::default()
        }
    }
}
