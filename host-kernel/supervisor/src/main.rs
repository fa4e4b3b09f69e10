//! The supervisor's `main`: reads the boot configuration and serves logins.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use denali_rt::{env, net, registers};
use denali_supervisor::config;
use denali_supervisor::kernel::VmId;
use denali_supervisor::kernel::hypercalls::Hypercalls;
use denali_supervisor::shared::Shared;
use denali_supervisor::ssh::{self, Identity};
use denali_supervisor::supervisor::Supervisor;

denali_rt::entry!(main);

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
    let supervisor = Supervisor::new(Box::new(Hypercalls), settings, own);
    log::info!("supervisor of {name}: SSH at {address}, port {port}");
    ssh::serve(port, identity, Shared::new(supervisor))
}
