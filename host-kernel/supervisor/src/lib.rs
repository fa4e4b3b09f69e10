#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod access;
pub mod admission;
pub mod checkpoint;
pub mod commands;
pub mod config;
pub mod deploy;
pub mod events;
pub mod fit;
pub mod health;
pub mod hex;
pub mod keeper;
pub mod kernel;
pub mod keys;
pub mod metrics;
pub mod package;
pub mod pool;
pub mod refusal;
pub mod releases;
pub mod script;
pub mod service;
pub mod shared;
pub mod signing;
pub mod ssh;
pub mod supervisor;
pub mod table;
pub mod terminal;
pub mod watch;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod kills_tests;
