//! `malloc.h`: the service's heap for C, where `free` is not told a size.
//!
//! Sixteen bytes in front of each area say how long it is and how it is aligned. They bear a mark
//! that `free` takes away, so that a pointer freed twice, or never allocated, is noticed.

#![expect(
    unsafe_code,
    reason = "allocates memory that C code frees without its layout"
)]

use super::errno;
use super::memory::Out;
use alloc::alloc::{alloc, alloc_zeroed, dealloc, realloc as resize};
use core::alloc::Layout;
use core::ffi::c_int;

/// What stands in front of an area.
#[derive(Clone, Copy)]
struct Header {
    /// Bytes the caller asked for.
    size: usize,
    /// The alignment of the area, plus [`MARK`].
    marked_align: usize,
}

/// Alignment of every area: enough for any type of C (System V ABI §3.1.2).
const ALIGN: usize = 16;

/// Says that an area is allocated: no alignment is that large.
const MARK: usize = 0xd3a1_0000_0000_0000;

const _: () = assert!(size_of::<Header>() == ALIGN);

/// An allocated area.
struct Area {
    start: *mut u8,
    size: usize,
    align: usize,
}

impl Area {
    /// Allocates an area, or returns `None` without memory for it.
    fn new(size: usize, align: usize, allocate: unsafe fn(Layout) -> *mut u8) -> Option<Self> {
        let layout = layout(size, align)?;
        // SAFETY: the size is not zero, for it includes the header.
        let base = unsafe { allocate(layout) };
        (!base.is_null()).then(|| Self::at(base, size, align))
    }

    /// Writes the header of an area whose memory begins at `base`.
    fn at(base: *mut u8, size: usize, align: usize) -> Self {
        let start = base.wrapping_add(align);
        let area = Self { start, size, align };
        area.mark(MARK);
        area
    }

    /// Returns the area that starts at `start`.
    ///
    /// # Panics
    ///
    /// If there is none: the program frees what it does not own.
    fn of(start: *mut u8) -> Self {
        let Header { size, marked_align } = if start.addr().is_multiple_of(ALIGN) {
            // SAFETY: C code passes what this module gave out, and an area that was freed before
            // has its header in memory of the heap still.
            unsafe { header(start).read() }
        } else {
            Header {
                size: 0,
                marked_align: 0,
            }
        };
        let align = marked_align ^ MARK;
        assert!(
            align.is_power_of_two() && align >= ALIGN,
            "free or realloc of {start:p}, which is not allocated"
        );
        Self { start, size, align }
    }

    /// Writes the header, with or without the mark.
    fn mark(&self, mark: usize) {
        let contents = Header {
            size: self.size,
            marked_align: self.align ^ mark,
        };
        // SAFETY: the bytes in front of the area are part of its memory.
        unsafe { header(self.start).write(contents) };
    }

    fn layout(&self) -> Layout {
        layout(self.size, self.align).expect("it was allocated with this layout")
    }

    fn base(&self) -> *mut u8 {
        self.start.wrapping_sub(self.align)
    }

    fn free(self) {
        self.mark(0);
        // SAFETY: the mark was there, so the area was allocated with this layout and not freed.
        unsafe { dealloc(self.base(), self.layout()) };
    }

    /// Changes the size, moving the area if need be; without memory for it, all stays as it is.
    fn resized(&self, size: usize) -> Option<Self> {
        if self.align == ALIGN {
            let new = layout(size, ALIGN)?;
            // SAFETY: the mark was there, so the area was allocated with this layout; the new size
            // makes a valid layout and is not zero.
            let base = unsafe { resize(self.base(), self.layout(), new.size()) };
            return (!base.is_null()).then(|| Self::at(base, size, ALIGN));
        }
        let moved = Self::new(size, ALIGN, alloc)?;
        let count = size.min(self.size);
        // SAFETY: both areas are that long, and different ones do not overlap.
        unsafe { moved.start.copy_from_nonoverlapping(self.start, count) };
        Self { ..*self }.free();
        Some(moved)
    }
}

fn header(start: *mut u8) -> *mut Header {
    start.wrapping_sub(ALIGN).cast()
}

/// Returns the layout of an area with what stands in front of it.
fn layout(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(align)?, align).ok()
}

/// Returns an area for C, or null after setting `ENOMEM`.
fn given(area: Option<Area>) -> Out<u8> {
    match area {
        Some(area) => Out::from_raw(area.start),
        None => {
            errno::set(errno::ENOMEM);
            Out::NULL
        }
    }
}

