//! Control calls: what the supervisor asks of the kernel. Anyone else gets `NotPermitted`.

use super::{address, call};
use crate::sync::WaitQueue;
use denali_abi::block::{VOLUME_KEY_LEN, VolumeConfig};
use denali_abi::control::{FrozenVm, HostStatus, Limits, VmConfig, VmStatus};
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::errno::Errno;
use denali_abi::hypercall::{Hypercall, IMAGE_WRITE_MAX};
use denali_abi::image::ImageHeader;

/// Bytes in front of what [`console_read`] delivers: their position.
pub const CONSOLE_POSITION_LEN: usize = size_of::<u64>();

/// Bytes of a page.
const PAGE_LEN: usize = 4096;

/// Threads that wait for any VM to change its state.
static VM_CHANGES: WaitQueue = WaitQueue::new();

/// Returns the queue that is woken when any VM has changed its state.
///
/// Changes are noticed when no thread of the supervisor is runnable; look at the states first and
/// wait then, with a deadline.
pub fn vm_changes() -> &'static WaitQueue {
    &VM_CHANGES
}

/// Makes an empty image and returns its id.
///
/// # Errors
///
/// The kernel's answer.
pub fn image_create(header: &ImageHeader) -> Result<u64, Errno> {
    call(Hypercall::ImageCreate, [address(header), 0, 0, 0])
}

/// Writes contents at a byte offset behind the header page, in as many calls as it takes.
///
/// # Errors
///
/// The kernel's answer; part of the bytes may have been written.
pub fn image_write(image: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    let mut position = offset;
    for chunk in bytes.chunks(u64_to_usize(IMAGE_WRITE_MAX)) {
        let len = usize_to_u64(chunk.len());
        call(
            Hypercall::ImageWrite,
            [image, position, address(chunk.as_ptr()), len],
        )?;
        position += len;
    }
    Ok(())
}

/// Frees an image that no VM uses.
///
/// # Errors
///
/// The kernel's answer.
pub fn image_destroy(image: u64) -> Result<(), Errno> {
    call(Hypercall::ImageDestroy, [image, 0, 0, 0]).map(drop)
}

/// Creates and starts a VM and returns its id. Addresses and lengths of the arguments and volumes in
/// `config` are filled in here.
///
/// # Errors
///
/// The kernel's answer; [`Errno::Invalid`] if the arguments are too long.
pub fn vm_create(
    config: &VmConfig,
    arguments: &[u8],
    volumes: &[VolumeConfig],
) -> Result<u64, Errno> {
    let config = VmConfig {
        arguments_len: u32::try_from(arguments.len()).map_err(|_| Errno::Invalid)?,
        arguments: address(arguments.as_ptr()),
        volumes_len: u32::try_from(volumes.len()).map_err(|_| Errno::Invalid)?,
        volumes: address(volumes.as_ptr()),
        ..*config
    };
    call(Hypercall::VmCreate, [address(&raw const config), 0, 0, 0])
}

/// Ends a VM; its descriptor and console stay until it is destroyed.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_stop(vm: u64) -> Result<(), Errno> {
    call(Hypercall::VmStop, [vm, 0, 0, 0]).map(drop)
}

/// Asks a VM to end by itself until a point in time, in nanoseconds since boot; one that waits to be
/// admitted ends at once.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_ask_to_stop(vm: u64, deadline_ns: u64) -> Result<(), Errno> {
    call(Hypercall::VmStop, [vm, deadline_ns.max(1), 0, 0]).map(drop)
}

/// Frees an ended VM.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_destroy(vm: u64) -> Result<(), Errno> {
    call(Hypercall::VmDestroy, [vm, 0, 0, 0]).map(drop)
}

/// Returns state and counters of a VM.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_status(vm: u64) -> Result<VmStatus, Errno> {
    let mut status = VmStatus::default();
    call(Hypercall::VmStatus, [vm, address(&raw mut status), 0, 0])?;
    Ok(status)
}

/// Gives a VM new limits, from now on.
///
/// # Errors
///
/// The kernel's answer; [`Errno::Invalid`] if a value is out of range.
pub fn vm_limits(vm: u64, limits: &Limits) -> Result<(), Errno> {
    call(
        Hypercall::VmLimits,
        [vm, address(core::ptr::from_ref(limits)), 0, 0],
    )
    .map(drop)
}

