//! Every decision of the isolation kernel, without a machine.
//!
//! 1. Core decides, the machine half does: no `unsafe`, no assembly, no clock of its own.
//! 2. Mechanism asks policy, then checks the answer.
//! 3. Everything from a guest is an allegation: copy, check, use.
//! 4. A guest's mistake is an `Errno` or its own end; a panic here is our bug.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod machine;
pub mod net;
pub mod time;
