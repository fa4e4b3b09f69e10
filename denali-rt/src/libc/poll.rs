//! `poll.h` and `sys/select.h`.

use super::descriptor::epoll::{ERR, HUP, IN, OUT, bits};
use super::descriptor::watch::{Alarm, Watch};
use super::descriptor::{self, Description};
use super::errno::{self, EBADF, EINVAL, Errno};
use super::memory::{In, Out};
use super::time::{TimeSpec, TimeVal};
use crate::sync::Arc;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::ffi::c_int;

/// The descriptor is not open.
const NVAL: u32 = 0x20;

/// Descriptors in a set of `select`.
const SET_LEN: usize = 1024;

/// A descriptor to wait for.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PollFd {
    /// The descriptor; a negative one is passed over.
    pub fd: c_int,
    /// What to wait for.
    pub events: i16,
    /// What has happened.
    pub revents: i16,
}

/// A set of `select`: a bit for each descriptor.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FdSet {
    bits: [u64; SET_LEN / 64],
}

impl FdSet {
    const EMPTY: Self = Self {
        bits: [0; SET_LEN / 64],
    };

    fn contains(&self, place: usize) -> bool {
        self.bits[place / 64] >> (place % 64) & 1 == 1
    }

    fn insert(&mut self, place: usize) {
        self.bits[place / 64] |= 1 << (place % 64);
    }
}

/// A descriptor and what is wanted of it.
struct Wanted {
    description: Option<Arc<Description>>,
    events: u32,
}

impl Wanted {
    fn new(descriptor: c_int, events: u32) -> Self {
        Self {
            description: descriptor::get(descriptor).ok(),
            events,
        }
    }

    /// Returns what has happened of what is wanted, and of what is always told.
    fn happened(&self) -> u32 {
        match &self.description {
            Some(description) => bits(description.object().readiness()) & (self.events | ERR | HUP),
            None => NVAL,
        }
    }
}

/// Calls `look` until it finds something or `deadline` has come, waiting for changes of the wanted
/// descriptors in between. Returns what it found.
fn wait(
    wanted: &[Wanted],
    deadline: Option<Instant>,
    mut look: impl FnMut(&[Wanted]) -> c_int,
) -> c_int {
    let found = look(wanted);
    if found > 0 || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return found;
    }
    let alarm = Alarm::new();
    let waker = alarm.waker();
    let descriptions = wanted
        .iter()
        .filter_map(|wanted| wanted.description.as_ref());
    let _watches: Vec<Watch> = descriptions
        .filter_map(|description| description.object().watch(&waker))
        .collect();
    loop {
        let found = look(wanted);
        if found > 0 || alarm.wait(deadline) {
            return found;
        }
    }
}

/// Waits until something has happened to one of the descriptors, or for `timeout` milliseconds; for
/// ever if it is negative. Returns to how many.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn poll(descriptors: Out<PollFd>, count: u64, timeout: c_int) -> c_int {
    let milliseconds = u64::try_from(timeout).ok();
    let timeout = milliseconds.map(Duration::from_millis);
    errno::answer(poll_for(descriptors, count, timeout))
}

/// Like [`poll`], with a finer timeout; there are no signals to mask.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn ppoll(
    descriptors: Out<PollFd>,
    count: u64,
    timeout: In<TimeSpec>,
    _mask: In<u8>,
) -> c_int {
    let timeout = timeout.read().map(TimeSpec::duration).transpose();
    errno::answer(timeout.and_then(|timeout| poll_for(descriptors, count, timeout)))
}

fn poll_for(
    mut descriptors: Out<PollFd>,
    count: u64,
    timeout: Option<Duration>,
) -> Result<c_int, Errno> {
    let count = usize::try_from(count).ok();
    let count = count.filter(|count| *count <= descriptor::DESCRIPTORS_MAX);
    let entries = descriptors.slice(count.ok_or(Errno(EINVAL))?);
    let mut wanted = Vec::new();
    wanted
        .try_reserve(entries.len())
        .map_err(|_| Errno(errno::ENOMEM))?;
    for entry in entries.iter().filter(|entry| entry.fd >= 0) {
        wanted.push(Wanted::new(
            entry.fd,
            u32::from(entry.events.cast_unsigned()),
        ));
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    Ok(wait(&wanted, deadline, |wanted| {
        let mut found = 0;
        let mut wanted = wanted.iter();
        for entry in entries.iter_mut() {
            entry.revents = 0;
            if entry.fd >= 0
                && let Some(wanted) = wanted.next()
            {
                let happened = u16::try_from(wanted.happened()).unwrap_or(0);
                entry.revents = happened.cast_signed();
                found += c_int::from(happened != 0);
            }
        }
        found
    }))
}

/// Waits until a descriptor of one of the sets below `count` is ready, or for `timeout`; for ever
/// without one. Leaves the ready ones in the sets, and returns how many there are.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn select(
    count: c_int,
    readable: Out<FdSet>,
    writable: Out<FdSet>,
    exceptional: Out<FdSet>,
    timeout: Out<TimeVal>,
) -> c_int {
    let timeout = timeout.read().map(TimeVal::duration).transpose();
    let selected =
        timeout.and_then(|timeout| select_for(count, [readable, writable, exceptional], timeout));
    errno::answer(selected)
}

