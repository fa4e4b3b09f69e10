//! `cargo denali deploy`

use super::build::BuildOptions;
use crate::client::DeployRequest;
use crate::console::{self, Steps};
use crate::deployment::{self, Deployed};
use crate::host::Target;
use crate::manifest;
use crate::service::{self, Service};
use anyhow::Result;
use denali_abi::convert::usize_to_u64;
use denali_protocol::PublishedPort;

/// Arguments of `deploy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Host to run it on; default: the local host
    #[arg(value_name = "HOST:PORT")]
    host: Option<String>,
    #[command(flatten)]
    options: BuildOptions,
    /// Run it under this name, beside other services of the same program
    #[arg(long)]
    name: Option<String>,
    /// Publish these ports instead of those in the manifest
    #[arg(long, value_name = "HOST:GUEST", value_parser = published_port)]
    publish: Vec<PublishedPort>,
    /// Set a variable of its environment, besides those in the manifest; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Pass an argument, after those in the manifest; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    arg: Vec<String>,
    /// Make so many services of it, NAME-1 and so on, which share its image and publish no port:
    /// each is reached at its own address
    #[arg(long, value_name = "N", conflicts_with = "publish",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    copies: Option<u32>,
    /// Have it begin with the first packet for it: until then it takes no memory
    #[arg(long, conflicts_with = "publish")]
    dormant: bool,
    /// Print the service as JSON
    #[arg(long)]
    json: bool,
}

/// Builds the project, runs it on the host and prints where it answers.
///
/// # Errors
///
/// As [`service::build`] and [`deployment::deploy`].
pub fn exec(args: &Args) -> Result<()> {
    let target = Target::resolve(args.host.as_deref())?;
    let mut steps = Steps::new();
    let mut built = build(&mut steps, &args.options)?;
    built.manifest.environment.extend(args.env.iter().cloned());
    built.manifest.arguments.extend(args.arg.iter().cloned());
    let instance = built.instance(args.name.as_deref(), &args.publish)?;
    if args.copies.is_some() || args.dormant {
        let request = DeployRequest {
            copies: args.copies,
            dormant: args.dormant,
        };
        let last = deployment::deploy_unpublished(&target, &instance, request, &mut steps)?;
        return if args.json {
            console::json(&last)
        } else {
            console::line(last.address.as_deref().unwrap_or("an address from DHCP"))
        };
    }
    let deployed = deployment::deploy(&target, &instance, &mut steps)?;
    if args.json {
        console::json(&deployed.service)
    } else {
        print(&deployed)
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("write for example LEVEL=info")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn published_port(text: &str) -> Result<PublishedPort, String> {
    manifest::parse_port(text).ok_or_else(|| "write for example 8080:80 or 53:53/udp".to_owned())
}

/// Builds the project as a step.
///
/// # Errors
///
/// As [`service::build`].
pub fn build(steps: &mut Steps, options: &BuildOptions) -> Result<Service> {
    steps.take("build", || {
        let built = service::build(&options.request())?;
        let size = console::size(usize_to_u64(built.image.bytes().len()));
        let id = &built.manifest.build_id[..12];
        let words = format!(
            "{} {}, image {size}, id {id}",
            built.manifest.name, built.manifest.version
        );
        Ok((built, words))
    })
}

/// Prints where the service answers and what to type next.
///
/// # Errors
///
/// Standard output is closed.
pub fn print(deployed: &Deployed) -> Result<()> {
    let name = &deployed.service.name;
    match (&deployed.url, &deployed.service.address) {
        (Some(url), _) => console::line(url)?,
        (None, Some(address)) => console::line(address)?,
        (None, None) => {}
    }
    console::note(&format!("  next: cargo denali logs {name} -f"));
    Ok(())
}
