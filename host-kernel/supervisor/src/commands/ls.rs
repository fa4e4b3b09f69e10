//! `ls`: services, their state and addresses.

use super::{Format, Stop, Words, print, print_json, table};
use crate::shared::Shared;
use crate::supervisor::Supervisor;
use crate::terminal::Terminal;
use alloc::string::String;
use alloc::vec::Vec;
use denali_protocol::{Limits, Service};

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let wide = words.flag("--wide");
    words.end()?;
    let services = shared.with(Supervisor::list);
    match format {
        Format::Json => print_json(terminal, &services),
        Format::Human if services.is_empty() => print(
            terminal,
            "no services yet: deploy one with `cargo denali deploy`\n",
        ),
        Format::Human => {
            const HEAD: [&str; 8] = [
                "NAME", "STATE", "ADDRESS", "PORTS", "MEMORY", "RESIDENT", "CPU", "AGE",
            ];
            const HEAD_WIDE: [&str; 4] = ["WEIGHT", "CAP", "PACKETS", "BYTES"];
            let mut rows: Vec<Vec<String>> = alloc::vec![HEAD.map(String::from).to_vec()];
            rows.extend(services.iter().map(row));
            if wide {
                rows[0].extend(HEAD_WIDE.map(String::from));
                for (row, service) in rows.iter_mut().skip(1).zip(&services) {
                    row.extend(limits(&service.limits));
                }
            }
            print(terminal, &table::render(&rows))
        }
    }
}

fn limits(limits: &Limits) -> [String; 4] {
    [
        alloc::format!("{}", limits.cpu_weight),
        limits.cap_text(),
        limits.packets_text(),
        limits.bytes_text(),
    ]
}

fn row(service: &Service) -> Vec<String> {
    let state = table::state_name(service.state);
    let state = service.reason.as_ref().map_or_else(
        || state.into(),
        |reason| alloc::format!("{state}: {reason}"),
    );
    alloc::vec![
        service.name.clone(),
        state,
        service.address.clone().unwrap_or_else(|| "-".into()),
        table::ports(&service.publish),
        table::kib(service.memory),
        table::kib(service.resident),
        table::duration(service.cpu_ns),
        table::duration(service.age_ns),
    ]
}
