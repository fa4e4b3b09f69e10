//! File systems on the volumes that the manifest asks for: ext4, by the crate `rsext4`.
//!
//! | file        | what                                                  |
//! |-------------|-------------------------------------------------------|
//! | `open.rs`   | which volumes there are, and what is on them          |
//! | `disk.rs`   | a volume as the crate sees it                         |
//! | `system.rs` | a file system of the crate's as the C library sees it |
//! | `fake.rs`   | a disk in memory, for tests                           |

#[cfg(denali_volumes)]
mod disk;
#[cfg(test)]
mod fake;
#[cfg(denali_volumes)]
mod open;
mod system;
#[cfg(test)]
mod tests;

#[cfg(denali_volumes)]
pub(crate) use open::provide;
