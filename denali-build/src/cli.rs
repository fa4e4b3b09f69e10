//! The command line.

use crate::commands::{build, new};
use crate::failure::EXIT_STATUSES;
use clap::{Parser, Subcommand};

/// Makes, builds and deploys Denali services.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-denali",
    bin_name = "cargo denali",
    version,
    after_long_help = EXIT_STATUSES,
    after_help = "Exit statuses: see --help. First steps: cargo denali new hello",
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// One variant for each file in `commands`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a new project from a template
    New(new::Args),
    /// Build the project in this folder into an image and a package
    Build(build::Args),
}
