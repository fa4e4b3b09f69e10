//! What `std` asks of a dynamic linker and of glibc: there is none, and nothing to find.

#![expect(unsafe_code, reason = "exports functions by C's names")]

use core::ffi::{c_char, c_int, c_void};

/// Finds no symbol: `std` then does without the newer functions it looks for.
#[unsafe(no_mangle)]
extern "C" fn dlsym(_library: *mut c_void, _name: *const c_char) -> *mut c_void {
    core::ptr::null_mut()
}

/// Visits no shared object.
#[unsafe(no_mangle)]
extern "C" fn dl_iterate_phdr(_visit: *const c_void, _data: *mut c_void) -> c_int {
    0
}

/// Returns the version of glibc whose names and layouts are kept.
#[unsafe(no_mangle)]
extern "C" fn gnu_get_libc_version() -> *const c_char {
    c"2.36".as_ptr()
}

/// Forgets about name servers, which nobody caches.
#[unsafe(no_mangle)]
extern "C" fn __res_init() -> c_int {
    0
}

/// Loads no library.
#[unsafe(no_mangle)]
extern "C" fn dlopen(_path: *const c_char, _flags: c_int) -> *mut c_void {
    core::ptr::null_mut()
}

/// Says why.
#[unsafe(no_mangle)]
extern "C" fn dlerror() -> *const c_char {
    c"images are static".as_ptr()
}

/// Has nothing to close.
#[unsafe(no_mangle)]
extern "C" fn dlclose(_library: *mut c_void) -> c_int {
    -1
}
