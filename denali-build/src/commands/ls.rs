//! `cargo denali ls`

use crate::client::Client;
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
    /// Print the services as JSON
    #[arg(long)]
    json: bool,
}

/// Which host, for every verb that talks to one.
#[derive(Debug, clap::Args)]
pub struct HostOption {
    /// Host to talk to; default: the local host
    #[arg(long, value_name = "HOST:PORT")]
    host: Option<String>,
}

impl HostOption {
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
    let services = Client::connect(&args.host.target()?)?.services()?;
    if args.json {
        console::json(&services)
    } else {
        print(&services, args.wide)
    }
}

fn print(services: &[Service], wide: bool) -> Result<()> {
    let columns = |service: Option<&Service>| match service {
        _ if !wide => String::new(),
        None => limit_columns("WEIGHT", "CAP", "PACKETS", "BYTES"),
        Some(Service { limits, .. }) => limit_columns(
            &limits.cpu_weight.to_string(),
            &limits.cap_text(),
            &limits.packets_text(),
            &limits.bytes_text(),
        ),
    };
    console::line(&format!(
        "{:<20} {:<8} {:<15} {:>10} {:>10} {:>10} {:>9} {:>9}  {}{:<16} {}",
        "NAME",
        "STATE",
        "ADDRESS",
        "RESIDENT",
        "SWAPPED",
        "MEMORY",
        "CPU",
        "AGE",
        columns(None),
        "PORTS",
        "REASON"
    ))?;
    for service in services {
        console::line(&format!(
            "{:<20} {:<8} {:<15} {:>10} {:>10} {:>10} {:>9} {:>9}  {}{:<16} {}",
            service.name,
            state(service.state),
            service.address.as_deref().unwrap_or("-"),
            console::size(service.resident),
            console::size(service.swapped),
            console::size(service.memory),
            console::seconds(Duration::from_nanos(service.cpu_ns)),
            console::seconds(Duration::from_nanos(service.age_ns)),
            columns(Some(service)),
            ports(&service.publish),
            service.reason.as_deref().unwrap_or("-")
        ))?;
    }
    Ok(())
}

fn limit_columns(weight: &str, cap: &str, packets: &str, bytes: &str) -> String {
    format!("{weight:>6} {cap:>5} {packets:>9} {bytes:>9}  ")
}

const fn state(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Running => "running",
        ServiceState::Idle => "idle",
        ServiceState::Dormant => "dormant",
        ServiceState::Stopped => "stopped",
        ServiceState::Exited => "exited",
        ServiceState::Crashed => "crashed",
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