/// Allocates `size` bytes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn malloc(size: usize) -> Out<u8> {
    given(Area::new(size, ALIGN, alloc))
}

/// Allocates `count` elements of `size` bytes, all zero.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn calloc(count: usize, size: usize) -> Out<u8> {
    let bytes = count.checked_mul(size);
    given(bytes.and_then(|bytes| Area::new(bytes, ALIGN, alloc_zeroed)))
}

/// Changes the size of an area, keeping what fits; null allocates a new one.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn realloc(area: Out<u8>, size: usize) -> Out<u8> {
    if area.is_null() {
        return malloc(size);
    }
    given(Area::of(area.as_raw()).resized(size))
}

/// Like [`realloc`], to `count` elements of `size` bytes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn reallocarray(area: Out<u8>, count: usize, size: usize) -> Out<u8> {
    match count.checked_mul(size) {
        Some(bytes) => realloc(area, bytes),
        None => given(None),
    }
}

/// Frees an area; null is none.
///
/// # Panics
///
/// If it is not allocated.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn free(area: Out<u8>) {
    if !area.is_null() {
        Area::of(area.as_raw()).free();
    }
}

/// Allocates `size` bytes at a multiple of `align`, a power of two and a multiple of a pointer's
/// size. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn posix_memalign(result: Out<Out<u8>>, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<usize>() {
        return errno::EINVAL;
    }
    match Area::new(size, align.max(ALIGN), alloc) {
        Some(area) => result.write(Out::from_raw(area.start)),
        None => return errno::ENOMEM,
    }
    0
}

/// Allocates `size` bytes at a multiple of `align`, a power of two.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> Out<u8> {
    if !align.is_power_of_two() {
        errno::set(errno::EINVAL);
        return Out::NULL;
    }
    given(Area::new(size, align.max(ALIGN), alloc))
}

/// Like [`aligned_alloc`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn memalign(align: usize, size: usize) -> Out<u8> {
    aligned_alloc(align, size)
}

/// Returns how many bytes of an area may be used; none of null.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn malloc_usable_size(area: Out<u8>) -> usize {
    if area.is_null() {
        return 0;
    }
    Area::of(area.as_raw()).size
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::one;
    use super::*;

    #[test]
    fn areas_keep_their_contents_when_resized() {
        for align in [16, 64, 4096] {
            let mut area = aligned_alloc(align, 100);
            assert!(area.address().is_multiple_of(align));
            area.slice(100).fill(7);
            assert_eq!(malloc_usable_size(area), 100);
            let mut grown = realloc(area, 5000);
            assert_eq!(grown.slice(100), [7; 100]);
            let mut shrunk = realloc(grown, 3);
            assert_eq!(shrunk.slice(3), [7; 3]);
            assert_eq!(malloc_usable_size(shrunk), 3);
            free(shrunk);
        }
        let mut zeros = calloc(10, 10);
        assert_eq!(zeros.slice(100), [0; 100]);
        free(zeros);
        let nothing = malloc(0);
        assert!(!nothing.is_null());
        free(nothing);
        free(Out::NULL);
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        errno::set(0);
        assert!(malloc(usize::MAX).is_null());
        assert_eq!(errno::get(), errno::ENOMEM);
        assert!(malloc(isize::MAX.cast_unsigned() - 64).is_null());
        assert!(calloc(usize::MAX, 2).is_null());
        let mut area = malloc(4);
        assert!(reallocarray(area, usize::MAX, 2).is_null());
        area.slice(4).fill(1);
        free(area);
        let mut result = Out::NULL;
        assert_eq!(posix_memalign(one(&mut result), 3, 8), errno::EINVAL);
        assert_eq!(posix_memalign(one(&mut result), 4, 8), errno::EINVAL);
        assert_eq!(
            posix_memalign(one(&mut result), 32, usize::MAX),
            errno::ENOMEM
        );
        assert_eq!(posix_memalign(one(&mut result), 32, 8), 0);
        free(result);
    }

    #[test]
    #[should_panic(expected = "not allocated")]
    fn a_pointer_that_was_not_allocated_is_noticed() {
        let mut area = [0_u64; 8];
        let start = one(&mut area[4]);
        let aligned = start.address() & !15;
        Area::of(start.as_raw().with_addr(aligned).cast());
    }
}
