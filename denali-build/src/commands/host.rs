//! `cargo denali host`: hosts on this machine, and disks that boot as one.

use super::ls::HostOption;
use crate::client::Client;
use crate::failure::{Failure, Status};
use crate::host::boot::NetworkSettings;
use crate::host::{self, DEFAULT_NAME, Data, Options, Target, iso, keys::Keys, state};
use crate::qemu::Internet;
use crate::{console, manifest};
use anyhow::Result;
use clap::Subcommand;
use denali_protocol::Host;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The least memory of a host in bytes.
const MEMORY_MIN: u64 = 64 << 20;

/// Sizes of a disk in bytes.
const DISK_SIZES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 44;

/// Arguments of `host`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a host under QEMU in the background; it is an error (1) if it is up already
    Up(Up),
    /// End a host and everything on it
    Down(Down),
    /// Erase everything a host that is down has kept: services, secrets, volumes
    Erase(Erase),
    /// Show the hosts that run on this machine
    Status(StatusArgs),
    /// Show memory, swap, network and paging of a host
    Stats(StatsArgs),
    /// Make an ISO image that boots as a host (BIOS and UEFI)
    Image(Image),
}

/// Arguments of `host up`.
#[derive(Debug, clap::Args)]
struct Up {
    /// Name of the host
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
    /// Its memory
    #[arg(long, default_value = "256M", value_parser = host_memory)]
    memory: u64,
    /// Port on 127.0.0.1 for the supervisor; default: a free one
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Port on 127.0.0.1 for metrics as Prometheus reads them, at /metrics; default: over SSH only
    #[arg(long, value_name = "PORT", conflicts_with = "ethernet",
          value_parser = clap::value_parser!(u16).range(1..))]
    metrics: Option<u16>,
    /// A disk of that size, a sparse file that goes with the host; may be repeated
    #[arg(long = "disk", value_name = "SIZE", value_parser = disk_size)]
    disks: Vec<u64>,
    /// Keep deployed services and volumes on a disk of that size, a sparse file that outlives the
    /// host; later hosts of that name have it unasked
    #[arg(long, value_name = "SIZE", value_parser = data_size)]
    data: Option<u64>,
    /// Let services reach what this machine reaches
    #[arg(long)]
    internet: bool,
    /// Have room for so many services, each of which takes 1 KiB of memory; default: 32 for each MiB
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=131_071))]
    services: Option<u32>,
    /// Its Ethernet: frames are datagrams of the Unix sockets `host` and `peer` in this folder. Who is
    /// at the other end leads --port to port 22 of 10.90.0.15
    #[arg(
        long,
        value_name = "FOLDER",
        requires = "port",
        conflicts_with = "internet"
    )]
    ethernet: Option<PathBuf>,
    /// A word for the kernel's command line, for example `replacement=clock`; may be repeated
    #[arg(long = "kernel", value_name = "WORD", value_parser = kernel_word)]
    words: Vec<String>,
}

/// Arguments of `host erase`.
#[derive(Debug, clap::Args)]
struct Erase {
    /// Name of the host
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
}

/// Arguments of `host down`.
#[derive(Debug, clap::Args)]
struct Down {
    /// Name of the host
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
}

/// Arguments of `host status`.
#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `host stats`.
#[derive(Debug, clap::Args)]
struct StatsArgs {
    #[command(flatten)]
    host: HostOption,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `host image`.
#[derive(Debug, clap::Args)]
struct Image {
    /// File to write
    #[arg(long, value_name = "FILE")]
    iso: PathBuf,
    /// Name of the host
    #[arg(long, default_value = "denali")]
    name: String,
    /// The supervisor's address, for example 192.0.2.7/24; default: by DHCP
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    address: Option<String>,
    /// Router, with --address
    #[arg(long, requires = "address")]
    gateway: Option<String>,
    /// Name server, with --address
    #[arg(long, requires = "address")]
    dns: Option<String>,
    /// First address for services, with --address; default: they use DHCP
    #[arg(long, requires = "address")]
    pool: Option<String>,
}

/// Does what the command line says.
///
/// # Errors
///
/// Those of the verb.
pub fn exec(args: Args) -> Result<()> {
    match args.verb {
        Verb::Up(args) => up(args),
        Verb::Down(args) => down(&args),
        Verb::Erase(args) => erase(&args),
        Verb::Status(args) => status(&args),
        Verb::Stats(args) => stats(&args),
        Verb::Image(args) => image(args),
    }
}

fn host_memory(text: &str) -> Result<u64, String> {
    match manifest::parse_memory(text) {
        Some(bytes) if bytes >= MEMORY_MIN => Ok(bytes),
        Some(_) => Err("a host needs at least 64M".to_owned()),
        None => Err("write for example 256M".to_owned()),
    }
}

/// Reads the size of a disk.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn disk_size(text: &str) -> Result<u64, String> {
    match manifest::parse_memory(text) {
        Some(bytes) if DISK_SIZES.contains(&bytes) => Ok(bytes),
        Some(_) => Err("a disk has from 1M to 16384G".to_owned()),
        None => Err("write for example 2G".to_owned()),
    }
}

