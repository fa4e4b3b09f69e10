//! The contract between the isolation kernel and its guests.
//!
//! Plain data with sizes asserted at compile time: the kernel and a guest share this crate and
//! nothing else. Everything is little-endian and laid out as written (`repr(C)`).
//!
//! | module        | what it fixes                                              |
//! |---------------|------------------------------------------------------------|
//! | [`layout`]    | where things lie in a guest's flat address space            |
//! | [`image`]     | the header of a flat image                                  |
//! | [`hypercall`] | purely virtual instructions: numbers and arguments          |
//! | [`registers`] | virtual registers, the page the kernel writes               |
//! | [`shared`]    | the shared page: interrupt state and ring indices           |
//! | [`upcall`]    | virtual interrupts as upcalls: the frame                    |
//! | [`net`]       | transmit and receive descriptors of the virtual Ethernet    |
//! | [`control`]   | what the supervisor may ask of the kernel                   |
//! | [`end`]       | why a VM ended                                              |
//! | [`latency`]    | latencies, counted in buckets                              |
//! | [`errno`]     | errors a hypercall returns                                  |

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod control;
pub mod convert;
pub mod end;
pub mod errno;
pub mod hypercall;
pub mod image;
pub mod latency;
pub mod layout;
pub mod net;
pub mod registers;
pub mod shared;
pub mod upcall;

/// The version of everything in this crate; an image built for another one is refused.
pub const ABI_VERSION: u32 = 2;
