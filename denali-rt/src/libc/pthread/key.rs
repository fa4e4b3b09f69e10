//! Values of which each thread has its own.

use super::super::errno::{EAGAIN, EINVAL, ENOMEM};
use super::super::memory::Out;
use crate::sync::GuestCell;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ffi::{c_int, c_uint};

/// What is called with a value at the end of its thread.
pub type Destructor = Option<extern "C" fn(Out<u8>)>;

/// Most keys of a VM.
pub(in crate::libc) const KEYS_MAX: usize = 1024;

/// Rounds of destructors at a thread's end: they may set values again.
const ROUNDS_MAX: usize = 4;

/// The keys that exist, each with its destructor.
static KEYS: GuestCell<Vec<Option<Destructor>>> = GuestCell::new(Vec::new());

crate::thread_local! {
    static VALUES: RefCell<Vec<Out<u8>>> = RefCell::new(Vec::new());
}

fn place(key: c_uint) -> usize {
    denali_abi::convert::u32_to_usize(key)
}

/// Makes a key; all threads have null under it. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_key_create(key: Out<c_uint>, destructor: Destructor) -> c_int {
    let made = KEYS.with(|keys| {
        let free = keys.iter().position(Option::is_none).unwrap_or(keys.len());
        if free >= KEYS_MAX {
            return Err(EAGAIN);
        }
        if free == keys.len() {
            keys.try_reserve(1).map_err(|_| ENOMEM)?;
            keys.push(None);
        }
        keys[free] = Some(destructor);
        Ok(c_uint::try_from(free).unwrap_or(c_uint::MAX))
    });
    match made {
        Ok(number) => key.write(number),
        Err(number) => return number,
    }
    0
}

/// Removes a key; destructors are not called. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_key_delete(key: c_uint) -> c_int {
    let removed = KEYS.with(|keys| keys.get_mut(place(key)).and_then(Option::take));
    if removed.is_none() {
        return EINVAL;
    }
    // A new key of this number begins with null here; other threads have not used it since.
    set_value(key, Out::NULL);
    0
}

/// Sets the running thread's value. Returns 0 or an error number.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_setspecific(key: c_uint, value: Out<u8>) -> c_int {
    if !KEYS.with(|keys| keys.get(place(key)).is_some_and(Option::is_some)) {
        return EINVAL;
    }
    set_value(key, value)
}

fn set_value(key: c_uint, value: Out<u8>) -> c_int {
    let set = VALUES.try_with(|values| {
        let mut values = values.borrow_mut();
        let missing = (place(key) + 1).saturating_sub(values.len());
        if values.try_reserve(missing).is_err() {
            return ENOMEM;
        }
        let len = values.len() + missing;
        values.resize(len, Out::NULL);
        values[place(key)] = value;
        0
    });
    set.unwrap_or(EINVAL)
}

/// Returns the running thread's value, null if it has set none.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pthread_getspecific(key: c_uint) -> Out<u8> {
    let value = VALUES.try_with(|values| values.borrow().get(place(key)).copied());
    value.ok().flatten().unwrap_or(Out::NULL)
}

/// Calls the destructors for the values of the running thread.
pub(super) fn destroy_values() {
    for _ in 0..ROUNDS_MAX {
        let values = VALUES.with(|values| core::mem::take(&mut *values.borrow_mut()));
        if values.iter().all(|value| value.is_null()) {
            return;
        }
        for (place, value) in values.into_iter().enumerate() {
            let destructor = KEYS.with(|keys| keys.get(place).copied().flatten().flatten());
            if let Some(destructor) = destructor.filter(|_| !value.is_null()) {
                destructor(value);
            }
        }
    }
}