/// Returns the id of the first VM, or of the next one behind `after`, or `None` behind the last.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_next(after: Option<u64>) -> Result<Option<u64>, Errno> {
    match call(Hypercall::VmNext, [after.unwrap_or(0), 0, 0, 0]) {
        Ok(vm) => Ok(Some(vm)),
        Err(Errno::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns all VMs in the order of the table.
pub fn vms() -> impl Iterator<Item = u64> {
    core::iter::successors(vm_next(None).ok().flatten(), |vm| {
        vm_next(Some(*vm)).ok().flatten()
    })
}

/// What [`console_read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleChunk<'a> {
    /// Absolute position of the first byte: the one asked for, or the oldest kept if that is later.
    pub position: u64,
    /// The bytes; none if nothing has been written behind the position.
    pub bytes: &'a [u8],
}

/// Reads a VM's console from an absolute position on. `buffer` is scratch space and must be longer
/// than [`CONSOLE_POSITION_LEN`].
///
/// # Errors
///
/// The kernel's answer; [`Errno::Invalid`] if the buffer is too short.
pub fn console_read(vm: u64, position: u64, buffer: &mut [u8]) -> Result<ConsoleChunk<'_>, Errno> {
    let len = usize_to_u64(buffer.len());
    let read = call(
        Hypercall::ConsoleRead,
        [vm, position, address(buffer.as_mut_ptr()), len],
    )?;
    let (start, bytes) = buffer.split_first_chunk().ok_or(Errno::Invalid)?;
    let bytes = bytes.get(..u64_to_usize(read)).ok_or(Errno::Invalid)?;
    Ok(ConsoleChunk {
        position: u64::from_le_bytes(*start),
        bytes,
    })
}

/// Makes the partition for the store volume 0 of the supervisor and returns its blocks.
pub(crate) fn store_open(key: &[u8; VOLUME_KEY_LEN]) -> Result<u64, Errno> {
    call(Hypercall::StoreOpen, [address(key.as_ptr()), 0, 0, 0])
}

/// Returns the header of an image.
///
/// # Errors
///
/// The kernel's answer.
pub fn image_header(image: u64) -> Result<ImageHeader, Errno> {
    let mut header = ImageHeader::default();
    let to = address(&raw mut header);
    call(Hypercall::ImageRead, [image, 0, to, 0]).map(|_| header)
}

/// Copies page `index` of an image's contents.
///
/// # Errors
///
/// The kernel's answer.
pub fn image_read(image: u64, index: u64, page: &mut [u8; PAGE_LEN]) -> Result<(), Errno> {
    let to = address(page.as_mut_ptr());
    let number = index.checked_add(1).ok_or(Errno::Invalid)?;
    call(Hypercall::ImageRead, [image, number, to, 0]).map(drop)
}

/// Keeps a VM from running.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_freeze(vm: u64) -> Result<(), Errno> {
    call(Hypercall::VmFreeze, [vm, 0, 0, 0]).map(drop)
}

/// Lets a frozen VM go on: as it was, or if it was created frozen with the state of another.
///
/// # Errors
///
/// The kernel's answer; with a state the VM may have ended.
pub fn vm_thaw(vm: u64, state: Option<&FrozenVm>) -> Result<(), Errno> {
    let state = state.map_or(0, |state| address(core::ptr::from_ref(state)));
    call(Hypercall::VmThaw, [vm, state, 0, 0]).map(drop)
}

/// Has a VM that was created as a successor take the place of the one whose addresses it has.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_succeed(vm: u64) -> Result<(), Errno> {
    call(Hypercall::VmSucceed, [vm, 0, 0, 0]).map(drop)
}

/// Writes what is not in the pages of a frozen VM to `state`.
///
/// # Errors
///
/// The kernel's answer.
pub fn vm_save(vm: u64, state: &mut FrozenVm) -> Result<(), Errno> {
    call(Hypercall::VmSave, [vm, address(state), 0, 0]).map(drop)
}

/// Copies the first page from number `first` on that a frozen VM has written. Returns its number, or
/// one that is at least [`PAGES_LOOKED`](denali_abi::hypercall::PAGES_LOOKED) behind or the end of
/// the address space if there is none up to there.
///
/// # Errors
///
/// The kernel's answer.
pub fn page_read(vm: u64, first: u64, page: &mut [u8; PAGE_LEN]) -> Result<u64, Errno> {
    let to = address(page.as_mut_ptr());
    call(Hypercall::PageRead, [vm, first, to, 0])
}

/// Writes a page of a VM that was created frozen.
///
/// # Errors
///
/// The kernel's answer.
pub fn page_write(vm: u64, number: u64, page: &[u8; PAGE_LEN]) -> Result<(), Errno> {
    let from = address(page.as_ptr());
    call(Hypercall::PageWrite, [vm, number, from, 0]).map(drop)
}

/// Returns state and counters of the host.
///
/// # Errors
///
/// The kernel's answer.
pub fn host_status() -> Result<HostStatus, Errno> {
    let mut status = HostStatus::default();
    call(Hypercall::HostStatus, [address(&raw mut status), 0, 0, 0])?;
    Ok(status)
}
