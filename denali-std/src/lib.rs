#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(denali)]
mod dynamic;
#[cfg(denali)]
mod math;
#[cfg(denali)]
mod start;
#[cfg(denali)]
mod unwind;
