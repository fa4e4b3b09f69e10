//! Datagrams: what is in them, and how long they may be.
//!
//! Numbers are big-endian. Every datagram begins with [`MAGIC`] and a byte that tells its kind. What
//! the server says to a stranger is never longer than what the stranger said, so that nobody can
//! make it shout at a third.
//!
//! | file          | what                                             |
//! |---------------|--------------------------------------------------|
//! | `wire.rs`     | numbers in datagrams that may say anything       |
//! | `datagram.rs` | the kinds of datagrams                           |
//! | `snapshot.rs` | what a player sees, as a difference              |

mod datagram;
mod snapshot;
mod wire;

pub use datagram::{FromClient, FromServer, Input, Refusal};
pub use snapshot::{Delta, Entity, Snapshot};
pub use wire::{Reader, Writer};

/// Longest datagram in bytes, so that it fits every path's frames.
pub const DATAGRAM_MAX: usize = 1200;

/// What every datagram begins with.
pub const MAGIC: u16 = 0xdea1;

/// Shortest JOIN in bytes: longer than any answer to it.
pub const JOIN_LEN: usize = 48;

/// Longest name of a player in bytes.
pub const NAME_MAX: usize = 16;

/// Inputs that a datagram repeats, so that one lost datagram loses none.
pub const INPUTS_MAX: usize = 3;
