//! `assert.h`.

use super::memory::Text;
use core::ffi::c_uint;

/// Says which assertion failed, and ends the VM.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn __assert_fail(what: Text, file: Text, line: c_uint, function: Text) -> ! {
    let shown = |text: &Text| alloc::string::String::from_utf8_lossy(text.bytes()).into_owned();
    let (what, file, function) = (shown(&what), shown(&file), shown(&function));
    crate::eprintln!("{file}:{line}: {function}: assertion `{what}` failed");
    crate::process::abort()
}
