//! The supervisor's command language: a small shell, with every bound named.
//!
//! | module       | what it does                                                       |
//! |--------------|--------------------------------------------------------------------|
//! | [`script`]   | what a script is once it is read: lists, pipelines, commands, words |
//! | `lexer`      | text to words and operators                                        |
//! | [`parser`]   | words and operators to a [`script::List`]                           |
//! | [`interpreter`] | runs it on a [`Host`](interpreter::Host), which knows the commands |
//! | `expand`     | variables, substitutions and patterns in words                      |
//! | [`sink`]     | where output goes: to the terminal, through filters, into a variable |
//! | [`filter`]   | `grep`, `head`, `count` and `sort`                                  |
//! | [`editor`]   | one line as it is typed: keys to text, history and completion       |
//!
//! Nothing here reads a clock, blocks, or knows a service: whatever a script does, it does through
//! the host. No text makes it panic, run without end or take memory beyond [`limits`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod editor;
mod expand;
pub mod filter;
pub mod interpreter;
mod lexer;
pub mod limits;
pub mod parser;
pub mod script;
pub mod sink;

pub use expand::matches;
