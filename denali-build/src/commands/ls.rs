//! `cargo denali ls`

use crate::client::{Client, Selection};
use crate::console;
use crate::host::Target;
use anyhow::Result;
use denali_protocol::{PublishedPort, Service, ServiceState, Transport};
use std::time::Duration;

/// Arguments of `ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    host: HostOption,
    /// Show what each service may take of CPU and network, too
    #[arg(long)]
    wide: bool,
    /// Show at most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Show those in this state
    #[arg(long, value_parser = ServiceState::ALL.map(ServiceState::name))]
    state: Option<String>,
    /// Show those whose names begin so
    #[arg(long, value_name = "TEXT", value_parser = name_part)]
    prefix: Option<String>,
    /// Print the services as JSON
    #[arg(long)]
    json: bool,
}

/// Reads the beginning of a name.
fn name_part(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("no name begins so".to_owned())
    }
}

/// Which host, for every verb that talks to one.
#[derive(Debug, clap::Args)]
pub struct HostOption {
    /// Host to talk to; default: the local host
    #[arg(long, value_name = "HOST:PORT")]
    host: Option<String>,
}

impl HostOption {
    /// Returns whether a host is named.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.host.is_some()
    }

    /// Finds the host.
    ///
    /// # Errors
    ///
    /// As [`Target::resolve`].
    pub fn target(&self) -> Result<Target> {
        Target::resolve(self.host.as_deref())
    }
}

/// Lists the services.
///
/// # Errors
///
/// The host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let client = Client::connect(&args.host.target()?)?;
    let selection = Selection {
        limit: args.limit,
        state: args.state.clone(),
        prefix: args.prefix.clone(),
        ..Selection::default()
    };
    if args.json {
        return print_json(&client, &selection);
    }
    console::line(&heading(args.wide))?;
    client.pages(&selection, |services| {
        for service in services {
            console::line(&row(service, args.wide))?;
        }
        Ok(())
    })
}

/// Prints one JSON array, a service at a time.
fn print_json(client: &Client, selection: &Selection) -> Result<()> {
    let mut separator = "[";
    client.pages(selection, |services| {
        for service in services {
            console::line(separator)?;
            separator = ",";
            console::json(service)?;
        }
        Ok(())
    })?;
    console::line(if separator == "[" { "[]" } else { "]" })
}

fn heading(wide: bool) -> String {
    let columns = if wide {
        limit_columns("WEIGHT", "CAP", "PACKETS", "BYTES")
    } else {
        String::new()
    };
    format!(
        "{:<20} {:<8} {:<15} {:>10} {:>10} {:>10} {:>10} {:>8} {:>6} {:>9} {:>9} {:>9}  {columns}{:<16} {}",
        "NAME",
        "STATE",
        "ADDRESS",
        "RESIDENT",
        "SWAPPED",
        "SHARED",
        "MEMORY",
        "FAULTS",
        "WAKES",
        "WAKE",
        "CPU",
        "AGE",
        "PORTS",
        "REASON"
    )
}

fn row(service: &Service, wide: bool) -> String {
    let Service { limits, .. } = service;
    let columns = if wide {
        limit_columns(
            &limits.cpu_weight.to_string(),
            &limits.cap_text(),
            &limits.packets_text(),
            &limits.bytes_text(),
        )
    } else {
        String::new()
    };
    format!(
        "{:<20} {:<8} {:<15} {:>10} {:>10} {:>10} {:>10} {:>8} {:>6} {:>9} {:>9} {:>9}  {columns}{:<16} {}",
        service.name,
        service.state,
        service.address.as_deref().unwrap_or("-"),
        console::size(service.resident),
        console::size(service.swapped),
        console::size(service.shared),
        console::size(service.memory),
        service.faults,
        service.wakes,
        latency(service.wake_ns),
        console::seconds(Duration::from_nanos(service.cpu_ns)),
        console::seconds(Duration::from_nanos(service.age_ns)),
        ports(&service.publish),
        service.reason.as_deref().unwrap_or("-")
    )
}

fn limit_columns(weight: &str, cap: &str, packets: &str, bytes: &str) -> String {
    format!("{weight:>6} {cap:>5} {packets:>9} {bytes:>9}  ")
}

/// Returns a latency in the unit in which it is a short number.
pub(super) fn latency(ns: u64) -> String {
    match ns {
        0 => "-".to_owned(),
        1..10_000_000 => format!("{} us", ns / 1000),
        10_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

fn ports(publish: &[PublishedPort]) -> String {
    let text = |port: &PublishedPort| {
        let protocol = match port.protocol {
            Transport::Tcp => "",
            Transport::Udp => "/udp",
        };
        format!("{}:{}{protocol}", port.host, port.guest)
    };
    if publish.is_empty() {
        return "-".to_owned();
    }
    publish.iter().map(text).collect::<Vec<_>>().join(",")
}
