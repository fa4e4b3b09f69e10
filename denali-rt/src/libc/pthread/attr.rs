//! Attributes of threads.

use super::super::errno::EINVAL;
use super::super::memory::{In, Out};
use crate::thread::StackSize;
use core::ffi::{c_int, c_ulong};

/// Attributes of a thread to be started, in the size of Linux.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Attr {
    stack_size: usize,
    guard_size: usize,
    detach_state: c_int,
    _reserved: [u32; 9],
}

const _: () = assert!(size_of::<Attr>() == 56);

const CREATE_DETACHED: c_int = 1;

/// What a thread gets unless told otherwise: pages come on first touch, so it costs no more than the
/// thread uses.
const STACK_SIZE: usize = 1020 * 1024;

/// The smaller of the two stacks there are.
const SMALL_STACK_SIZE: usize = 60 * 1024;

/// The least that may be asked for.
const STACK_SIZE_MIN: usize = 16 * 1024;

const PAGE: usize = 4096;

impl Default for Attr {
    fn default() -> Self {
        Self {
            stack_size: STACK_SIZE,
            guard_size: PAGE,
            detach_state: 0,
            _reserved: [0; 9],
        }
    }
}

impl Attr {
    pub(super) fn is_detached(&self) -> bool {
        self.detach_state == CREATE_DETACHED
    }

    /// Returns the stack that comes nearest to what was asked for.
    pub(super) fn stack(&self) -> StackSize {
        if self.stack_size <= SMALL_STACK_SIZE {
            StackSize::Small
        } else {
            StackSize::Large
        }
    }
}

fn change(attr: Out<Attr>, change: impl FnOnce(&mut Attr)) -> c_int {
    let mut changed = attr.read().unwrap_or_default();
    change(&mut changed);
    attr.write(changed);
    0
}

fn told<T>(attr: In<Attr>, result: Out<T>, tell: impl FnOnce(Attr) -> T) -> c_int {
    result.write(tell(attr.read().unwrap_or_default()));
    0
}

/// Makes attributes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_init(attr: Out<Attr>) -> c_int {
    attr.write(Attr::default());
    0
}

/// Ends the use of attributes.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_destroy(_attr: Out<Attr>) -> c_int {
    0
}

/// Sets the size of the stack: there are stacks of 60 KiB and of 1,020 KiB, and what is larger gets
/// the larger.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_setstacksize(attr: Out<Attr>, size: usize) -> c_int {
    if size < STACK_SIZE_MIN {
        return EINVAL;
    }
    change(attr, |attr| attr.stack_size = size)
}

/// Tells the size of the stack.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_getstacksize(attr: In<Attr>, size: Out<usize>) -> c_int {
    told(attr, size, |attr| attr.stack_size)
}

/// Sets whether the thread is started detached.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_setdetachstate(attr: Out<Attr>, state: c_int) -> c_int {
    if !(0..=CREATE_DETACHED).contains(&state) {
        return EINVAL;
    }
    change(attr, |attr| attr.detach_state = state)
}

/// Tells whether the thread is started detached.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_getdetachstate(attr: In<Attr>, state: Out<c_int>) -> c_int {
    told(attr, state, |attr| attr.detach_state)
}

/// Accepts a size of the guard below the stack, which is a page whatever is asked for.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_setguardsize(attr: Out<Attr>, _size: usize) -> c_int {
    change(attr, |attr| attr.guard_size = PAGE)
}

/// Tells the size of the guard below the stack.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_getguardsize(attr: In<Attr>, size: Out<usize>) -> c_int {
    told(attr, size, |attr| attr.guard_size)
}

/// Tells where the stack is: not known, so an error for everybody who wants to guard it himself.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_getstack(
    _attr: In<Attr>,
    _start: Out<Out<u8>>,
    _size: Out<usize>,
) -> c_int {
    EINVAL
}

/// Tells the attributes of a thread.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_getattr_np(_thread: c_ulong, attr: Out<Attr>) -> c_int {
    pthread_attr_init(attr)
}
