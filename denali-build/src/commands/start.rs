//! `cargo denali start`

use super::ls::HostOption;
use crate::client::{Client, Selection};
use crate::console;
use crate::deployment;
use crate::ports::Ports;
use anyhow::Result;

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// Print the service as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Starts a service again, and forwards its ports.
///
/// # Errors
///
/// There is no such service, a port is taken meanwhile, or the host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let target = args.host.target()?;
    let client = Client::connect(&target)?;
    let service = client.service(&args.name)?;
    let mut ports = target.running().map(Ports::of).transpose()?;
    if let Some(ports) = &mut ports {
        let others = client.list(&Selection::published())?;
        ports.check(&args.name, &service.publish, &others)?;
    }
    client.start(&args.name)?;
    if let Some(ports) = &mut ports {
        ports.publish(&deployment::with_address(
            &client,
            client.service(&args.name)?,
        )?)?;
    }
    console::status("Started", &args.name);
    if args.json {
        console::json(&client.service(&args.name)?)?;
    }
    Ok(())
}
