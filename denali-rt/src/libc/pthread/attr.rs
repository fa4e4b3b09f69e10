//! Attributes of threads.

use super::super::errno::{EINVAL, ENOSYS};
use super::super::memory::{In, Out};
use super::pthread_self;
use crate::thread::{StackSize, scheduler};
use core::ffi::{c_int, c_ulong};
use denali_abi::convert::u64_to_usize;

/// Attributes of a thread to be started, in the size of Linux.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Attr {
    stack_size: usize,
    guard_size: usize,
    /// The lowest address of a stack; 0 if it is not known.
    stack_start: usize,
    detach_state: c_int,
    _reserved: [u32; 7],
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
            stack_start: 0,
            detach_state: 0,
            _reserved: [0; 7],
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

/// Tells where the stack is, if [`pthread_getattr_np`] found out.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_attr_getstack(
    attr: In<Attr>,
    start: Out<Out<u8>>,
    size: Out<usize>,
) -> c_int {
    let attr = attr.read().unwrap_or_default();
    if attr.stack_start == 0 {
        return EINVAL;
    }
    start.write(Out::from_raw(core::ptr::without_provenance_mut(
        attr.stack_start,
    )));
    size.write(attr.stack_size);
    0
}

/// Tells the attributes of the running thread; of others they are not known.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_getattr_np(thread: c_ulong, attr: Out<Attr>) -> c_int {
    let slot = scheduler::stack_of(scheduler::current());
    let Some(slot) = slot.filter(|_| thread == pthread_self()) else {
        return ENOSYS;
    };
    // The guard is the lowest page of the slot.
    let start = u64_to_usize(slot.start) + PAGE;
    attr.write(Attr {
        stack_size: u64_to_usize(slot.end) - start,
        stack_start: start,
        ..Attr::default()
    });
    0
}
