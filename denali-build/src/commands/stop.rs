//! `cargo denali stop`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use crate::ports::Ports;
use anyhow::Result;
use std::time::Duration;

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// How long the service may take to end by itself; 0 ends it at once
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    deadline: u64,
    /// Print the service as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Stops a service, and drops the forwards of its ports.
///
/// # Errors
///
/// There is no such service, or the host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let target = args.host.target()?;
    let client = Client::connect(&target)?;
    let service = client.service(&args.name)?;
    client.stop(&args.name, Duration::from_secs(args.deadline))?;
    if let Some(running) = target.running() {
        Ports::of(running)?.withdraw(&service.publish)?;
    }
    console::status("Stopped", &args.name);
    if args.json {
        console::json(&client.service(&args.name)?)?;
    }
    Ok(())
}
