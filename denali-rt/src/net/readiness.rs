//! What a socket is ready for, and being told when that changes: for those who watch many sockets
//! at once, as `poll` and `epoll` do.
//!
//! A blocking call waits for one thing. Who waits for many asks each socket for its [`Readiness`],
//! and has its waker called whenever the answer may have changed, as long as the [`Watch`] lives.

use super::stack::Signal;
use super::stack::connection::Signals;
use crate::sync::{GuestCell, WaitQueue};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;

/// What can be done with a socket without waiting, at a moment.
///
/// As in POSIX, what fails at once or has come to its end counts as ready, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read or an accept does not wait.
    pub readable: bool,
    /// A write does not wait; after [`TcpStream::begin`](super::TcpStream::begin): the attempt to
    /// connect is over, one way or the other.
    pub writable: bool,
    /// The peer has sent its last (`POLLRDHUP`).
    pub read_closed: bool,
    /// Nothing goes either way any more (`POLLHUP`).
    pub closed: bool,
    /// There is an error, for [`TcpStream::take_error`](super::TcpStream::take_error) to take
    /// (`POLLERR`).
    pub error: bool,
}

/// Something whose readiness can be watched.
pub trait Pollable {
    /// Returns what can be done without waiting.
    ///
    /// # Errors
    ///
    /// Without a network.
    fn readiness(&self) -> crate::io::Result<Readiness>;

    /// Has `waker` called whenever the readiness may have changed, until the watch is dropped. It
    /// is not called for what is ready already: ask for that afterwards.
    ///
    /// It is called while the stack works, so it must not touch sockets itself; what wakes a thread
    /// or a task does not.
    fn watch(&self, waker: &Waker) -> Watch;
}

/// Keeps a waker registered; see [`Pollable::watch`].
#[derive(Debug)]
pub struct Watch {
    ticket: u64,
    place: Place,
}

/// Where a waker is registered.
#[derive(Debug)]
enum Place {
    Socket(Arc<Signals<Notifier>>),
    Listener(Arc<Notifier>),
}

impl Place {
    fn for_each(&self, act: impl Fn(&Notifier)) {
        match self {
            Self::Socket(signals) => {
                act(&signals.readable);
                act(&signals.writable);
            }
            Self::Listener(notifier) => act(notifier),
        }
    }
}

impl Watch {
    pub(super) fn socket(signals: &Arc<Signals<Notifier>>, waker: &Waker) -> Self {
        Self::new(Place::Socket(signals.clone()), waker)
    }

    pub(super) fn listener(arrival: &Arc<Notifier>, waker: &Waker) -> Self {
        Self::new(Place::Listener(arrival.clone()), waker)
    }

    fn new(place: Place, waker: &Waker) -> Self {
        static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        place.for_each(|notifier| {
            notifier
                .watchers
                .with(|watchers| watchers.push((ticket, waker.clone())));
        });
        Self { ticket, place }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.place.for_each(|notifier| {
            // The waker is dropped outside, where it may do as it likes.
            let _waker = notifier.watchers.with(|watchers| {
                let place = watchers
                    .iter()
                    .position(|(ticket, _)| *ticket == self.ticket);
                place.map(|place| watchers.swap_remove(place))
            });
        });
    }
}

/// Wakes who waits for one thing, and tells who watches it.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    pub(super) waiting: WaitQueue,
    watchers: GuestCell<Vec<(u64, Waker)>>,
}

impl Signal for Notifier {
    fn notify(&self) {
        self.waiting.wake_all();
        self.watchers.with(|watchers| {
            for (_, waker) in watchers {
                waker.wake_by_ref();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::task::Wake;
    use core::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_watch_is_told_each_time_until_it_is_dropped() {
        let signals = Arc::<Signals<Notifier>>::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let told = || count.0.load(Ordering::Relaxed);
        let one = Watch::socket(&signals, &waker);
        let two = Watch::socket(&signals, &waker);
        signals.readable.notify();
        assert_eq!(told(), 2);
        drop(one);
        signals.writable.notify();
        signals.readable.notify();
        assert_eq!(told(), 4);
        drop(two);
        signals.readable.notify();
        assert_eq!(told(), 4);
    }
}
