//! The supervisor's `main`: reads the boot configuration and serves logins.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use denali_abi::convert::u64_to_usize;
use denali_abi::layout::PAGE_SIZE;
use denali_protocol::PACKAGE_LEN_MAX;
use denali_rt::time::Instant;
use denali_rt::{env, net, random, registers, thread};
use denali_store::Opened;
use denali_supervisor::keeper::Keeper;
use denali_supervisor::keeper::device::Partition;
use denali_supervisor::kernel::VmId;
use denali_supervisor::kernel::hypercalls::Hypercalls;
use denali_supervisor::script::{self, Schedule};
use denali_supervisor::shared::Shared;
use denali_supervisor::ssh::{self, Identity};
use denali_supervisor::supervisor::Supervisor;
use denali_supervisor::table::{SERVICE_BYTES, SERVICES_MAX};
use denali_supervisor::{config, metrics, releases, watch};

denali_rt::entry!(main);

/// Memory for code, stacks and connections.
const LOGINS_BYTES: usize = 4 << 20;

fn main() -> Result<(), String> {
    let settings = config::parse(env::arguments_raw()).map_err(|error| {
        format!("boot configuration: {error}; make it with `cargo denali host`")
    })?;
    if let Some(subnet) = settings.subnet {
        net::configure(
            subnet.address,
            subnet.prefix_len,
            subnet.gateway,
            subnet.dns,
        )
        .map_err(|error| format!("network: {error}"))?;
    }
    let (name, port) = (settings.name.clone(), settings.ssh_port);
    let metrics_port = settings.metrics_port;
    let address = settings.subnet.map_or_else(
        || String::from("an address from DHCP"),
        |it| format!("{}", it.address),
    );
    let identity = Identity::new(&settings);
    let keeper = open_keeper(&settings.host_key);
    let own = VmId(registers::get().vm_id);
    let services_max = services_max(registers::get().memory_pages);
    let supervisor = Supervisor::new(Box::new(Hypercalls), settings, own, services_max);
    log::info!("supervisor of {name}: SSH at {address}, port {port}");
    let shared = Shared::new(supervisor);
    let shared = Arc::new(match keeper {
        Some(keeper) => shared.keeping(keeper),
        None => shared,
    });
    start_restoring(&shared)?;
    start_watching(&shared)?;
    start_scripts(&shared)?;
    if let Some(port) = metrics_port {
        start_metrics(port, &shared)?;
    }
    ssh::serve(port, identity, &shared)
}

/// Opens the store. Without one, and with one that cannot be used, the host runs as without a disk.
fn open_keeper(host_key: &[u8; 32]) -> Option<Keeper> {
    let partition = match Partition::open(host_key) {
        Ok(Some(partition)) => partition,
        Ok(None) => {
            log::info!("there is no disk for it: nothing deployed here outlives this boot");
            return None;
        }
        Err(error) => {
            log::error!("store: {error}; nothing deployed here outlives this boot");
            return None;
        }
    };
    let mut identity = [0; 8];
    random::fill(&mut identity);
    match Keeper::open(Box::new(partition), u64::from_le_bytes(identity)) {
        Ok((keeper, Opened::Made)) => {
            log::info!("store: made on a blank disk");
            Some(keeper)
        }
        Ok((keeper, Opened::Found)) => {
            let services = keeper.entries().len();
            log::info!("store: {services} services are kept");
            Some(keeper)
        }
        Err(error) => {
            log::error!(
                "store: {error}; it is left alone, and nothing deployed outlives this boot"
            );
            None
        }
    }
}

/// Brings back what is kept while logins are served already.
fn start_restoring(shared: &Arc<Shared>) -> Result<(), String> {
    if shared.keeper().is_none() {
        return Ok(());
    }
    if let Some(keeper) = shared.keeper() {
        // Before anybody can ask.
        let count = releases::kept(&keeper.lock()).len();
        shared.set_restoring(u32::try_from(count).unwrap_or(u32::MAX));
    }
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("restore")
        .stack(thread::StackSize::Large)
        .spawn(move || {
            let begun = Instant::now();
            let restored = releases::restore(&shared);
            let (running, stopped) = (restored.running, restored.stopped);
            let failed = restored.failed.len();
            let took = Instant::now().duration_since(begun).as_millis();
            log::info!(
                "store: {running} services run again, {stopped} stay stopped, {failed} failed, \
                 in {took} ms"
            );
        })
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {error}"))
}

/// Tells metrics over HTTP.
fn start_metrics(port: u16, shared: &Arc<Shared>) -> Result<(), String> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("metrics")
        .spawn(move || {
            if let Err(error) = metrics::http::serve(port, &shared) {
                log::error!("metrics: {error}");
            }
        })
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {error}"))
}

/// Runs scripts at boot, on events and from time to time.
fn start_scripts(shared: &Arc<Shared>) -> Result<(), String> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("scripts")
        .stack(thread::StackSize::Large)
        .spawn(move || {
            let mut schedule = Schedule::new(0);
            loop {
                script::turn(&mut schedule, &shared);
                thread::sleep(script::TURN);
            }
        })
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {error}"))
}

/// Returns how many services the memory of the supervisor is enough for, beside a package and the
/// logins.
fn services_max(memory_pages: u32) -> usize {
    let other = u64_to_usize(PACKAGE_LEN_MAX) + LOGINS_BYTES;
    let memory = u64_to_usize(u64::from(memory_pages) * PAGE_SIZE);
    (memory.saturating_sub(other) / SERVICE_BYTES).min(SERVICES_MAX)
}

/// Looks after services, and sees off releases that were replaced.
fn start_watching(shared: &Arc<Shared>) -> Result<(), String> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("watch")
        .stack(thread::StackSize::Large)
        .spawn(move || {
            loop {
                watch::turn(&shared);
                thread::sleep(watch::TURN);
            }
        })
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {error}"))
}
