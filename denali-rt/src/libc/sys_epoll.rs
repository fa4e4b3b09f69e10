//! `sys/epoll.h`, `sys/eventfd.h` and `sys/timerfd.h`.

use super::descriptor::epoll::{Epoll, Happened};
use super::descriptor::event::{Event, Taking};
use super::descriptor::timer::{Setting, Timer};
use super::descriptor::{self, Description};
use super::errno::{self, EINVAL, Errno};
use super::fcntl::O_NONBLOCK;
use super::memory::{In, Out};
use super::time::{self, TimeSpec};
use crate::time::{Duration, Instant};
use core::ffi::{c_int, c_uint};

const EPOLL_CTL_ADD: c_int = 1;
const EPOLL_CTL_DEL: c_int = 2;
const EPOLL_CTL_MOD: c_int = 3;

const EFD_SEMAPHORE: c_int = 1;

const TFD_TIMER_ABSTIME: c_int = 1;

/// What to tell of a descriptor, or what was told: twelve bytes, as on Linux.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct EpollEvent {
    /// The events.
    pub events: u32,
    /// The caller's word.
    pub data: u64,
}

/// When a timer expires.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ITimerSpec {
    /// The time between expiries; zero for just one.
    pub it_interval: TimeSpec,
    /// The next expiry; zero turns the timer off.
    pub it_value: TimeSpec,
}

/// Makes a set of descriptors.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn epoll_create1(_flags: c_int) -> c_int {
    errno::answer(descriptor::open(Epoll::new, false))
}

/// Like [`epoll_create1`]; the size is not needed, but must not be zero.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn epoll_create(size: c_int) -> c_int {
    if size <= 0 {
        return errno::answer(Err(Errno(EINVAL)));
    }
    epoll_create1(0)
}

/// Calls `f` with the set that a descriptor means.
fn with<R>(set: c_int, f: impl FnOnce(&Epoll) -> Result<R, Errno>) -> Result<R, Errno> {
    let description = descriptor::get(set)?;
    f(description.object().as_epoll().ok_or(Errno(EINVAL))?)
}

/// Adds a descriptor to a set, changes what is told of it, or removes it.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn epoll_ctl(
    set: c_int,
    operation: c_int,
    descriptor: c_int,
    event: In<EpollEvent>,
) -> c_int {
    errno::answer(with(set, |epoll| {
        let description = descriptor::get(descriptor)?;
        let wanted = || {
            let event = event.read().ok_or(Errno(errno::EFAULT))?;
            Ok::<_, Errno>(Happened {
                events: event.events,
                data: event.data,
            })
        };
        match operation {
            EPOLL_CTL_ADD => epoll.add(descriptor, &description, wanted()?)?,
            EPOLL_CTL_MOD => epoll.modify(descriptor, &description, wanted()?)?,
            EPOLL_CTL_DEL => epoll.remove(descriptor)?,
            _ => return Err(Errno(EINVAL)),
        }
        Ok(0)
    }))
}

/// Waits until something has happened, or for `timeout` milliseconds; for ever if it is negative.
/// Returns how many events were stored.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn epoll_wait(
    set: c_int,
    events: Out<EpollEvent>,
    max: c_int,
    timeout: c_int,
) -> c_int {
    let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
    let max = usize::try_from(max).ok().filter(|max| *max > 0);
    errno::answer(with(set, |epoll| {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let count = epoll.wait(max.ok_or(Errno(EINVAL))?, deadline, |place, happened| {
            events.add(place).write(EpollEvent {
                events: happened.events,
                data: happened.data,
            });
        });
        Ok(c_int::try_from(count).unwrap_or(c_int::MAX))
    }))
}

/// Like [`epoll_wait`]; there are no signals to mask.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn epoll_pwait(
    set: c_int,
    events: Out<EpollEvent>,
    max: c_int,
    timeout: c_int,
    _mask: In<u8>,
) -> c_int {
    epoll_wait(set, events, max, timeout)
}

/// Makes a counter.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn eventfd(count: c_uint, flags: c_int) -> c_int {
    let taking = match flags & EFD_SEMAPHORE {
        0 => Taking::All,
        _ => Taking::One,
    };
    let event = || Event::new(count.into(), taking);
    errno::answer(descriptor::open(event, flags & O_NONBLOCK != 0))
}

