//! `cargo denali rm`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use crate::ports::Ports;
use anyhow::Result;
use denali_protocol::Removed;

/// Arguments of `rm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// Print the name of what is gone as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Stops a service and removes it, and drops the forwards of its ports.
///
/// # Errors
///
/// There is no such service, or the host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let target = args.host.target()?;
    let client = Client::connect(&target)?;
    let service = client.service(&args.name)?;
    client.remove(&args.name)?;
    if let Some(running) = target.running() {
        Ports::of(running)?.withdraw(&service.publish)?;
    }
    console::status("Removed", &args.name);
    if args.json {
        console::json(&Removed {
            name: args.name.clone(),
        })?;
    }
    Ok(())
}
