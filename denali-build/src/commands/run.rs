//! `cargo denali run`

use super::build::BuildOptions;
use super::deploy;
use crate::client::{Client, Logs};
use crate::console::{self, Steps};
use crate::deployment;
use crate::host::{self, Options, Target, ThrowAway, keys::Keys};
use crate::qemu::Internet;
use anyhow::Result;

/// Memory of a host that one verb needs for itself, in bytes.
const MEMORY: u64 = 256 << 20;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    options: BuildOptions,
    /// Give the host a disk of that size; may be repeated
    #[arg(long = "disk", value_name = "SIZE", value_parser = super::host::disk_size)]
    disks: Vec<u64>,
    /// Let the service reach what this machine reaches
    #[arg(long)]
    internet: bool,
}

/// Builds the project, runs it on a host of its own and follows its log until Ctrl-C or its end.
///
/// # Errors
///
/// As [`deploy::exec`] and [`host::up`]; Ctrl-C is [`crate::failure::Status::Interrupted`].
pub fn exec(args: &Args) -> Result<()> {
    let mut steps = Steps::new();
    let built = deploy::build(&mut steps, &args.options)?;
    let internet = if args.internet {
        Internet::Open
    } else {
        Internet::Closed
    };
    let (host, target) = boot(&mut steps, "run", internet, &args.disks)?;
    let deployed = deployment::deploy(&target, &built, &mut steps)?;
    if let Some(url) = &deployed.url {
        console::note(&format!("  {url}  the log follows, Ctrl-C ends it all"));
    }
    let client = Client::connect(&target)?;
    client.logs(&deployed.service.name, Logs::Follow, console::line)?;
    deployment::check_alive(&client, &client.service(&deployed.service.name)?)?;
    host.end()
}

/// Starts a host of its own for one verb, as a step.
///
/// # Errors
///
/// As [`host::up`].
pub fn boot(
    steps: &mut Steps,
    verb: &str,
    internet: Internet,
    disks: &[u64],
) -> Result<(ThrowAway, Target)> {
    steps.take("host", || {
        let name = format!("{verb}-{}", std::process::id());
        let options = Options {
            ethernet: None,
            command_line: String::new(),
            metrics: None,
            name: name.clone(),
            memory: MEMORY,
            port: None,
            disks: disks.to_vec(),
            data: host::Data::None,
            internet,
        };
        let running = host::up(&options)?;
        let words = format!("{name} at {}", running.address());
        let guard = ThrowAway::new(running.clone());
        Ok(((guard, Target::local(running, Keys::load()?)?), words))
    })
}
