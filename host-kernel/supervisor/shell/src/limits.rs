//! What a script may take.

/// Longest script in bytes.
pub const SCRIPT_LEN_MAX: usize = 16 * 1024;

/// How deep lists may lie within lists.
pub const DEPTH_MAX: usize = 16;

/// Commands and rounds of loops that one script may run.
pub const STEPS_MAX: u32 = 10_000;

/// Variables there may be.
pub const VARIABLES_MAX: usize = 64;

/// Longest value of a variable, and longest output that is substituted, in bytes.
pub const VALUE_LEN_MAX: usize = 16 * 1024;

/// Words that one command, or the list of a loop, may have.
pub const WORDS_MAX: usize = 1024;

/// Bytes that the words of one command may have together.
pub const WORDS_LEN_MAX: usize = 32 * 1024;

/// Longest line that `grep` looks at whole, in bytes; what is longer is looked at in pieces.
pub const LINE_LEN_MAX: usize = 8 * 1024;

/// Bytes that `sort` holds.
pub const SORT_LEN_MAX: usize = 256 * 1024;

/// Filters in one pipeline.
pub const FILTERS_MAX: usize = 8;
