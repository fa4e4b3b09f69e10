//! `cargo denali checkpoint`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::PathBuf;

/// Arguments of `checkpoint`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// The file to write; NAME.checkpoint unless given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    host: HostOption,
}

/// Writes the state of a running service to a file that its host can restore.
///
/// # Errors
///
/// There is no such service, it does not run, or the host or the file cannot be reached.
pub fn exec(args: &Args) -> Result<()> {
    let client = Client::connect(&args.host.target()?)?;
    let bytes = client.checkpoint(&args.name)?;
    let default = PathBuf::from(format!("{}.checkpoint", args.name));
    let file = args.output.as_ref().unwrap_or(&default);
    fs::write(file, &bytes).with_context(|| format!("cannot write `{}`", file.display()))?;
    let kib = bytes.len().div_ceil(1024);
    console::status(
        "Checkpointed",
        &format!("{} to {} ({kib} KiB)", args.name, file.display()),
    );
    Ok(())
}
