//! Runs a service's tests inside VMs, and reports as `cargo test` does.
//!
//! | file          | what                                                             |
//! |---------------|------------------------------------------------------------------|
//! | `list.rs`     | the tests of an ELF file                                         |
//! | `choice.rs`   | which of them to run: the options behind `--`                    |
//! | `progress.rs` | what the console of the VM says, and what its end means          |
//! | `report.rs`   | what the user sees                                               |
//! | `run.rs`      | VM after VM, until every test has its outcome                    |
//!
//! The tests run one after the other in one VM. One that fails ends it, as every panic and every
//! fault ends a VM; those that are left then run in a fresh one.

pub mod choice;
pub mod list;
mod progress;
pub mod report;
pub mod run;
