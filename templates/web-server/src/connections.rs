//! The connections there are: so many at once, closed when the service stops.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;
use denali_rt::net::{Shutdown, TcpStream};
use denali_rt::sync::{Mutex, Semaphore};
use denali_rt::time::Instant;

/// All connections of the server.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    room: Semaphore,
    open: Mutex<Vec<Arc<Connection>>>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Since when it waits for a request, if it does.
    idle_since: Mutex<Option<Instant>>,
}

/// A connection that counts as long as this exists.
#[derive(Debug)]
pub struct Entered {
    connection: Arc<Connection>,
    connections: Arc<Connections>,
}

/// Which connections have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All of them.
    All,
    /// Not those that took too long.
    Some,
}

impl Connections {
    /// Makes room for `max` connections.
    pub fn new(max: usize) -> Self {
        Self { max, room: Semaphore::new(max), open: Mutex::new(Vec::new()) }
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Takes in a connection, and waits until there is room for it: the one that has been idle
    /// longest goes.
    pub fn enter(self: &Arc<Self>, stream: TcpStream) -> Entered {
        if !self.room.try_acquire() {
            self.close_longest_idle();
            self.room.acquire();
        }
        let idle_since = Mutex::new(Some(Instant::now()));
        let connection = Arc::new(Connection { stream, idle_since });
        self.open.lock().push(Arc::clone(&connection));
        Entered { connection, connections: Arc::clone(self) }
    }

    /// Closes idle connections, and waits until the others have ended or `deadline` has come.
    pub fn drain(&self, deadline: Instant) -> Drained {
        for connection in &*self.open.lock() {
            if connection.idle_since().is_some() {
                connection.hang_up();
            }
        }
        // Who has all the room is alone.
        for _ in 0..self.max {
            if !self.room.acquire_until(deadline) {
                return Drained::Some;
            }
        }
        Drained::All
    }

    fn close_longest_idle(&self) {
        let open = self.open.lock();
        let idle = open.iter().filter_map(|it| Some((it.idle_since()?, it)));
        if let Some((_, connection)) = idle.min_by_key(|(since, _)| *since) {
            connection.hang_up();
        }
    }
}

impl Connection {
    /// Returns the stream.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Notes that the connection waits for a request, or does no more.
    pub fn set_idle(&self, idle: bool) {
        *self.idle_since.lock() = idle.then(Instant::now);
    }

    fn idle_since(&self) -> Option<Instant> {
        *self.idle_since.lock()
    }

    /// Makes whoever waits for a request read the end of the connection.
    fn hang_up(&self) {
        // One that is closed already needs no end.
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

impl Deref for Entered {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        if let Some(at) = open.iter().position(|it| Arc::ptr_eq(it, &self.connection)) {
            open.swap_remove(at);
        }
        drop(open);
        self.connections.room.release();
    }
}
