//! The supervisor's `main`: reads the boot configuration and serves logins.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use denali_abi::convert::u64_to_usize;
use denali_abi::layout::PAGE_SIZE;
use denali_protocol::PACKAGE_LEN_MAX;
use denali_rt::{env, net, registers};
use denali_supervisor::config;
use denali_supervisor::kernel::VmId;
use denali_supervisor::kernel::hypercalls::Hypercalls;
use denali_supervisor::shared::Shared;
use denali_supervisor::ssh::{self, Identity};
use denali_supervisor::supervisor::Supervisor;
use denali_supervisor::table::{SERVICE_BYTES, SERVICES_MAX};

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
    let address = settings.subnet.map_or_else(
        || String::from("an address from DHCP"),
        |it| format!("{}", it.address),
    );
    let identity = Identity::new(&settings);
    let own = VmId(registers::get().vm_id);
    let services_max = services_max(registers::get().memory_pages);
    let supervisor = Supervisor::new(Box::new(Hypercalls), settings, own, services_max);
    log::info!("supervisor of {name}: SSH at {address}, port {port}");
    ssh::serve(port, identity, Shared::new(supervisor))
}

/// Returns how many services the memory of the supervisor is enough for, beside a package and the
/// logins.
fn services_max(memory_pages: u32) -> usize {
    let other = u64_to_usize(PACKAGE_LEN_MAX) + LOGINS_BYTES;
    let memory = u64_to_usize(u64::from(memory_pages) * PAGE_SIZE);
    (memory.saturating_sub(other) / SERVICE_BYTES).min(SERVICES_MAX)
}
