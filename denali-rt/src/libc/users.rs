//! `pwd.h`, `grp.h`, and who a program is. A VM is its program's alone, and nothing depends on who that
//! is; programs that begin as `root` and go on as `nobody` can do so.

use super::errno::{self, EPERM, Errno};
use super::memory::{In, Out, Text};
use crate::sync::GuestCell;
use core::ffi::{c_int, c_uint};

/// A user, as Linux lays it out (`struct passwd`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct User {
    pw_name: Text,
    pw_passwd: Text,
    pw_uid: c_uint,
    pw_gid: c_uint,
    pw_gecos: Text,
    pw_dir: Text,
    pw_shell: Text,
}

/// A group, as Linux lays it out (`struct group`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Group {
    gr_name: Text,
    gr_passwd: Text,
    gr_gid: c_uint,
    gr_mem: In<Text>,
}

/// The number of `nobody`.
const NOBODY: c_uint = 65_534;

/// The members of groups: none, as each is one user's own.
static MEMBERS: [Text; 1] = [Text::NULL];

static USERS: [User; 2] = [user(c"root", 0), user(c"nobody", NOBODY)];

static GROUPS: [Group; 2] = [group(c"root", 0), group(c"nobody", NOBODY)];

/// Who the program is: its user and group.
static OWN: GuestCell<(c_uint, c_uint)> = GuestCell::new((0, 0));

const fn user(name: &'static core::ffi::CStr, number: c_uint) -> User {
    User {
        pw_name: Text::of(name),
        pw_passwd: Text::of(c"x"),
        pw_uid: number,
        pw_gid: number,
        pw_gecos: Text::of(name),
        pw_dir: Text::of(c"/"),
        pw_shell: Text::of(c""),
    }
}

const fn group(name: &'static core::ffi::CStr, number: c_uint) -> Group {
    Group {
        gr_name: Text::of(name),
        gr_passwd: Text::of(c"x"),
        gr_gid: number,
        gr_mem: In::from_ref(&MEMBERS[0]),
    }
}

/// Finds a user by name; null without one.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getpwnam(name: Text) -> In<User> {
    let found = USERS
        .iter()
        .find(|user| user.pw_name.bytes() == name.bytes());
    found.map_or(In::NULL, In::from_ref)
}

/// Finds a user by number. Returns 0.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getpwuid_r(
    number: c_uint,
    entry: Out<User>,
    _buffer: Out<u8>,
    _len: usize,
    result: Out<Out<User>>,
) -> c_int {
    let found = USERS.iter().find(|user| user.pw_uid == number);
    result.write(found.map_or(Out::NULL, |user| {
        entry.write(*user);
        entry
    }));
    0
}

/// Finds a group by name; null without one.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getgrnam(name: Text) -> In<Group> {
    let found = GROUPS
        .iter()
        .find(|group| group.gr_name.bytes() == name.bytes());
    found.map_or(In::NULL, In::from_ref)
}

/// Returns the number of the program's user.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getuid() -> c_uint {
    OWN.with(|(user, _)| *user)
}

/// Like [`getuid`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn geteuid() -> c_uint {
    getuid()
}

/// Returns the number of the program's group.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getgid() -> c_uint {
    OWN.with(|(_, group)| *group)
}

/// Like [`getgid`].
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getegid() -> c_uint {
    getgid()
}

/// Goes on as another user, which `root` alone can.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setuid(number: c_uint) -> c_int {
    errno::answer(OWN.with(|(user, _)| become_another(*user, user, number)))
}

/// Goes on as another group, which `root` alone can.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setgid(number: c_uint) -> c_int {
    errno::answer(OWN.with(|(user, group)| become_another(*user, group, number)))
}

fn become_another(user: c_uint, place: &mut c_uint, number: c_uint) -> Result<c_int, Errno> {
    if user != 0 && *place != number {
        return Err(Errno(EPERM));
    }
    *place = number;
    Ok(0)
}

/// Succeeds for `root`: being in groups means nothing here.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setgroups(_count: usize, _groups: In<c_uint>) -> c_int {
    errno::answer(if getuid() == 0 {
        Ok(0)
    } else {
        Err(Errno(EPERM))
    })
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::{one, text};
    use super::*;

    #[test]
    fn root_can_go_on_as_nobody_and_not_return() {
        let nobody = getpwnam(text(c"nobody")).read().expect("a user");
        let group = getgrnam(text(c"nobody")).read().expect("a group");
        assert_eq!((getuid(), geteuid(), getgid(), getegid()), (0, 0, 0, 0));
        assert_eq!(setgroups(0, In::NULL), 0);
        assert_eq!((setgid(group.gr_gid), setuid(nobody.pw_uid)), (0, 0));
        assert_eq!((getuid(), getegid()), (NOBODY, NOBODY));
        assert_eq!((setuid(0), setgid(0)), (-1, -1));
        assert_eq!((setuid(NOBODY), setgid(NOBODY)), (0, 0));
        OWN.with(|own| *own = (0, 0));
    }

    #[test]
    fn who_is_not_there_is_not_found() {
        assert!(getpwnam(text(c"somebody")).is_null());
        assert!(getgrnam(text(c"somebody")).is_null());
        let mut entry = USERS[0];
        let mut found = Out::NULL;
        let (entry, buffer) = (one(&mut entry), Out::NULL);
        assert_eq!(getpwuid_r(1, entry, buffer, 0, one(&mut found)), 0);
        assert!(found.is_null());
        assert_eq!(getpwuid_r(NOBODY, entry, buffer, 0, one(&mut found)), 0);
        assert_eq!(found.read().expect("a user").pw_uid, NOBODY);
    }
}
