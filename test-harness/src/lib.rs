//! Everything that boots a machine.
//!
//! The end-to-end tests drive the real `cargo-denali`, as a user would, in folders of their own.
//!
//! | module      | what it is for                                                       |
//! |-------------|----------------------------------------------------------------------|
//! | [`bulk`]    | bulk streams of which every byte is compared                         |
//! | [`calls`]   | what each hypercall costs                                            |
//! | [`cli`]     | the `cargo-denali` program: run, time out, interrupt                  |
//! | [`home`]    | a user's keys, caches and running hosts, in a folder that goes away   |
//! | [`host`]    | a local host under QEMU                                               |
//! | [`machine`] | other machines under QEMU: boards, processors, boot loaders           |
//! | [`project`] | projects made from templates                                          |
//! | [`guest`]   | the guests of `guests/`, each made a project with its own manifest    |
//! | [`counter`] | what a machine executes, counted by QEMU                             |
//! | [`containment`] | attacks on a running host, and what must hold after each   |
//! | [`lives`]   | lives of VMs by the thousand                                          |
//! | [`evaluation`] | where benches leave charts and data                               |
//! | [`external`] | programs this project did not write                                 |
//! | [`figures`] | what services cost in memory and instructions                        |
//! | [`game_load`] | players of the example game server, and how evenly they are served |
//! | [`http`]    | a plain HTTP client that sees every byte                              |
//! | [`gdb`]     | QEMU's debugger stub                                                  |
//! | [`load`]      | requests to very many services, many at once                          |
//! | [`scale`]     | very many services on one host, in figures                            |
//! | [`requests`] | instructions an HTTP request takes                                   |
//! | [`sabotage`] | kernels that lack one protection each                                |
//! | [`soak`]    | many requests, and the memory they leave behind                       |
//! | [`suite`]   | test binaries whose facts share one host                              |
//! | [`wait`]    | bounded waiting                                                       |
//! | [`wire`]    | a namespace with Linux's stack, joined to a host through faults       |

pub mod bulk;
pub mod calls;
pub mod cli;
pub mod containment;
pub mod counter;
pub mod evaluation;
pub mod external;
pub mod figures;
pub mod game_load;
pub mod gdb;
pub mod guest;
pub mod home;
pub mod host;
pub mod http;
pub mod linux;
pub mod lives;
pub mod load;
pub mod machine;
pub mod project;
pub mod requests;
pub mod sabotage;
pub mod scale;
pub mod soak;
pub mod suite;
pub mod wait;
pub mod wire;