/// Like [`select`], with a finer timeout; there are no signals to mask.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn pselect(
    count: c_int,
    readable: Out<FdSet>,
    writable: Out<FdSet>,
    exceptional: Out<FdSet>,
    timeout: In<TimeSpec>,
    _mask: In<u8>,
) -> c_int {
    let timeout = timeout.read().map(TimeSpec::duration).transpose();
    let selected =
        timeout.and_then(|timeout| select_for(count, [readable, writable, exceptional], timeout));
    errno::answer(selected)
}

/// What each of the three sets asks for. Nothing exceptional ever happens: there is no out-of-band
/// data.
const ASKED: [u32; 3] = [IN | HUP | ERR, OUT | ERR, 0];

fn select_for(
    count: c_int,
    places: [Out<FdSet>; 3],
    timeout: Option<Duration>,
) -> Result<c_int, Errno> {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= SET_LEN);
    let count = count.ok_or(Errno(EINVAL))?;
    let sets = places.map(|place| place.read().unwrap_or(FdSet::EMPTY));
    let mut wanted = Vec::new();
    let mut numbers = Vec::new();
    for number in (0..count).filter(|number| sets.iter().any(|set| set.contains(*number))) {
        let descriptor = c_int::try_from(number).unwrap_or(-1);
        let entry = Wanted::new(descriptor, IN | OUT);
        if entry.description.is_none() {
            return Err(Errno(EBADF));
        }
        wanted.push(entry);
        numbers.push(number);
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut ready = [FdSet::EMPTY; 3];
    let found = wait(&wanted, deadline, |wanted| {
        let mut found = 0;
        ready = [FdSet::EMPTY; 3];
        for (number, wanted) in numbers.iter().zip(wanted) {
            let happened = wanted.happened();
            for ((set, ready), asked) in sets.iter().zip(&mut ready).zip(ASKED) {
                if set.contains(*number) && happened & asked != 0 {
                    ready.insert(*number);
                    found += 1;
                }
            }
        }
        found
    });
    for (place, ready) in places.into_iter().zip(ready) {
        place.write(ready);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::{input, one, output};
    use super::super::unistd;
    use super::*;
    use crate::thread;

    /// Returns the two ends of a pipe.
    fn pipe() -> [c_int; 2] {
        let mut ends = [0; 2];
        assert_eq!(unistd::pipe(one(&mut ends)), 0);
        ends
    }

    fn entry(fd: c_int, events: u32) -> PollFd {
        PollFd {
            fd,
            events: i16::try_from(events).unwrap(),
            revents: -1,
        }
    }

    #[test]
    fn poll_tells_what_has_happened_and_waits_for_it() {
        let [from, to] = pipe();
        let mut entries = [
            entry(from, IN),
            entry(to, OUT),
            entry(-1, IN),
            entry(8_000, IN),
        ];
        assert_eq!(poll(output(&mut entries), 4, 0), 2);
        let happened = entries.map(|entry| entry.revents);
        assert_eq!(
            happened,
            [0, OUT.try_into().unwrap(), 0, NVAL.try_into().unwrap()]
        );
        let mut one_entry = [entry(from, IN)];
        assert_eq!(poll(output(&mut one_entry), 1, 1), 0);
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(2));
            descriptor::write(to, b"x").unwrap();
        });
        assert_eq!(poll(output(&mut one_entry), 1, -1), 1);
        other.join();
        unistd::close(to);
        let short = TimeSpec {
            tv_sec: 0,
            tv_nsec: 1000,
        };
        assert_eq!(
            ppoll(output(&mut one_entry), 1, input(&[short]), In::NULL),
            1
        );
        let hup = i16::try_from(IN | HUP).unwrap();
        assert_eq!(one_entry[0].revents, hup);
        unistd::close(from);
    }

    #[test]
    fn select_leaves_the_ready_ones_in_its_sets() {
        let [from, to] = pipe();
        let (low, high) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
        let (mut readable, mut writable) = (FdSet::EMPTY, FdSet::EMPTY);
        readable.insert(low);
        writable.insert(high);
        let count = c_int::try_from(low.max(high) + 1).unwrap();
        let found = select(
            count,
            one(&mut readable),
            one(&mut writable),
            Out::NULL,
            Out::NULL,
        );
        assert_eq!(
            (found, readable.contains(low), writable.contains(high)),
            (1, false, true)
        );
        let mut zero = TimeVal::default();
        readable.insert(low);
        assert_eq!(
            select(
                count,
                one(&mut readable),
                Out::NULL,
                Out::NULL,
                one(&mut zero)
            ),
            0
        );
        assert_eq!(
            select(2000, Out::NULL, Out::NULL, Out::NULL, one(&mut zero)),
            -1
        );
        unistd::close(from);
        unistd::close(to);
        readable.insert(low);
        let closed = select(
            count,
            one(&mut readable),
            Out::NULL,
            Out::NULL,
            one(&mut zero),
        );
        // Another test may have taken the number meanwhile.
        assert!(closed <= 0 || readable.contains(low));
    }
}
