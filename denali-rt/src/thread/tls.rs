//! Thread-local storage of programs that have it: C's `_Thread_local`, and `std`'s ("ELF Handling for
//! Thread-Local Storage" §3.4.6, variant II).
//!
//! Each thread has a copy of the image's initial values right below the address in its FS base, and
//! that address there. In a program without such values a thread has none, and its FS base is
//! nobody's.

#[cfg(denali)]
pub(crate) use image::establish;

/// Does nothing: elsewhere the system sees to it.
#[cfg(not(denali))]
pub(crate) fn establish() -> Option<core::convert::Infallible> {
    None
}

/// The values of this image.
#[cfg(denali)]
mod image {
    #![expect(unsafe_code, reason = "copies initial values and sets the FS base")]

    use crate::thread::context;
    use alloc::alloc::{alloc_zeroed, dealloc};
    use core::alloc::Layout;
    use denali_abi::convert::usize_to_u64;

    unsafe extern "C" {
        /// The initial values; the linker script defines this and the next three.
        static denali_tls_start: u8;
        /// The end of those that are not zero.
        static denali_tls_data_end: u8;
        /// The end of them all.
        static denali_tls_end: u8;
        /// Their alignment, as an address.
        static denali_tls_align: u8;
    }

    /// Bytes from the FS base on: its own address, and what compilers expect in a thread's control block
    /// besides (a stack canary at 40).
    const BLOCK_LEN: usize = 64;

    /// The values of one thread; freed when dropped.
    #[derive(Debug)]
    pub(crate) struct ThreadLocals {
        base: *mut u8,
        layout: Layout,
    }

    /// Makes the running thread's values; nothing in a program without any.
    ///
    /// # Panics
    ///
    /// Without memory for them: the thread could not run.
    pub(crate) fn establish() -> Option<ThreadLocals> {
        let start = &raw const denali_tls_start;
        let whole = (&raw const denali_tls_end).addr() - start.addr();
        if whole == 0 {
            return None;
        }
        let data = (&raw const denali_tls_data_end).addr() - start.addr();
        let align = (&raw const denali_tls_align).addr().max(1);
        // The block lies at a multiple of the alignment, as the end of the values in the image does
        // once it is rounded up: that is what the linker's offsets are from.
        let values = (start.addr() + whole).next_multiple_of(align) - start.addr();
        let in_front = values.next_multiple_of(align.max(BLOCK_LEN));
        let layout = Layout::from_size_align(in_front + BLOCK_LEN, align.max(BLOCK_LEN));
        let layout = layout.expect("the values fit the image");
        // SAFETY: the size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        assert!(!base.is_null(), "no memory for a thread's values");
        let block = base.wrapping_add(in_front);
        let first = block.wrapping_sub(values);
        // SAFETY: the linker placed that many bytes at `start`, and the area has room for them.
        unsafe { first.copy_from_nonoverlapping(start, data) };
        let own_address = block.expose_provenance().to_ne_bytes();
        // SAFETY: the block lies in the area.
        unsafe { block.cast::<[u8; size_of::<usize>()]>().write(own_address) };
        context::set_fs_base(usize_to_u64(block.addr()));
        Some(ThreadLocals { base, layout })
    }

    impl Drop for ThreadLocals {
        fn drop(&mut self) {
            // SAFETY: allocated with this layout; the thread ends and looks at its values no more.
            unsafe { dealloc(self.base, self.layout) };
        }
    }
}
