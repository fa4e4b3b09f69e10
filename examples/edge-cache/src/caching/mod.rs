//! Caching by the rules of RFC 9111, without sockets and clock.
//!
//! | file            | what                                                        |
//! |-----------------|-------------------------------------------------------------|
//! | `directives.rs` | `Cache-Control`                                             |
//! | `freshness.rs`  | how old a response is, and how old it may get               |
//! | `rules.rs`      | what may be stored, and what may be used for a request      |
//! | `content.rs`    | bodies in memory, and the account that it comes from        |
//! | `store.rs`      | responses by what was asked for, the least used go first    |

mod content;
mod directives;
mod freshness;
mod rules;
mod store;

pub(crate) use content::{Content, Ledger};
pub(crate) use directives::Directives;
pub(crate) use freshness::Moment;
pub(crate) use rules::{Use, judge, may_be_stored, may_serve_after_error};
pub(crate) use store::{Entry, Store, Variant};
