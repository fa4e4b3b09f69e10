//! The command line.

use crate::commands::{
    build, checkpoint, clone, demo, deploy, doctor, fit, host, limits, logs, ls, new, releases,
    restore, rm, rollback, run, secret, start, stop, test, top,
};
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
    /// Run hosts on this machine, or make a disk that boots as one
    Host(host::Args),
    /// Build the project and run it on a host
    Deploy(deploy::Args),
    /// Look whether this machine, and a host, have what they need
    Doctor(doctor::Args),
    /// List the services of a host
    Ls(ls::Args),
    /// Show a host and its busiest services, again and again
    Top(top::Args),
    /// Show how many more VMs of an image fit on a host, and what binds
    Fit(fit::Args),
    /// Show what a service wrote
    Logs(logs::Args),
    /// Show or change what a service may take of CPU and network
    Limits(limits::Args),
    /// Stop a service
    Stop(stop::Args),
    /// Start a service that was stopped or ended
    Start(start::Args),
    /// Stop a service and remove it from its host
    Rm(rm::Args),
    /// Write the state of a running service to a file
    Checkpoint(checkpoint::Args),
    /// Let a service go on from a checkpoint
    Restore(restore::Args),
    /// Make services that go on from where a running one is
    Clone(clone::Args),
    /// List what was deployed as a service, newest first
    Releases(releases::Args),
    /// Run an earlier release of a service again
    Rollback(rollback::Args),
    /// Keep, list and forget secrets of a service
    Secret(secret::Args),
    /// Build the project and run it on a host of its own until Ctrl-C
    Run(run::Args),
    /// Run the project's tests inside a VM
    Test(test::Args),
    /// Show the whole path: new project, host, deploy, an HTTP request
    Demo(demo::Args),
}
