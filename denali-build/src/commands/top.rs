//! `cargo denali top`

use super::ls::{HostOption, latency};
use crate::client::{Client, Selection};
use crate::{console, interrupt};
use anyhow::Result;
use denali_protocol::{Host, Service, SortKey};
use serde::Serialize;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    host: HostOption,
    /// By what to put services in order, most first
    #[arg(long, default_value = "cpu", value_parser = sort_key)]
    sort: SortKey,
    /// Show at most so many services
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Look once
    #[arg(long)]
    once: bool,
    /// Look once and print as JSON
    #[arg(long)]
    json: bool,
}

fn sort_key(name: &str) -> Result<SortKey, String> {
    SortKey::from_name(name).ok_or_else(|| {
        let names = SortKey::ALL.map(SortKey::name).join(", ");
        format!("one of: {names}")
    })
}

/// One look at a host.
#[derive(Debug, Serialize)]
struct Look {
    host: Host,
    services: Vec<Service>,
}

/// Shows the host and its first services, again and again until Ctrl-C.
///
/// # Errors
///
/// The host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let client = Client::connect(&args.host.target()?)?;
    let selection = Selection {
        limit: Some(usize::from(args.limit)),
        sort: Some(args.sort),
        ..Selection::default()
    };
    let look = || -> Result<Look> {
        Ok(Look {
            host: client.host()?,
            services: client.list(&selection)?,
        })
    };
    if args.json {
        return console::json(&look()?);
    }
    let is_terminal = std::io::stdout().is_terminal();
    let mut last: Option<(Instant, Look)> = None;
    loop {
        let now = Instant::now();
        let seen = look()?;
        let text = text(&seen, last.as_ref().map(|(then, look)| (now - *then, look)));
        // Home and erase (ECMA-48 CUP, ED), so that a terminal shows one look only.
        let clear = if is_terminal && !args.once {
            "\x1b[H\x1b[2J"
        } else {
            ""
        };
        console::line(&format!("{clear}{text}"))?;
        if args.once {
            return Ok(());
        }
        last = Some((now, seen));
        // Ctrl-C ends the wait, and with it the command.
        interrupt::wait_for(Duration::from_secs(args.every), || Ok(None::<()>))?;
    }
}

/// Returns a look as text; with the one before it, shares of the CPU since.
fn text(look: &Look, before: Option<(Duration, &Look)>) -> String {
    let Look { host, services } = look;
    let paging = &host.paging;
    let [half, most, nearly_all, all] = paging.wake_latency_ns;
    let mut text = format!(
        "up {}, {} of {} VMs, memory {} free of {}, swap {} free of {}\n\
         {} calls, {} left, {} came back, {} faults, {} pages read for them, {} left, {} waits\n\
         from packet to answer of who slept: half in {}, 90 % in {}, 99 % in {}, all in {}\n\n\
         {:<20} {:<8} {:<15} {:>10} {:>10} {:>10} {:>8} {:>6} {:>9} {:>8} {:>9} {:>6}",
        console::seconds(Duration::from_nanos(host.uptime_ns)),
        host.vms,
        host.vms_max,
        console::size(host.memory_free),
        console::size(host.memory_total),
        console::size(paging.swap_available),
        console::size(paging.swap_total),
        paging.wakes,
        paging.departures,
        paging.arrivals,
        paging.faults,
        paging.page_ins,
        paging.page_outs,
        paging.stalls,
        latency(half),
        latency(most),
        latency(nearly_all),
        latency(all),
        "NAME",
        "STATE",
        "ADDRESS",
        "RESIDENT",
        "SWAPPED",
        "SHARED",
        "FAULTS",
        "WAKES",
        "WAKE",
        "FRAMES",
        "CPU",
        "CPU%",
    );
    let (elapsed, then) = before.map_or((Duration::ZERO, HashMap::new()), |(elapsed, look)| {
        let used = look.services.iter().map(|it| (&*it.name, it.cpu_ns));
        (elapsed, used.collect())
    });
    for service in services {
        let share = then.get(&*service.name).map_or_else(
            || "-".to_owned(),
            |before| {
                let used = Duration::from_nanos(service.cpu_ns.saturating_sub(*before));
                let part = used.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
                format!("{:.1}", 100.0 * part)
            },
        );
        text.push_str(&format!(
            "\n{:<20} {:<8} {:<15} {:>10} {:>10} {:>10} {:>8} {:>6} {:>9} {:>8} {:>9} {share:>6}",
            service.name,
            service.state,
            service.address.as_deref().unwrap_or("-"),
            console::size(service.resident),
            console::size(service.swapped),
            console::size(service.shared),
            service.faults,
            service.wakes,
            latency(service.wake_ns),
            service.rx_frames,
            console::seconds(Duration::from_nanos(service.cpu_ns)),
        ));
    }
    text
}
