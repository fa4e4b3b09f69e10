//! Everything that boots a machine.
//!
//! The end-to-end tests drive the real `cargo-denali`, as a user would, in folders of their own.
//!
//! | module      | what it is for                                                       |
//! |-------------|----------------------------------------------------------------------|
//! | [`cli`]     | the `cargo-denali` program: run, time out, interrupt                  |
//! | [`home`]    | a user's keys, caches and running hosts, in a folder that goes away   |
//! | [`host`]    | a local host under QEMU                                               |
//! | [`machine`] | other machines under QEMU: boards, processors, boot loaders           |
//! | [`project`] | projects made from templates                                          |
//! | [`guest`]   | the guests of `guests/`, each made a project with its own manifest    |
//! | [`containment`] | attacks on a running host, and what must hold after each   |
//! | [`external`] | programs this project did not write                                 |
//! | [`game_load`] | players of the example game server, and how evenly they are served |
//! | [`http`]    | a plain HTTP client that sees every byte                              |
//! | [`suite`]   | test binaries whose facts share one host                              |
//! | [`wait`]    | bounded waiting                                                       |

pub mod cli;
pub mod containment;
pub mod external;
pub mod game_load;
pub mod guest;
pub mod home;
pub mod host;
pub mod http;
pub mod machine;
pub mod project;
pub mod suite;
pub mod wait;
