//! Environment variables: those of the manifest, and what the program makes of them.
//!
//! A value that was handed out stays where it is, even when another takes its place (POSIX lets a
//! caller keep it until then); so each `setenv` of an existing name costs the memory of the old.

use super::super::errno::{self, EINVAL, ENOMEM, Errno};
use super::super::memory::{Out, Text};
use crate::env;
use crate::sync::GuestCell;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The variables as C sees them: pointers to texts `NAME=VALUE`, the last one null.
#[cfg_attr(denali, unsafe(no_mangle))]
#[cfg_attr(not(denali), expect(non_upper_case_globals, reason = "its name in C"))]
pub static environ: AtomicPtr<Out<u8>> = AtomicPtr::new(core::ptr::null_mut());

static VARIABLES: GuestCell<Variables> = GuestCell::new(Variables {
    entries: Vec::new(),
});

/// What `environ` points to.
struct Variables {
    entries: Vec<Out<u8>>,
}

impl Variables {
    /// Takes the manifest's variables at the first call.
    fn prepared(&mut self) -> &mut Self {
        if self.entries.is_empty() {
            let texts =
                env::vars().filter_map(|(name, value)| join(name.as_bytes(), value.as_bytes()));
            self.entries = texts.collect();
            self.entries.push(Out::NULL);
            self.publish();
        }
        self
    }

    fn publish(&mut self) {
        environ.store(self.entries.as_mut_ptr(), Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.entries.len() - 1
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let mut texts = self.entries[..self.count()].iter();
        texts.position(|entry| value_in(entry.text().bytes(), name).is_some())
    }

    fn put(&mut self, name: &[u8], entry: Out<u8>) -> Result<(), Errno> {
        if let Some(place) = self.position(name) {
            self.entries[place] = entry;
            return Ok(());
        }
        self.entries.try_reserve(1).map_err(|_| Errno(ENOMEM))?;
        let end = self.count();
        self.entries.insert(end, entry);
        self.publish();
        Ok(())
    }
}

/// Returns where the value begins in `entry`, if it is that of `name`.
fn value_in(entry: &[u8], name: &[u8]) -> Option<usize> {
    let rest = entry.strip_prefix(name)?;
    (rest.first() == Some(&b'=')).then_some(name.len() + 1)
}

/// Returns a text `NAME=VALUE` that stays.
fn join(name: &[u8], value: &[u8]) -> Option<Out<u8>> {
    let mut text = Vec::new();
    text.try_reserve_exact(name.len() + value.len() + 2).ok()?;
    text.extend_from_slice(name);
    text.push(b'=');
    text.extend_from_slice(value);
    text.push(0);
    Some(Out::from_raw(text.leak().as_mut_ptr()))
}

/// Makes `environ` point to the variables, before C code can look.
pub(in crate::libc) fn prepare() {
    VARIABLES.with(|variables| {
        variables.prepared();
    });
}

/// Returns what `environ` points to.
pub(in crate::libc) fn pointer() -> Out<Out<u8>> {
    Out::from_raw(environ.load(Ordering::Relaxed))
}

fn check(name: Text) -> Result<Text, Errno> {
    let bytes = name.bytes();
    if bytes.is_empty() || bytes.contains(&b'=') {
        return Err(Errno(EINVAL));
    }
    Ok(name)
}

/// Returns the value of a variable, or null.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getenv(name: Text) -> Out<u8> {
    VARIABLES.with(|variables| {
        let variables = variables.prepared();
        let name = name.bytes();
        let place = variables.position(name);
        place.map_or(Out::NULL, |place| {
            variables.entries[place].add(name.len() + 1)
        })
    })
}

/// Like [`getenv`]: a VM has no privileges to protect.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn secure_getenv(name: Text) -> Out<u8> {
    getenv(name)
}

/// Sets a variable, unless it is there already and `overwrite` is 0.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setenv(name: Text, value: Text, overwrite: c_int) -> c_int {
    let set = || {
        let name = check(name)?;
        if overwrite == 0 && !getenv(name).is_null() {
            return Ok(0);
        }
        let entry = join(name.bytes(), value.bytes()).ok_or(Errno(ENOMEM))?;
        VARIABLES.with(|variables| variables.prepared().put(name.bytes(), entry))?;
        Ok(0)
    };
    errno::answer(set())
}

/// Makes a text `NAME=VALUE` of the caller's part of the environment.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn putenv(entry: Out<u8>) -> c_int {
    let text = entry.text();
    let Some(len) = text.bytes().iter().position(|byte| *byte == b'=') else {
        return unsetenv(text);
    };
    let name = &text.bytes()[..len];
    let put = VARIABLES.with(|variables| variables.prepared().put(name, entry));
    errno::answer(put.map(|()| 0))
}

/// Removes a variable.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn unsetenv(name: Text) -> c_int {
    let removed = check(name).map(|name| {
        VARIABLES.with(|variables| {
            let variables = variables.prepared();
            if let Some(place) = variables.position(name.bytes()) {
                variables.entries.remove(place);
            }
        });
        0
    });
    errno::answer(removed)
}

/// Removes all variables.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn clearenv() -> c_int {
    VARIABLES.with(|variables| {
        variables.entries.clear();
        variables.entries.push(Out::NULL);
        variables.publish();
    });
    0
}

#[cfg(test)]
mod tests {
    use super::super::super::memory::test::text;
    use super::*;

    fn value(name: &core::ffi::CStr) -> Option<Vec<u8>> {
        let value = getenv(text(name));
        (!value.is_null()).then(|| Vec::from(value.text().bytes()))
    }

    // One test, since there is one environment.
    #[test]
    fn variables_are_set_replaced_and_removed() {
        let (a, ab) = (text(c"A"), text(c"AB"));
        assert_eq!(setenv(a, text(c"1"), 1), 0);
        assert_eq!(setenv(ab, text(c"2=3"), 1), 0);
        let kept = getenv(a);
        assert_eq!(setenv(a, text(c"4"), 0), 0);
        assert_eq!(value(c"A").as_deref(), Some(&b"1"[..]));
        assert_eq!(setenv(a, text(c"4"), 1), 0);
        assert_eq!(
            (value(c"A").as_deref(), kept.text().bytes()),
            (Some(&b"4"[..]), &b"1"[..])
        );
        assert_eq!(value(c"AB").as_deref(), Some(&b"2=3"[..]));
        assert_eq!((value(c"B"), value(c"")), (None, None));
        assert_eq!(setenv(text(c"A=B"), a, 1), -1);
        assert_eq!(errno::get(), EINVAL);
        assert_eq!(unsetenv(a), 0);
        assert_eq!((value(c"A"), value(c"AB").is_some()), (None, true));
        assert_eq!(clearenv(), 0);
        assert_eq!(value(c"AB"), None);
    }
}
