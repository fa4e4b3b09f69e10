//! Timers that are read: `timerfd`.

use super::watch::{Changes, Watch};
use super::{Kind, Object};
use crate::libc::errno::{EAGAIN, EINVAL, Errno};
use crate::net::Readiness;
use crate::sync::GuestCell;
use crate::thread::scheduler;
use crate::time::{Duration, Instant, TimerKey};
use alloc::sync::Arc;
use alloc::task::Wake;
use core::ffi::c_int;
use core::task::Waker;

/// A timer.
pub(in crate::libc) struct Timer {
    clock: c_int,
    shared: Arc<Shared>,
}

struct Shared {
    setting: GuestCell<Setting>,
    changes: Changes,
}

/// When a timer expires.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::libc) struct Setting {
    /// The first expiry not read yet; none if the timer is off.
    pub(in crate::libc) next: Option<Instant>,
    /// The time between expiries; zero for just one.
    pub(in crate::libc) interval: Duration,
    key: Option<TimerKey>,
}

impl Setting {
    pub(in crate::libc) fn new(next: Option<Instant>, interval: Duration) -> Self {
        Self {
            next,
            interval,
            key: None,
        }
    }

    /// Takes the expiries up to `now`. Returns how many there were.
    fn take(&mut self, now: Instant) -> u64 {
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return 0;
        };
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        let Some(more) = (now.as_ns() - next.as_ns()).checked_div(interval) else {
            self.next = None;
            return 1;
        };
        let passed = interval.saturating_mul(more + 1);
        self.next = Some(next + Duration::from_nanos(passed));
        more + 1
    }
}

impl Timer {
    /// Makes a timer that is off and counts by `clock`.
    pub(in crate::libc) fn new(clock: c_int) -> Self {
        Self {
            clock,
            shared: Arc::new(Shared {
                setting: GuestCell::new(Setting::default()),
                changes: Changes::default(),
            }),
        }
    }

    pub(in crate::libc) fn clock(&self) -> c_int {
        self.clock
    }

    /// Changes when it expires. Returns the old setting.
    pub(in crate::libc) fn set(&self, setting: Setting) -> Setting {
        let old = self
            .shared
            .setting
            .with(|present| core::mem::replace(present, setting));
        if let Some(key) = old.key {
            scheduler::cancel_timer(key);
        }
        self.shared.arm(setting.next);
        old
    }

    /// Returns when it expires.
    pub(in crate::libc) fn setting(&self) -> Setting {
        self.shared.setting.with(|setting| *setting)
    }
}

impl Shared {
    fn arm(self: &Arc<Self>, next: Option<Instant>) {
        let key = next.map(|next| scheduler::set_timer(next, Waker::from(Arc::clone(self))));
        self.setting.with(|setting| setting.key = key);
    }
}

impl Wake for Shared {
    /// Tells of an expiry, and gets ready for the one after.
    fn wake(self: Arc<Self>) {
        let interval = self.setting.with(|setting| {
            setting.key = None;
            setting.interval
        });
        if !interval.is_zero() {
            self.arm(Some(Instant::now() + interval));
        }
        self.changes.tell();
    }
}

impl Object for Timer {
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let place = buffer.first_chunk_mut::<8>().ok_or(Errno(EINVAL))?;
        let now = Instant::now();
        match self.shared.setting.with(|setting| setting.take(now)) {
            0 => Err(Errno(EAGAIN)),
            count => {
                *place = count.to_le_bytes();
                Ok(8)
            }
        }
    }

    fn readiness(&self) -> Readiness {
        let now = Instant::now();
        Readiness {
            readable: self.setting().next.is_some_and(|next| next <= now),
            ..Readiness::default()
        }
    }

    fn watch(&self, waker: &Waker) -> Option<Watch> {
        Some(self.shared.changes.watch(waker))
    }

    fn as_timer(&self) -> Option<&Timer> {
        Some(self)
    }

    fn kind(&self) -> Kind {
        Kind::Anonymous
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.set(Setting::default());
    }
}
