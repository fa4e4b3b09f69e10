//! The unwinder's symbols. A panic aborts, so nothing unwinds; a backtrace has no frames.

#![expect(unsafe_code, reason = "exports the unwinder's symbols")]

use core::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK`.
const END_OF_STACK: c_int = 5;

/// Visits no frame.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_visit: *const c_void, _data: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Defines functions that are asked about frames, of which there are none.
macro_rules! of_a_frame {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name() -> usize {
            0
        })*
    };
}

of_a_frame! {
    _Unwind_DeleteException
    _Unwind_FindEnclosingFunction
    _Unwind_GetCFA
    _Unwind_GetDataRelBase
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_RaiseException
    _Unwind_SetGR
    _Unwind_SetIP
}

/// Called by landing pads, which are never reached.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    unreachable!("a panic aborts, so nothing unwinds")
}
