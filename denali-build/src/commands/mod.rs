//! One file for each verb: its `Args` and what it does.

pub mod build;
pub mod checkpoint;
pub mod clone;
pub mod demo;
pub mod deploy;
pub mod doctor;
pub mod fit;
pub mod host;
pub mod limits;
pub mod logs;
pub mod ls;
pub mod new;
pub mod releases;
pub mod restore;
pub mod rm;
pub mod rollback;
pub mod run;
pub mod secret;
pub mod start;
pub mod stop;
pub mod test;
pub mod top;

use crate::cli::{Arguments, Verb};
use anyhow::Result;

/// Does what the command line says.
///
/// # Errors
///
/// Those of the verb; [`crate::failure::describe`] turns them into an exit status.
pub fn exec(arguments: Arguments) -> Result<()> {
    match arguments.verb {
        Verb::New(args) => new::exec(&args),
        Verb::Build(args) => build::exec(&args),
        Verb::Host(args) => host::exec(args),
        Verb::Deploy(args) => deploy::exec(&args),
        Verb::Doctor(args) => doctor::exec(&args),
        Verb::Ls(args) => ls::exec(&args),
        Verb::Top(args) => top::exec(&args),
        Verb::Fit(args) => fit::exec(&args),
        Verb::Logs(args) => logs::exec(&args),
        Verb::Limits(args) => limits::exec(&args),
        Verb::Stop(args) => stop::exec(&args),
        Verb::Start(args) => start::exec(&args),
        Verb::Rm(args) => rm::exec(&args),
        Verb::Checkpoint(args) => checkpoint::exec(&args),
        Verb::Restore(args) => restore::exec(&args),
        Verb::Clone(args) => clone::exec(&args),
        Verb::Releases(args) => releases::exec(&args),
        Verb::Rollback(args) => rollback::exec(&args),
        Verb::Secret(args) => secret::exec(&args),
        Verb::Run(args) => run::exec(&args),
        Verb::Test(args) => test::exec(&args),
        Verb::Demo(args) => demo::exec(&args),
    }
}