/// Adds to a counter.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn eventfd_write(descriptor: c_int, count: u64) -> c_int {
    errno::answer(descriptor::write(descriptor, &count.to_le_bytes()).map(|_| 0))
}

/// Takes a counter's value.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn eventfd_read(descriptor: c_int, result: Out<u64>) -> c_int {
    let mut count = [0; 8];
    errno::answer(descriptor::read(descriptor, &mut count).map(|_| {
        result.write(u64::from_le_bytes(count));
        0
    }))
}

/// Makes a timer that counts by a clock.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn timerfd_create(clock: c_int, flags: c_int) -> c_int {
    let make = || {
        time::now(clock)?;
        descriptor::open(|| Timer::new(clock), flags & O_NONBLOCK != 0)
    };
    errno::answer(make())
}

/// Calls `f` with the timer that a descriptor means.
fn with_timer<R>(
    descriptor: c_int,
    f: impl FnOnce(&Timer) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let description = descriptor::get(descriptor)?;
    let object: &Description = &description;
    f(object.object().as_timer().ok_or(Errno(EINVAL))?)
}

/// Sets when a timer expires: after a time, or at one of its clock if so flagged.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn timerfd_settime(
    descriptor: c_int,
    flags: c_int,
    setting: In<ITimerSpec>,
    old: Out<ITimerSpec>,
) -> c_int {
    errno::answer(with_timer(descriptor, |timer| {
        let wanted = setting.read().ok_or(Errno(errno::EFAULT))?;
        let value = wanted.it_value.duration()?;
        let next = match (value.is_zero(), flags & TFD_TIMER_ABSTIME) {
            (true, _) => None,
            (false, 0) => Some(Instant::now() + value),
            (false, _) => Some(wanted.it_value.deadline(timer.clock())?),
        };
        let before = timer.set(Setting::new(next, wanted.it_interval.duration()?));
        old.write(told(before));
        Ok(0)
    }))
}

/// Tells how long it is until a timer expires.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn timerfd_gettime(descriptor: c_int, result: Out<ITimerSpec>) -> c_int {
    errno::answer(with_timer(descriptor, |timer| {
        result.write(told(timer.setting()));
        Ok(0)
    }))
}

fn told(setting: Setting) -> ITimerSpec {
    let left = setting.next.map(|next| next - Instant::now());
    ITimerSpec {
        it_interval: setting.interval.into(),
        it_value: left.unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::test::{input, one, output};
    use super::super::unistd;
    use super::*;

    #[test]
    fn a_set_a_counter_and_a_timer_work_together() {
        let set = epoll_create1(0);
        let counter = eventfd(0, O_NONBLOCK);
        let timer = timerfd_create(time::CLOCK_MONOTONIC, O_NONBLOCK);
        for (descriptor, data) in [(counter, 1), (timer, 2)] {
            let event = EpollEvent { events: 1, data };
            assert_eq!(
                epoll_ctl(set, EPOLL_CTL_ADD, descriptor, input(&[event])),
                0
            );
        }
        let setting = ITimerSpec {
            it_value: Duration::from_millis(2).into(),
            ..ITimerSpec::default()
        };
        let mut old = setting;
        assert_eq!(
            timerfd_settime(timer, 0, input(&[setting]), one(&mut old)),
            0
        );
        assert_eq!(old.it_value, TimeSpec::default());
        let mut events = [EpollEvent { events: 0, data: 0 }; 4];
        assert_eq!(epoll_wait(set, output(&mut events), 4, -1), 1);
        assert_eq!({ events[0].data }, 2);
        assert_eq!(eventfd_write(counter, 5), 0);
        assert_eq!(epoll_wait(set, output(&mut events), 4, 0), 2);
        let mut count = 0;
        assert_eq!((eventfd_read(counter, one(&mut count)), count), (0, 5));
        assert_eq!(epoll_ctl(set, EPOLL_CTL_DEL, timer, In::NULL), 0);
        assert_eq!(epoll_wait(set, output(&mut events), 4, 1), 0);
        assert_eq!(epoll_ctl(set, 9, counter, In::NULL), -1);
        assert_eq!(epoll_wait(counter, output(&mut events), 4, 0), -1);
        assert_eq!(errno::get(), EINVAL);
        assert_eq!(timerfd_gettime(timer, one(&mut old)), 0);
        for descriptor in [set, counter, timer] {
            assert_eq!(unistd::close(descriptor), 0);
        }
        assert_eq!(size_of::<EpollEvent>(), 12);
    }
}
