#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(any(denali, test))]
extern crate std;
// Exports the unwinder's symbols.
#[cfg(denali)]
extern crate unwinding as _;

#[cfg(denali)]
mod dynamic;
#[cfg(denali)]
mod files;
#[cfg(denali)]
mod math;
#[cfg(denali)]
mod panic;
#[cfg(denali)]
mod start;
#[cfg(any(denali_volumes, test))]
mod volumes;