/// Reads the size of a data disk.
fn data_size(text: &str) -> Result<u64, String> {
    match manifest::parse_memory(text) {
        Some(bytes) if (host::data::SIZE_MIN..=*DISK_SIZES.end()).contains(&bytes) => Ok(bytes),
        Some(_) => Err("a data disk has from 64M to 16384G".to_owned()),
        None => Err("write for example 2G".to_owned()),
    }
}

fn erase(args: &Erase) -> Result<()> {
    if state::find(&args.name)?.is_some() {
        return Err(
            Failure::new(Status::Refused, format!("the host `{}` is up", args.name))
                .help(format!(
                    "end it first: cargo denali host down --name {}",
                    args.name
                ))
                .into(),
        );
    }
    if host::data::erase(&args.name)? {
        console::status("Erased", &format!("what the host `{}` had kept", args.name));
        return Ok(());
    }
    Err(Failure::new(
        Status::Failed,
        format!("the host `{}` has kept nothing", args.name),
    )
    .into())
}

fn kernel_word(text: &str) -> Result<String, String> {
    let fits = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.contains('=');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("write for example replacement=clock".to_owned())
    }
}

fn up(args: Up) -> Result<()> {
    let started = Instant::now();
    let internet = if args.internet {
        Internet::Open
    } else {
        Internet::Closed
    };
    let services = args.services.map(|number| format!("vms={number}"));
    let words: Vec<String> = args.words.into_iter().chain(services).collect();
    let options = Options {
        name: args.name,
        memory: args.memory,
        port: args.port,
        disks: args.disks,
        data: args.data.map_or(Data::AsBefore, Data::Disk),
        internet,
        ethernet: args.ethernet,
        command_line: words.join(" "),
        metrics: args.metrics,
    };
    let running = host::up(&options)?;
    let time = console::seconds(started.elapsed());
    console::status("Started", &format!("host `{}` in {time}", options.name));
    console::line(&running.address())?;
    console::note(&format!(
        "        next: cargo denali deploy {}",
        running.address()
    ));
    Ok(())
}

fn down(args: &Down) -> Result<()> {
    let Some(running) = state::find(&args.name)? else {
        return Err(
            Failure::new(Status::Failed, format!("no host `{}` is up", args.name))
                .help("list those that are: cargo denali host status")
                .into(),
        );
    };
    host::down(&running)?;
    console::status("Ended", &format!("host `{}`", args.name));
    Ok(())
}

/// One host as JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    name: String,
    address: String,
    pid: u32,
    memory: u64,
    serial_log: PathBuf,
    /// What its supervisor says, if it answers.
    host: Option<Host>,
}

fn stats(args: &StatsArgs) -> Result<()> {
    let client = Client::connect(&args.host.target()?)?;
    if args.json {
        return console::json(&client.host()?);
    }
    console::line(client.host_text()?.trim_end())
}

fn status(args: &StatusArgs) -> Result<()> {
    let mut reports = Vec::new();
    for running in state::all()? {
        let target = Target::local(running.clone(), Keys::load()?)?;
        reports.push(Report {
            name: running.state.name.clone(),
            address: running.address(),
            pid: running.state.pid,
            memory: running.state.memory,
            serial_log: running.serial_log(),
            host: Client::connect(&target)
                .and_then(|client| client.host())
                .ok(),
        });
    }
    if args.json {
        return console::json(&reports);
    }
    if reports.is_empty() {
        console::note("no host is up\n  help: start one: cargo denali host up");
    }
    for report in &reports {
        console::line(&describe(report))?;
    }
    Ok(())
}

fn describe(report: &Report) -> String {
    let name = format!("{:<12} {:<21}", report.name, report.address);
    let Some(host) = &report.host else {
        return format!(
            "{name} does not answer; its log: {}",
            report.serial_log.display()
        );
    };
    format!(
        "{name} {} VMs, {} of {} available, up {}",
        host.vms,
        console::size(host.memory_available),
        console::size(host.memory_total),
        console::seconds(Duration::from_nanos(host.uptime_ns))
    )
}

fn image(args: Image) -> Result<()> {
    let settings = NetworkSettings {
        address: args.address,
        gateway: args.gateway,
        dns: args.dns,
        pool: args.pool,
    };
    iso::write(&args.iso, &args.name, settings)?;
    console::status(
        "Written",
        &format!("{} (it holds secret keys)", args.iso.display()),
    );
    Ok(())
}
