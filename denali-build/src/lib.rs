//! `cargo denali`: makes, builds and deploys Denali services, and runs hosts on this machine.
//!
//! | module        | what it does                                                    |
//! |---------------|-----------------------------------------------------------------|
//! | [`cli`]       | the command line; [`commands`] has one file for each verb        |
//! | [`template`]  | new projects, from the sources in `sdk`                          |
//! | [`service`]   | a project becomes a package: [`cargo`], `link`, `elf`, [`image`], [`package`] |
//! | [`manifest`]  | `[package.metadata.denali]`                                     |
//! | [`host`]      | hosts on this machine under [`qemu`]: keys, boot module, state   |
//! | [`client`]    | a host's supervisor, spoken to over [`ssh`]                      |
//! | [`ports`]     | published ports of a local host, over [`qmp`]                    |
//! | [`failure`]   | errors with exit status and hint                                |

mod backtrace;
pub mod cargo;
pub mod cli;
pub mod client;
pub mod commands;
pub mod console;
pub mod deployment;
mod diagnosis;
mod directories;
mod elf;
pub mod failure;
pub mod free_port;
pub mod host;
pub mod image;
mod include;
mod install;
pub mod interrupt;
mod link;
pub mod manifest;
pub mod package;
pub mod ports;
pub mod qemu;
pub mod qmp;
mod sdk;
pub mod service;
pub mod ssh;
mod syscalls;
pub mod template;
pub mod testing;
