//! The real kernel: each method is one control hypercall.

use super::{ConsolePiece, ImageId, Kernel, VmId};
use crate::checkpoint::body::Page;
use alloc::vec;
use denali_abi::block::VolumeConfig;
use denali_abi::control::{FrozenVm, HostStatus, Limits, VmConfig, VmStatus};
use denali_abi::errno::Errno;
use denali_abi::image::ImageHeader;
use denali_rt::hypercall::control;

/// The kernel below this VM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hypercalls;

impl Kernel for Hypercalls {
    fn image_create(&mut self, header: &ImageHeader) -> Result<ImageId, Errno> {
        control::image_create(header).map(ImageId)
    }

    fn image_write(&mut self, image: ImageId, offset: u64, contents: &[u8]) -> Result<(), Errno> {
        control::image_write(image.0, offset, contents)
    }

    fn image_header(&mut self, image: ImageId) -> Result<ImageHeader, Errno> {
        control::image_header(image.0)
    }

    fn image_read(&mut self, image: ImageId, index: u64, page: &mut Page) -> Result<(), Errno> {
        control::image_read(image.0, index, page)
    }

    fn image_destroy(&mut self, image: ImageId) -> Result<(), Errno> {
        control::image_destroy(image.0)
    }

    fn vm_create(
        &mut self,
        config: VmConfig,
        arguments: &[u8],
        volumes: &[VolumeConfig],
    ) -> Result<VmId, Errno> {
        control::vm_create(&config, arguments, volumes).map(VmId)
    }

    fn vm_freeze(&mut self, vm: VmId) -> Result<(), Errno> {
        control::vm_freeze(vm.0)
    }

    fn vm_succeed(&mut self, vm: VmId) -> Result<(), Errno> {
        control::vm_succeed(vm.0)
    }

    fn vm_thaw(&mut self, vm: VmId, state: Option<&FrozenVm>) -> Result<(), Errno> {
        control::vm_thaw(vm.0, state)
    }

    fn vm_save(&mut self, vm: VmId, state: &mut FrozenVm) -> Result<(), Errno> {
        control::vm_save(vm.0, state)
    }

    fn page_read(&mut self, vm: VmId, first: u64, page: &mut Page) -> Result<u64, Errno> {
        control::page_read(vm.0, first, page)
    }

    fn page_write(&mut self, vm: VmId, number: u64, page: &Page) -> Result<(), Errno> {
        control::page_write(vm.0, number, page)
    }

    fn vm_stop(&mut self, vm: VmId) -> Result<(), Errno> {
        control::vm_stop(vm.0)
    }

    fn vm_ask_to_stop(&mut self, vm: VmId, deadline_ns: u64) -> Result<(), Errno> {
        control::vm_ask_to_stop(vm.0, deadline_ns)
    }

    fn vm_destroy(&mut self, vm: VmId) -> Result<(), Errno> {
        control::vm_destroy(vm.0)
    }

    fn vm_status(&mut self, vm: VmId) -> Result<VmStatus, Errno> {
        control::vm_status(vm.0)
    }

    fn vm_limits(&mut self, vm: VmId, limits: &Limits) -> Result<(), Errno> {
        control::vm_limits(vm.0, limits)
    }

    fn vm_next(&mut self, after: Option<VmId>) -> Option<VmId> {
        // The one error left is "not the supervisor", which sees no VMs.
        control::vm_next(after.map(|vm| vm.0))
            .ok()
            .flatten()
            .map(VmId)
    }

    fn console_read(
        &mut self,
        vm: VmId,
        position: u64,
        buffer: &mut [u8],
    ) -> Result<ConsolePiece, Errno> {
        let mut scratch = vec![0; control::CONSOLE_POSITION_LEN + buffer.len()];
        let chunk = control::console_read(vm.0, position, &mut scratch)?;
        let len = chunk.bytes.len();
        buffer
            .get_mut(..len)
            .ok_or(Errno::Invalid)?
            .copy_from_slice(chunk.bytes);
        Ok(ConsolePiece {
            position: chunk.position,
            len,
        })
    }

    fn host_status(&mut self) -> HostStatus {
        // The one error is "not the supervisor", which has no host to show.
        control::host_status().unwrap_or_default()
    }
}
