//! Everything that boots a machine, and the checks of the source tree.
//!
//! | module    | what it is for                                                       |
//! |-----------|----------------------------------------------------------------------|
//! | [`tidy`]  | checks of the source tree that no compiler makes                      |

pub mod tidy;
