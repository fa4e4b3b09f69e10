#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod admission;
pub mod commands;
pub mod config;
pub mod deploy;
pub mod health;
pub mod hex;
pub mod keeper;
pub mod kernel;
pub mod keys;
pub mod package;
pub mod pool;
pub mod refusal;
pub mod releases;
pub mod service;
pub mod shared;
pub mod ssh;
pub mod supervisor;
pub mod table;
pub mod terminal;

#[cfg(test)]
mod fixtures;
