//! Metrics of the host and of each service as Prometheus reads them (text format 0.0.4), over SSH
//! and, on a host that is told so, over HTTP at the supervisor's own address.
//!
//! However many services there are, they are looked at and sent a page at a time.

pub mod http;

use crate::shared::Shared;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write as _;
use denali_protocol::Service;

/// Services looked at before others get their turn.
const PAGE_SERVICES: usize = 64;

/// Takes text, and gives others their turn in between.
pub type Writer<'w, E> = dyn FnMut(&str) -> Result<(), E> + 'w;

/// What is told of each service.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// The samples of a service: what stands between the braces beside its name, and the value.
    samples: fn(&Service, &mut Samples<'_>),
}

/// Takes the samples of one service.
struct Samples<'s> {
    name: &'static str,
    service: &'s str,
    text: &'s mut String,
}

impl Samples<'_> {
    fn add(&mut self, labels: &str, value: impl core::fmt::Display) {
        let Self {
            name,
            service,
            text,
        } = self;
        // A string takes everything.
        let _ = writeln!(text, "{name}{{service=\"{service}\"{labels}}} {value}");
    }
}

/// The families, in the order they are told.
const FAMILIES: [Family; 8] = [
    Family {
        name: "denali_service_up",
        kind: "gauge",
        help: "Whether the service runs.",
        samples: |service, samples| {
            samples.add("", u8::from(service.state.is_alive()));
        },
    },
    Family {
        name: "denali_service_restarts",
        kind: "gauge",
        help: "Ends in a row that nobody asked for.",
        samples: |service, samples| samples.add("", service.restarts),
    },
    Family {
        name: "denali_service_cpu_seconds_total",
        kind: "counter",
        help: "CPU time.",
        samples: |service, samples| samples.add("", seconds(service.cpu_ns)),
    },
    Family {
        name: "denali_service_memory_limit_bytes",
        kind: "gauge",
        help: "Memory that is promised.",
        samples: |service, samples| samples.add("", service.memory),
    },
    Family {
        name: "denali_service_resident_bytes",
        kind: "gauge",
        help: "Memory in use.",
        samples: |service, samples| samples.add("", service.resident),
    },
    Family {
        name: "denali_service_swapped_bytes",
        kind: "gauge",
        help: "Memory on swap.",
        samples: |service, samples| samples.add("", service.swapped),
    },
    Family {
        name: "denali_service_page_faults_total",
        kind: "counter",
        help: "Pages given on demand.",
        samples: |service, samples| samples.add("", service.faults),
    },
    Family {
        name: "denali_service_frames_total",
        kind: "counter",
        help: "Frames received and sent.",
        samples: |service, samples| {
            samples.add(",direction=\"received\"", service.rx_frames);
            samples.add(",direction=\"sent\"", service.tx_frames);
        },
    },
];

/// Writes all metrics.
///
/// # Errors
///
/// What `write` says.
pub fn write<E>(shared: &Shared, write: &mut Writer<'_, E>) -> Result<(), E> {
    write(&of_host(shared))?;
    for family in &FAMILIES {
        let Family {
            name, kind, help, ..
        } = family;
        write(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"))?;
        let mut behind: Option<Arc<str>> = None;
        loop {
            let (services, last) = shared
                .with(|supervisor| supervisor.page(behind.as_deref(), PAGE_SERVICES, |_| true));
            let mut text = String::new();
            for service in &services {
                (family.samples)(
                    service,
                    &mut Samples {
                        name: family.name,
                        service: &service.name,
                        text: &mut text,
                    },
                );
            }
            write(&text)?;
            if last.is_none() {
                break;
            }
            behind = last;
        }
    }
    Ok(())
}

fn of_host(shared: &Shared) -> String {
    let (host, events) = shared.with(|it| (it.host(), it.events().count()));
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, samples: &[(&str, String)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let number = |value: u64| format!("{value}");
    let memory = [
        ("{kind=\"total\"}", number(host.memory_total)),
        ("{kind=\"available\"}", number(host.memory_available)),
        ("{kind=\"free\"}", number(host.memory_free)),
    ];
    add(
        "denali_host_memory_bytes",
        "gauge",
        "Memory for services.",
        &memory,
    );
    let swap = [
        ("{kind=\"total\"}", number(host.paging.swap_total)),
        ("{kind=\"available\"}", number(host.paging.swap_available)),
    ];
    add("denali_host_swap_bytes", "gauge", "Swap space.", &swap);
    let vms = [
        ("{kind=\"present\"}", number(host.vms)),
        ("{kind=\"most\"}", number(host.vms_max)),
    ];
    add("denali_host_vms", "gauge", "Virtual machines.", &vms);
    let times = [
        ("{kind=\"up\"}", seconds(host.uptime_ns)),
        ("{kind=\"idle\"}", seconds(host.idle_ns)),
    ];
    add(
        "denali_host_seconds_total",
        "counter",
        "Time since boot, and of it idle.",
        &times,
    );
    let frames = [
        ("{direction=\"received\"}", number(host.nic_rx_frames)),
        ("{direction=\"sent\"}", number(host.nic_tx_frames)),
        ("{direction=\"dropped\"}", number(host.nic_dropped)),
    ];
    add(
        "denali_host_frames_total",
        "counter",
        "Frames on the wire.",
        &frames,
    );
    let events = [("", number(events))];
    add(
        "denali_host_events_total",
        "counter",
        "What happened, as `events` tells it.",
        &events,
    );
    text
}

/// Returns nanoseconds as seconds.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, SharedKernel, manifest};
    use crate::package;
    use alloc::vec::Vec;
    use core::convert::Infallible;

    fn text(shared: &Shared) -> String {
        let mut text = String::new();
        let written: Result<(), Infallible> = write(shared, &mut |piece| {
            text.push_str(piece);
            Ok(())
        });
        written.unwrap();
        text
    }

    #[test]
    fn each_family_is_told_once_and_whole() {
        let kernel = SharedKernel::new(1 << 20);
        kernel.lock().vms_max = 1000;
        let shared = Shared::new(kernel.supervisor());
        let bytes = fixtures::package(&manifest("web"));
        let package = package::parse(&bytes, "web").unwrap().without_ports();
        for number in 1..=150 {
            let copy = package.copy(number).unwrap();
            shared.with(|supervisor| supervisor.deploy(copy)).unwrap();
        }
        shared.with(|supervisor| supervisor.stop("web-7")).unwrap();
        let text = text(&shared);
        assert!(text.contains("denali_host_vms{kind=\"present\"} 150\n"));
        assert!(text.contains("denali_service_up{service=\"web-7\"} 0\n"));
        assert!(text.contains("denali_service_up{service=\"web-8\"} 1\n"));
        assert!(text.contains("denali_service_cpu_seconds_total{service=\"web-8\"} 0.000000000\n"));
        let mut families = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            families.push(line);
        }
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count);
        // Samples of a family follow each other.
        let mut last = "";
        let mut seen = alloc::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            if name != last {
                assert!(seen.insert(name), "{name} comes back");
                last = name;
            }
        }
        assert_eq!(
            text.lines()
                .filter(|it| it.starts_with("denali_service_up{"))
                .count(),
            150
        );
    }
}
