//! `cargo denali logs`

use super::ls::HostOption;
use crate::client::{Client, Logs};
use crate::console;
use anyhow::Result;
use serde::Serialize;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Print each line as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

#[derive(Serialize)]
struct Line<'a> {
    service: &'a str,
    line: &'a str,
}

/// Shows what a service wrote.
///
/// # Errors
///
/// There is no such service, or the host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let client = Client::connect(&args.host.target()?)?;
    let logs = if args.follow {
        Logs::Follow
    } else {
        Logs::Present
    };
    client.logs(&args.name, logs, |line| {
        if args.json {
            console::line(&serde_json::to_string(&Line {
                service: &args.name,
                line,
            })?)
        } else {
            console::line(line)
        }
    })
}
