//! The architectures; what the rest names is re-exported here.

mod x86_64;

pub(crate) use x86_64::apic::{Apic, DEVICE_VECTORS};
pub(crate) use x86_64::boot::Loader;
pub(crate) use x86_64::clock::Clock;
pub(crate) use x86_64::paging::Paging;
pub(crate) use x86_64::world::{Left, World};
pub(crate) use x86_64::{
    cpu, enable_guests, entry_guard, guest_pages, idt, load_tables, paging, port,
};
