//! Threads that may borrow from the one that started them.

#![expect(unsafe_code, reason = "lets threads borrow what their scope outlives")]

use crate::interrupt;
use crate::io;
use crate::sync::{Arc, GuestCell, WaitQueue};
use crate::thread::scheduler::Body;
use crate::thread::{Builder, JoinHandle, Thread};
use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;

/// Runs `f` with a scope: threads started in it may borrow what outlives the call, since all of
/// them have ended when it returns.
///
/// ```
/// let words = ["green", "threads"];
/// let letters: usize = denali_rt::thread::scope(|scope| {
///     let counting = words.map(|word| scope.spawn(move || word.len()));
///     counting.into_iter().map(|thread| thread.join()).sum()
/// });
/// assert_eq!(letters, 12);
/// ```
pub fn scope<'env, F, R>(f: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let scope = Scope {
        running: Arc::default(),
        scope: PhantomData,
        env: PhantomData,
    };
    let _all_ended = WaitForAll(&scope.running);
    f(&scope)
}

/// Where scoped threads are started; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    running: Arc<Running>,
    /// Invariant in both lifetimes, as in `std`.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Threads of a scope that have not ended.
#[derive(Debug, Default)]
struct Running {
    count: GuestCell<usize>,
    none: WaitQueue,
}

/// Waits for all threads of a scope when dropped, so also when a test unwinds.
struct WaitForAll<'a>(&'a Running);

impl<'scope> Scope<'scope, '_> {
    /// Starts a thread.
    ///
    /// # Panics
    ///
    /// If there is no memory for it; [`Builder::spawn_scoped`] returns an error instead.
    pub fn spawn<F, T>(&'scope self, body: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        Builder::new()
            .spawn_scoped(self, body)
            .expect("no memory for a thread")
    }
}

impl Builder {
    /// Starts a thread of a scope.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        body: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        // It counts before it can end.
        let _masked = interrupt::mask();
        let running = Arc::clone(&scope.running);
        let spawned = self.spawn_with(body, move |wrapped| {
            let body: Box<dyn FnOnce() + Send + 'scope> = Box::new(move || {
                wrapped.run();
                running.end_one();
            });
            // SAFETY: the two types differ in a lifetime alone, and `scope` does not return before
            // the body has been called and all that it owns and borrows has been dropped.
            #[expect(clippy::disallowed_methods, reason = "no cast changes this lifetime")]
            unsafe {
                core::mem::transmute::<Box<dyn FnOnce() + Send + 'scope>, Body>(body)
            }
        })?;
        scope.running.count.with(|count| *count += 1);
        Ok(ScopedJoinHandle {
            handle: spawned,
            scope: PhantomData,
        })
    }
}

impl Running {
    fn end_one(&self) {
        let left = self.count.with(|count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            self.none.wake_all();
        }
    }
}

impl Drop for WaitForAll<'_> {
    fn drop(&mut self) {
        let _masked = interrupt::mask();
        while self.0.count.with(|count| *count > 0) {
            self.0.none.wait();
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &self.running.count.with(|count| *count))
            .finish_non_exhaustive()
    }
}

/// A started thread of a scope. Dropping the handle lets the thread run on; the scope waits for it.
#[derive(Debug)]
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the end of the thread and returns its result.
    pub fn join(self) -> T {
        self.handle.join()
    }

    /// Returns whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Returns the thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }
}
