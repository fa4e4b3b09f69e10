//! Pointers that C code passes, as types: the one place that turns them into Rust.
//!
//! A value of these types comes from C code, under the contract of the function that takes it
//! (C17 §7.1.4: unless stated otherwise, a pointer argument points to valid memory of its kind), or
//! from [`Out::to_static`] and its kin, which take memory that stays. So a function whose pointers have
//! these types is a safe function, and the modules around need no unsafe code. What the types cannot
//! say, the bodies owe: a length given to `slice` is the one that came with the pointer.
//!
//! Null is allowed wherever a method returns an [`Option`] or says so.

use core::ffi::CStr;
use core::fmt;

/// A pointer to something that may be read: C's `const T *`.
#[repr(transparent)]
pub struct In<T>(*const T);

/// A pointer to something that may be written: C's `T *`.
#[repr(transparent)]
pub struct Out<T>(*mut T);

/// A pointer to bytes up to and with a NUL: C's `const char *`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Text(*const u8);

impl<T> In<T> {
    /// The pointer to nothing.
    pub const NULL: Self = Self(core::ptr::null());

    /// Returns the raw pointer as a pointer of C's.
    #[cfg(denali)]
    pub(super) const fn from_raw(pointer: *const T) -> Self {
        Self(pointer)
    }

    /// Returns a pointer to what stays for the call it is passed to.
    pub(super) const fn from_ref(target: &T) -> Self {
        Self(core::ptr::from_ref(target))
    }

    /// Returns whether it points to nothing.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Returns the pointer to the same place as another type.
    pub(super) fn cast<U>(self) -> In<U> {
        In(self.0.cast())
    }

    /// Returns the address.
    pub(super) fn address(self) -> usize {
        self.0.addr()
    }

    /// Returns the pointer `count` elements further on, as far as the array goes.
    pub(super) fn add(self, count: usize) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Returns the pointer for writing: C takes and gives constness as it likes (`strchr`).
    pub(super) fn writable(self) -> Out<T> {
        Out(self.0.cast_mut())
    }

    /// Returns a copy of what it points to; nothing if it is null.
    pub(super) fn read(self) -> Option<T>
    where
        T: Copy,
    {
        // SAFETY: not null, so it is valid for reads by the contract above; C's structures may lie
        // anywhere, hence unaligned.
        (!self.is_null()).then(|| unsafe { self.0.read_unaligned() })
    }

    /// Returns the `len` elements it points to; none if it is null.
    pub(super) fn slice(&self, len: usize) -> &[T] {
        if self.is_null() || len == 0 {
            return &[];
        }
        // SAFETY: the caller gives the length that came with the pointer, so the elements are valid
        // for reads, and they stay as long as the call that passed them.
        unsafe { core::slice::from_raw_parts(self.0, len) }
    }
}

impl<T> Out<T> {
    /// The pointer to nothing.
    pub const NULL: Self = Self(core::ptr::null_mut());

    /// Returns a pointer to something that C code only hands back.
    pub(super) const fn to_static(target: &'static T) -> Self {
        Self(core::ptr::from_ref(target).cast_mut())
    }

    /// Returns the raw pointer as a pointer for C.
    pub(super) const fn from_raw(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// Returns the raw pointer.
    pub(super) const fn as_raw(self) -> *mut T {
        self.0
    }

    /// Returns whether it points to nothing.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Returns the address.
    pub(super) fn address(self) -> usize {
        self.0.addr()
    }

    /// Returns the pointer to the same place as another type.
    pub(super) fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// Returns the pointer for reading.
    pub(super) fn readable(self) -> In<T> {
        In(self.0.cast_const())
    }

    /// Returns the pointer `count` elements further on, as far as the array goes.
    pub(super) fn add(self, count: usize) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Returns a copy of what it points to; nothing if it is null.
    pub(super) fn read(self) -> Option<T>
    where
        T: Copy,
    {
        self.readable().read()
    }

    /// Writes a value there; does nothing if it is null.
    pub(super) fn write(self, value: T) {
        if !self.is_null() {
            // SAFETY: not null, so it is valid for writes by the contract above; unaligned as in
            // `In::read`.
            unsafe { self.0.write_unaligned(value) };
        }
    }

    /// Returns the `len` elements it points to; none if it is null.
    pub(super) fn slice(&mut self, len: usize) -> &mut [T] {
        if self.is_null() || len == 0 {
            return &mut [];
        }
        // SAFETY: the caller gives the length that came with the pointer, so the elements are valid
        // for reads and writes, and nobody else uses them during the call that passed them.
        unsafe { core::slice::from_raw_parts_mut(self.0, len) }
    }

    /// Returns an object of ours that C code holds by its address; nothing if it is null.
    pub(super) fn object(&self) -> Option<&T> {
        // SAFETY: not null, so by the contract above it points to a living object; what C code
        // shares among threads has interior mutability.
        unsafe { self.0.as_ref() }
    }

    /// Copies `len` elements from `from`, which may overlap.
    pub(super) fn copy(self, from: In<T>, len: usize) {
        if len > 0 {
            // SAFETY: the caller gives a length that both places have.
            unsafe { core::ptr::copy(from.0, self.0, len) };
        }
    }
}

impl Text {
    /// The pointer to nothing.
    pub const NULL: Self = Self(core::ptr::null());

