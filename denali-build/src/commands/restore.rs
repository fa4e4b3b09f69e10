//! `cargo denali restore`

use super::ls::HostOption;
use crate::client::{Client, Selection};
use crate::console;
use crate::deployment;
use crate::ports::Ports;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::PathBuf;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// The checkpoint; NAME.checkpoint unless given
    file: Option<PathBuf>,
    /// Print the service as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Lets a service go on from a checkpoint, and forwards its ports.
///
/// # Errors
///
/// The file is not what the host wrote, the service runs, a port is taken meanwhile, or there is no
/// room.
pub fn exec(args: &Args) -> Result<()> {
    let default = PathBuf::from(format!("{}.checkpoint", args.name));
    let file = args.file.as_ref().unwrap_or(&default);
    let bytes = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let target = args.host.target()?;
    let client = Client::connect(&target)?;
    let service = client.restore(&args.name, &bytes)?;
    if let Some(running) = target.running() {
        let mut ports = Ports::of(running)?;
        let others = client.list(&Selection::published())?;
        ports.check(&args.name, &service.publish, &others)?;
        ports.publish(&deployment::with_address(&client, service)?)?;
    }
    console::status("Restored", &args.name);
    if args.json {
        console::json(&client.service(&args.name)?)?;
    }
    Ok(())
}
