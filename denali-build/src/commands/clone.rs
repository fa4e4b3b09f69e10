//! `cargo denali clone`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use anyhow::Result;

/// Arguments of `clone`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// How many clones
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Print how many copies there were and are as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Makes services that go on from where a running one is.
///
/// # Errors
///
/// There is no such service, it does not run, or there is no room.
pub fn exec(args: &Args) -> Result<()> {
    let client = Client::connect(&args.host.target()?)?;
    let scaled = client.clone_service(&args.name, args.count)?;
    let (first, last) = (scaled.before + 1, scaled.copies);
    console::status(
        "Cloned",
        &format!("{0} as {0}-{first} to {0}-{last}", args.name),
    );
    if args.json {
        console::json(&scaled)?;
    }
    Ok(())
}
