//! A game for 32 over UDP: what server and clients have in common, and the server without sockets.
//!
//! | module       | what                                                            |
//! |--------------|-----------------------------------------------------------------|
//! | [`world`]    | the arena: who is where, and what happens in a tick             |
//! | [`interest`] | what of it a player gets to know                                |
//! | [`protocol`] | datagrams, and snapshots as differences from earlier ones       |
//! | [`server`]   | players come, play, fall silent and go                          |
//! | [`client`]   | the other side, for load generators and tests                   |
//! | [`pace`]     | how evenly ticks come                                           |
//!
//! Nothing in here knows a socket or a clock: datagrams and ticks are arguments.

#![no_std]

extern crate alloc;

pub mod client;
pub mod interest;
pub mod pace;
pub mod protocol;
pub mod random;
pub mod server;
pub mod world;
