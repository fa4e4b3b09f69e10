//! `host`: memory, VMs and counters of the host.

use super::{Format, Stop, Words, print, print_json, table};
use crate::shared::Shared;
use crate::supervisor::Supervisor;
use crate::terminal::Terminal;
use alloc::format;

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    words.end()?;
    let host = shared.with(Supervisor::host);
    match format {
        Format::Json => print_json(terminal, &host),
        Format::Human => {
            let name = shared.with(|supervisor| supervisor.settings().name.clone());
            let text = format!(
                "host      {name}, denali {}, ABI {}, up {}, CPU idle {}\n\
                 memory    {} in all, {} to promise, {} not in use\n\
                 VMs       {} of at most {}\n\
                 network   {} frames in, {} out, {} dropped\n",
                host.version,
                host.abi_version,
                table::duration(host.uptime_ns),
                table::duration(host.idle_ns),
                table::kib(host.memory_total),
                table::kib(host.memory_available),
                table::kib(host.memory_free),
                host.vms,
                host.vms_max,
                host.nic_rx_frames,
                host.nic_tx_frames,
                host.nic_dropped,
            );
            print(terminal, &text)
        }
    }
}