    /// Returns a pointer to a text that stays for ever.
    pub(super) const fn of(text: &'static CStr) -> Self {
        Self(text.as_ptr().cast())
    }

    /// Returns whether it points to nothing.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Returns its bytes without the NUL; none if it is null.
    pub(super) fn bytes(&self) -> &[u8] {
        let with_nul = self.bytes_with_nul();
        &with_nul[..with_nul.len().saturating_sub(1)]
    }

    /// Returns its bytes and the NUL; none if it is null.
    pub(super) fn bytes_with_nul(&self) -> &[u8] {
        if self.is_null() {
            return &[];
        }
        // SAFETY: not null, so bytes up to and with a NUL are valid for reads by the contract above.
        unsafe { CStr::from_ptr(self.0.cast()) }.to_bytes_with_nul()
    }

    /// Returns its bytes without the NUL, `max` at most: the text need not end within those.
    pub(super) fn bytes_within(&self, max: usize) -> &[u8] {
        if self.is_null() {
            return &[];
        }
        // SAFETY: each byte is read only if those before it were not NUL and fewer than `max`: then
        // it is part of the text.
        let is_text = |at: &usize| unsafe { self.0.wrapping_add(*at).read() } != 0;
        let len = (0..max).take_while(is_text).count();
        In(self.0).slice_for(len)
    }

    /// Returns its bytes as text, if they are UTF-8.
    pub(super) fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.bytes()).ok()
    }

    /// Returns the pointer to the byte at `place`, or null without one.
    pub(super) fn at(self, place: Option<usize>) -> Out<u8> {
        place.map_or(Out::NULL, |place| {
            Out(self.0.wrapping_add(place).cast_mut())
        })
    }

    /// Returns it as a pointer to bytes.
    pub(super) fn start(self) -> In<u8> {
        In(self.0)
    }
}

impl<T> In<T> {
    /// Like [`slice`](Self::slice), for a pointer whose target the caller borrows already.
    fn slice_for<'a>(self, len: usize) -> &'a [T] {
        // SAFETY: the caller has seen that the elements are there, and bounds the borrow.
        unsafe { core::slice::from_raw_parts(self.0, len) }
    }
}

impl Out<u8> {
    /// Returns what it points to as a text.
    pub(super) fn text(self) -> Text {
        Text(self.0.cast_const())
    }
}

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<T> {}

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

// SAFETY: a pointer by itself does nothing; what may be done with its target is for the functions
// that are given it.
unsafe impl<T> Send for Out<T> {}

// SAFETY: as above.
unsafe impl<T> Sync for Out<T> {}

// SAFETY: as above.
unsafe impl<T> Send for In<T> {}

// SAFETY: as above.
unsafe impl<T> Sync for In<T> {}

// SAFETY: as above.
unsafe impl Send for Text {}

// SAFETY: as above.
unsafe impl Sync for Text {}

impl<T> fmt::Debug for In<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Out<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Pointers to what a test owns, for the length of a call.
#[cfg(test)]
pub(super) mod test {
    use super::{In, Out, Text};
    use core::ffi::CStr;

    pub(in crate::libc) fn text(text: &CStr) -> Text {
        Text(text.as_ptr().cast())
    }

    pub(in crate::libc) fn input<T>(of: &[T]) -> In<T> {
        In(of.as_ptr())
    }

    pub(in crate::libc) fn output<T>(of: &mut [T]) -> Out<T> {
        Out(of.as_mut_ptr())
    }

    pub(in crate::libc) fn one<T>(of: &mut T) -> Out<T> {
        Out(core::ptr::from_mut(of))
    }
}
