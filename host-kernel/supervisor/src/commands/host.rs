//! `host`: memory, VMs and counters of the host.

use super::{Format, Stop, Words, logs, print, print_json, table};
use crate::shared::Shared;
use crate::supervisor::Supervisor;
use crate::terminal::Terminal;
use alloc::format;
use alloc::string::String;
use denali_abi::convert::usize_to_u64;
use denali_protocol::{Host, Paging, StoreStatus};

/// Returns what there is to say of swap.
fn swap_lines(paging: &Paging) -> String {
    let [half, most, nearly_all, all] = paging.wake_latency_ns;
    format!(
        "swap      {} in all, {} free, {} VMs refused for want of it\n\
         paging    {} VMs left, {} came back, {} calls, {} from call to memory on average\n\
         pages     {} faults, {} read for them, {} left, {} blocks read, {} written, {} dropped\n\
         answers   {} half, {} 90 %, {} 99 %, {} all from packet to answer of who slept; \
         {} kept out for faults\n\
         trouble   {} waits for memory, {} disk errors, {} corrupt, {} frames dropped\n",
        table::kib(paging.swap_total),
        table::kib(paging.swap_available),
        paging.refused,
        paging.departures,
        paging.arrivals,
        paging.wakes,
        table::duration(paging.wake_mean_ns),
        paging.faults,
        paging.page_ins,
        paging.page_outs,
        paging.blocks_read,
        paging.blocks_written,
        paging.pages_dropped,
        table::duration(half),
        table::duration(most),
        table::duration(nearly_all),
        table::duration(all),
        paging.gate_closed,
        paging.stalls,
        paging.disk_errors,
        paging.corrupt,
        paging.frames_dropped,
    )
}

/// Returns what there is to say of the store.
fn store_line(store: Option<StoreStatus>) -> String {
    let Some(store) = store else {
        return "store     none: what is deployed here goes with this boot\n".into();
    };
    format!(
        "store     {} services kept, {} to come back, {} of {} for packages free\n",
        store.services,
        store.restoring,
        table::kib(store.packages_free),
        table::kib(store.packages_total),
    )
}

fn store_status(shared: &Shared) -> Option<StoreStatus> {
    let keeper = shared.keeper()?.lock();
    let usage = keeper.usage();
    Some(StoreStatus {
        services: usize_to_u64(keeper.entries().len()),
        restoring: u64::from(shared.restoring()),
        packages_total: usage.blobs_total,
        packages_free: usage.blobs_free,
    })
}

pub(super) fn exec(
    mut words: Words<'_>,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<(), Stop> {
    let format = words.format();
    let boot = words.flag("--boot");
    words.end()?;
    if boot {
        return logs::print_boot_report(format, shared, terminal);
    }
    let host = Host {
        store: store_status(shared),
        ..shared.with(Supervisor::host)
    };
    match format {
        Format::Json => print_json(terminal, &host),
        Format::Human => {
            let name = shared.with(|supervisor| supervisor.settings().name.clone());
            let text = format!(
                "host      {name}, denali {}, ABI {}, up {}, CPU idle {}\n\
                 memory    {} in all, {} to promise, {} not in use, {} the supervisor's\n\
                 VMs       {} of at most {}\n\
                 network   {} frames in, {} out, {} dropped\n",
                host.version,
                host.abi_version,
                table::duration(host.uptime_ns),
                table::duration(host.idle_ns),
                table::kib(host.memory_total),
                table::kib(host.memory_available),
                table::kib(host.memory_free),
                table::kib(host.memory_supervisor),
                host.vms,
                host.vms_max,
                host.nic_rx_frames,
                host.nic_tx_frames,
                host.nic_dropped,
            );
            let swap = if host.paging.swap_total == 0 {
                "swap      none: this host has no disks\n".into()
            } else {
                swap_lines(&host.paging)
            };
            let text = text + &swap + &store_line(host.store);
            print(terminal, &text)
        }
    }
}
