//! `cargo denali rollback`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use crate::deployment;
use crate::ports::Ports;
use anyhow::Result;

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// Number of the release; default: the one that ran before
    number: Option<u32>,
    /// Print the service as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Runs an earlier release again, as a new one, and forwards its ports.
///
/// # Errors
///
/// There is no such release, the host refuses, or it cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let target = args.host.target()?;
    let client = Client::connect(&target)?;
    let before = client.service(&args.name)?;
    let service = client.rollback(&args.name, args.number)?;
    let service = deployment::with_address(&client, service)?;
    if let Some(running) = target.running() {
        let mut ports = Ports::of(running)?;
        ports.hand_over(&before.publish, &service)?;
    }
    console::status("Runs", &format!("{} {}", args.name, service.version));
    if args.json {
        console::json(&service)?;
    }
    Ok(())
}
