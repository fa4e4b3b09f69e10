//! Measures against processors that leak: from what the CPU is to what the kernel does about it.
//!
//! [`CpuProfile::read`] asks the processor what it is, `vulnerability` says which of the known
//! leaks it has, [`decide()`] what is switched on, and [`apply()`] writes the registers that stay
//! written. What must happen at each crossing (page tables, barriers, `verw`) the machine half does
//! itself, looking at [`Measures::has`]. Nothing here touches hardware but through [`Cpu`].
//!
//! A VM is what Linux's documentation calls a user process ("Attack Vector Controls",
//! Documentation/admin-guide/hw-vuln): both *user to kernel* and *user to user* apply, the vectors
//! that need hardware virtualization do not.

mod apply;
mod decide;
mod measure;
mod profile;
mod request;
mod vulnerability;

#[cfg(test)]
mod tests;

pub use apply::{apply, msr};
pub use decide::{Finding, Measures, Status, decide};
pub use measure::Measure;
pub use profile::{Cpu, CpuProfile, Feature, Vendor, capability};
pub use request::{Request, RequestError};
pub use vulnerability::Vulnerability;
