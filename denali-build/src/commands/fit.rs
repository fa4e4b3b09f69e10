//! `cargo denali fit`

use crate::client::Client;
use crate::console;
use crate::failure::{Failure, Status};
use crate::host::Target;
use anyhow::{Context, Result};
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;
use std::fs;
use std::path::PathBuf;
use zerocopy::FromBytes;

/// Arguments of `fit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An image that `cargo denali build` made
    image: PathBuf,
    /// Host to ask; default: the local host
    #[arg(value_name = "HOST:PORT")]
    host: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Prints how many more VMs of an image fit on a host, and what binds.
///
/// # Errors
///
/// The file is no image, or the host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let path = args.image.display();
    let bytes = fs::read(&args.image).with_context(|| format!("reading `{path}`"))?;
    let header = ImageHeader::read_from_prefix(&bytes)
        .ok()
        .map(|(header, _)| header)
        .filter(|header| header.validate().is_ok())
        .ok_or_else(|| {
            Failure::new(Status::Usage, format!("`{path}` is no Denali image"))
                .help("make one: cargo denali build")
        })?;
    let client = Client::connect(&Target::resolve(args.host.as_deref())?)?;
    let memory = u64::from(header.memory_pages) * PAGE_SIZE;
    let fit = client.fit(memory, header.content_pages() * PAGE_SIZE)?;
    if args.json {
        return console::json(&fit);
    }
    console::line(&format!(
        "{} more VMs of {} each fit: {} binds",
        fit.vms,
        console::size(memory),
        fit.binds
    ))?;
    for bound in &fit.bounds {
        let vms = match bound.vms {
            u64::MAX => "any number".to_owned(),
            vms => vms.to_string(),
        };
        console::line(&format!("  {:<12} {vms:>10}", bound.what))?;
    }
    Ok(())
}
