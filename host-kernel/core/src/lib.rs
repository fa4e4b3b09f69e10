//! Every decision of the isolation kernel, without a machine.
//!
//! 1. Core decides, the machine half does: no `unsafe`, no assembly, no clock of its own.
//! 2. Mechanism asks policy, then checks the answer.
//! 3. Everything from a guest is an allegation: copy, check, use.
//! 4. A guest's mistake is an `Errno` or its own end; a panic here is our bug.
//!
//! | read        | to learn                                                              |
//! |-------------|-----------------------------------------------------------------------|
//! | [`kernel`]  | the state, and the loop around it: events and exits in, decisions out  |
//! | [`machine`] | what hardware must offer, and the fake that tests run on               |
//! | [`vm`]      | descriptors, images, alarms, and the life of a VM                      |
//! | [`memory`]  | who owns each frame, what is promised, which page shows which frame    |
//! | [`hypercall`] | what guests and the supervisor may ask for                           |
//! | [`swap`]      | disks as swap space: extents, seals and maps                          |
//! | [`net`]     | rings, source checks and the switch                                    |
//! | [`paging`]    | VMs that do not fit into memory                                       |
//! | [`policy`]  | what may be decided one way or another                                 |
//! | [`audit`]   | every invariant, checked from outside                                  |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod audit;
pub mod console;
mod delivery;
pub mod fault;
pub mod hypercall;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod meter;
pub mod net;
mod network;
mod nic_queue;
pub mod paging;
pub mod policy;
pub mod random;
pub mod stats;
mod supervisor;
pub mod swap;
pub mod time;
pub mod trace;
pub mod vm;

pub use kernel::{Boot, Kernel, Next};
pub use memory::FrameRange;
pub use supervisor::StartError;
pub use vm::VmId;
