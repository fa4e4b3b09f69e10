//! `sys/mman.h`: memory that belongs to nobody else. There are no files to map, and no protection to
//! change: pages come on first touch, readable and writable.

use super::errno::{self, EINVAL, ENODEV, ENOMEM, Errno};
use super::malloc;
use super::memory::Out;
use crate::sync::GuestCell;
use alloc::collections::BTreeMap;
use core::ffi::c_int;

const MAP_FIXED: c_int = 0x10;
const MAP_ANONYMOUS: c_int = 0x20;

const PAGE: usize = 4096;

/// The areas mapped, with their lengths.
static MAPPED: GuestCell<BTreeMap<usize, usize>> = GuestCell::new(BTreeMap::new());

/// Returns an area of zeros, of whole pages; `MAP_FAILED` without memory for it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mmap(
    _address: Out<u8>,
    len: usize,
    _protection: c_int,
    flags: c_int,
    _descriptor: c_int,
    _offset: i64,
) -> Out<u8> {
    match map(len, flags) {
        Ok(area) => area,
        Err(Errno(number)) => {
            errno::set(number);
            Out::from_raw(core::ptr::without_provenance_mut(usize::MAX))
        }
    }
}

/// Like [`mmap`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mmap64(
    address: Out<u8>,
    len: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> Out<u8> {
    mmap(address, len, protection, flags, descriptor, offset)
}

fn map(len: usize, flags: c_int) -> Result<Out<u8>, Errno> {
    if flags & MAP_ANONYMOUS == 0 {
        return Err(Errno(ENODEV));
    }
    if len == 0 || flags & MAP_FIXED != 0 {
        return Err(Errno(EINVAL));
    }
    let bytes = len.checked_next_multiple_of(PAGE).ok_or(Errno(ENOMEM))?;
    let mut area = malloc::aligned_alloc(PAGE, bytes);
    if area.is_null() {
        return Err(Errno(ENOMEM));
    }
    area.slice(bytes).fill(0);
    MAPPED.with(|mapped| mapped.insert(area.address(), bytes));
    Ok(area)
}

/// Gives a whole area back; a part of one stays.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn munmap(area: Out<u8>, len: usize) -> c_int {
    let whole = MAPPED.with(|mapped| match mapped.get(&area.address()) {
        Some(bytes) if *bytes <= len.next_multiple_of(PAGE) => mapped.remove(&area.address()),
        _ => None,
    });
    if whole.is_some() {
        malloc::free(area);
    }
    0
}

/// Fails, so that callers take another area and copy.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mremap(_area: Out<u8>, _len: usize, _wanted: usize, _flags: c_int) -> Out<u8> {
    errno::set(ENOMEM);
    Out::from_raw(core::ptr::without_provenance_mut(usize::MAX))
}

/// Accepts another protection, which changes nothing.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn mprotect(_area: Out<u8>, _len: usize, _protection: c_int) -> c_int {
    0
}

/// Accepts advice, and does not need it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn madvise(_area: Out<u8>, _len: usize, _advice: c_int) -> c_int {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_zero_and_go_back() {
        let mut area = mmap(Out::NULL, 5000, 3, MAP_ANONYMOUS | 2, -1, 0);
        assert!(area.address().is_multiple_of(PAGE));
        assert!(area.slice(8192).iter().all(|byte| *byte == 0));
        assert_eq!((munmap(area, 4096), munmap(area, 5000)), (0, 0));
        assert!(!MAPPED.with(|mapped| mapped.contains_key(&area.address())));
        let failed = mmap(Out::NULL, 4096, 1, 2, 3, 0);
        assert_eq!((failed.address(), errno::get()), (usize::MAX, ENODEV));
    }
}
