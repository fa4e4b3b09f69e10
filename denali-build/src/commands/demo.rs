//! `cargo denali demo`: everything a newcomer does, at once.

use super::build::BuildOptions;
use super::{deploy, run};
use crate::console::{self, Steps};
use crate::deployment;
use crate::failure::{Failure, Status};
use crate::free_port::free_port;
use crate::host;
use crate::qemu::Internet;
use crate::{install, manifest, template};
use anyhow::{Context, Result};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// The template that is shown, and the name of its project.
const TEMPLATE: &str = "web-server";

/// Lines of the page that are shown.
const PAGE_LINES: usize = 8;

/// How long the page may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the host up, and the project where it was made
    #[arg(long)]
    keep: bool,
}

/// Shows the whole path, and leaves nothing running.
///
/// # Errors
///
/// Any step fails.
pub fn exec(args: &Args) -> Result<()> {
    let mut steps = Steps::new();
    steps.take("tools", || {
        install::ensure(&[install::QEMU])?;
        Ok(((), "QEMU is there".to_owned()))
    })?;
    let folder = tempfile::Builder::new()
        .prefix("denali-demo-")
        .tempdir()
        .context("making a temporary folder")?;
    let project = steps.take("new", || {
        let project = template::instantiate(TEMPLATE, TEMPLATE, folder.path())?;
        choose_port(&project.join("Cargo.toml"))?;
        let words = project.display().to_string();
        Ok((project, words))
    })?;
    let built = deploy::build(
        &mut steps,
        &BuildOptions::for_manifest(&project.join("Cargo.toml")),
    )?;
    let (host, target) = run::boot(&mut steps, "demo", Internet::Closed, &[])?;
    let deployed = deployment::deploy(&target, &built, &mut steps)?;
    let url = deployed.url.context("the template publishes no port")?;
    let page = steps.take("fetch", || {
        let page = fetch(&url)?;
        let words = format!("GET {url}: {} bytes", page.len());
        Ok((page, words))
    })?;
    for line in page.lines().take(PAGE_LINES) {
        console::line(&format!("    {line}"))?;
    }
    if args.keep {
        keep(host, folder, &project, &target);
    } else {
        host.end()?;
        console::note("  next: cargo denali new hello --template web-server");
    }
    Ok(())
}

fn keep(host: host::ThrowAway, folder: tempfile::TempDir, project: &Path, target: &host::Target) {
    host.keep();
    let _kept = folder.keep();
    let name = target
        .running()
        .map_or("", |running| running.state.name.as_str());
    console::note(&format!("  the project: {}", project.display()));
    console::note(&format!("  next: cargo denali ls --host {name}"));
    console::note(&format!(
        "  at the end: cargo denali host down --name {name}"
    ));
}

/// Publishes a free port where the template's own is taken on this machine.
fn choose_port(manifest_path: &Path) -> Result<()> {
    let settings = manifest::read(manifest_path)?;
    for port in &settings.publish {
        if TcpListener::bind(("127.0.0.1", port.host)).is_err() {
            let free = free_port()?;
            let text = fs::read_to_string(manifest_path).context("reading the manifest")?;
            let published = |host: u16| format!("\"{host}:{}\"", port.guest);
            fs::write(
                manifest_path,
                text.replace(&published(port.host), &published(free)),
            )
            .context("writing the manifest")?;
        }
    }
    Ok(())
}

/// Fetches a page by HTTP.
fn fetch(url: &str) -> Result<String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .build();
    let answer = ureq::Agent::new_with_config(config).get(url).call();
    let wrong = |error: ureq::Error| {
        Failure::new(Status::Failed, format!("GET {url}: {error}"))
            .help("see what the service says: cargo denali demo --keep")
    };
    Ok(answer
        .map_err(wrong)?
        .body_mut()
        .read_to_string()
        .map_err(wrong)?)
}
