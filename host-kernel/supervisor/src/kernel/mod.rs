//! What the supervisor needs of the kernel: the control hypercalls, typed.
//!
//! Everything above this trait is free of hypercalls and runs under test against
//! `FakeKernel`.

#[cfg(test)]
pub mod fake;
pub mod hypercalls;

use crate::checkpoint::body::Page;
use denali_abi::block::VolumeConfig;
use denali_abi::control::{FrozenVm, HostStatus, KERNEL_VM, Limits, VmConfig, VmStatus};
use denali_abi::errno::Errno;
use denali_abi::image::ImageHeader;

/// A VM of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmId(pub u64);

impl VmId {
    /// The kernel, where a console is read: what it said while booting.
    pub const KERNEL: Self = Self(KERNEL_VM);
}

/// An image of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageId(pub u64);

/// A piece of a VM's console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsolePiece {
    /// Absolute position of the first byte: bytes written before it.
    pub position: u64,
    /// Bytes copied; 0 at the end of what was written so far.
    pub len: usize,
}

/// The control hypercalls. Every error is an answer of the kernel, nothing here panics.
#[expect(
    clippy::missing_errors_doc,
    reason = "each forwards the kernel's errno"
)]
pub trait Kernel {
    /// Makes an empty image.
    fn image_create(&mut self, header: &ImageHeader) -> Result<ImageId, Errno>;

    /// Writes `contents` (of text, rodata, data) from a byte on into an image no VM runs yet.
    fn image_write(&mut self, image: ImageId, offset: u64, contents: &[u8]) -> Result<(), Errno>;

    /// Returns the header of an image.
    fn image_header(&mut self, image: ImageId) -> Result<ImageHeader, Errno>;

    /// Copies page `index` of an image's contents.
    fn image_read(&mut self, image: ImageId, index: u64, page: &mut Page) -> Result<(), Errno>;

    /// Frees an image that no VM uses.
    fn image_destroy(&mut self, image: ImageId) -> Result<(), Errno>;

    /// Creates and starts a VM; the fields of `config` for arguments and volumes are filled in.
    fn vm_create(
        &mut self,
        config: VmConfig,
        arguments: &[u8],
        volumes: &[VolumeConfig],
    ) -> Result<VmId, Errno>;

    /// Has a VM take the place of the one whose addresses it has, if there is one.
    fn vm_succeed(&mut self, vm: VmId) -> Result<(), Errno>;

    /// Keeps a VM from running.
    fn vm_freeze(&mut self, vm: VmId) -> Result<(), Errno>;

    /// Lets a frozen VM go on: as it was, or if it was created frozen with the state of another.
    fn vm_thaw(&mut self, vm: VmId, state: Option<&FrozenVm>) -> Result<(), Errno>;

    /// Reads what is not in the pages of a frozen VM.
    fn vm_save(&mut self, vm: VmId, state: &mut FrozenVm) -> Result<(), Errno>;

    /// Copies the first page from number `first` on that a frozen VM has written, and returns its
    /// number; or that of the page behind those looked at, if there is none among them.
    fn page_read(&mut self, vm: VmId, first: u64, page: &mut Page) -> Result<u64, Errno>;

    /// Writes a page of a VM that was created frozen.
    fn page_write(&mut self, vm: VmId, number: u64, page: &Page) -> Result<(), Errno>;

    /// Ends a VM; its descriptor and console stay.
    fn vm_stop(&mut self, vm: VmId) -> Result<(), Errno>;

    /// Asks a VM to end by itself until a point in time, in nanoseconds since boot.
    fn vm_ask_to_stop(&mut self, vm: VmId, deadline_ns: u64) -> Result<(), Errno>;

    /// Frees an ended VM.
    fn vm_destroy(&mut self, vm: VmId) -> Result<(), Errno>;

    /// Returns the state and counters of a VM.
    fn vm_status(&mut self, vm: VmId) -> Result<VmStatus, Errno>;

    /// Gives a VM new limits.
    fn vm_limits(&mut self, vm: VmId, limits: &Limits) -> Result<(), Errno>;

    /// Returns the VM behind `after` in the table, or the first.
    fn vm_next(&mut self, after: Option<VmId>) -> Option<VmId>;

    /// Copies console bytes from `position` on, or from the oldest kept if that is later.
    fn console_read(
        &mut self,
        vm: VmId,
        position: u64,
        buffer: &mut [u8],
    ) -> Result<ConsolePiece, Errno>;

    /// Returns the state and counters of the host.
    fn host_status(&mut self) -> HostStatus;
}
