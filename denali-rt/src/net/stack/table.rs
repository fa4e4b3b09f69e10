//! The connection table: slots that outlive their connections, found by number or by addresses.

use super::Signal;
use super::connection::Connection;
use super::hash::{HashKey, KeyMap};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

/// Most connections a VM can have at once, those being closed in the background included.
pub(crate) const CONNECTIONS_MAX: usize = 16 * 1024;

/// Names a connection; the name of one that is gone is never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    slot: u32,
    generation: u32,
}

/// What the segments of a connection have in common. The local address is left out: who connects
/// from one port to two addresses of ours reaches the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    pub(super) remote: IpAddr,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u64::from(self.local_port) << 16 | u64::from(self.remote_port);
        match self.remote {
            IpAddr::V4(remote) => state.write_u64(ports << 32 | u64::from(remote.to_bits())),
            IpAddr::V6(remote) => {
                state.write(&remote.octets());
                state.write_u64(ports);
            }
        }
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Table<S> {
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    by_key: KeyMap<ConnectionId>,
}

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    connection: Option<Box<Connection<S>>>,
}

impl<S: Signal> Table<S> {
    /// Creates an empty table; it allocates with the first connection.
    pub(super) fn new(hash: HashKey) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: KeyMap::with_hasher(hash),
        }
    }

    /// Returns the number of connections.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds a connection, findable by its key; `None` when [`CONNECTIONS_MAX`] is reached.
    pub(super) fn insert(&mut self, connection: Box<Connection<S>>) -> Option<ConnectionId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() >= CONNECTIONS_MAX => return None,
            None => {
                let slot = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot {
                    generation: 0,
                    connection: None,
                });
                slot
            }
        };
        let entry = self.slots.get_mut(slot as usize)?;
        let id = ConnectionId {
            slot,
            generation: entry.generation,
        };
        self.by_key.insert(connection.key, id);
        entry.connection = Some(connection);
        Some(id)
    }

    /// Removes a connection.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection<S>>> {
        self.forget_key(id);
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(connection)
    }

    /// Makes a connection unfindable by its key, so that a new one may use the same ports.
    pub(super) fn forget_key(&mut self, id: ConnectionId) {
        let Some(key) = self.get_mut(id).map(|connection| connection.key) else {
            return;
        };
        if self.by_key.get(&key) == Some(&id) {
            self.by_key.remove(&key);
        }
    }

    /// Returns a connection, if it still exists.
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection<S>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation {
            slot.connection.as_deref_mut()
        } else {
            None
        }
    }

    /// Returns the connection a segment with this key belongs to.
    pub(super) fn find(&self, key: &Key) -> Option<ConnectionId> {
        self.by_key.get(key).copied()
    }

    /// Returns the connections for which `predicate` holds. Walks the table.
    pub(super) fn select(&self, predicate: impl Fn(&Connection<S>) -> bool) -> Vec<ConnectionId> {
        let slots = (0..).zip(&self.slots);
        slots
            .filter(|(_, slot)| slot.connection.as_deref().is_some_and(&predicate))
            .map(|(index, slot)| ConnectionId {
                slot: index,
                generation: slot.generation,
            })
            .collect()
    }
}
