//! The virtual registers: what the kernel tells the VM without a crossing.

#![expect(unsafe_code, reason = "reads the page the kernel writes")]

use denali_abi::net::NetworkConfig;
use denali_abi::registers::{ClockParameters, VirtualRegisters};

/// Returns the virtual registers.
///
/// `resident_pages`, `resume_generation` and `stop_deadline_ns` change while the VM runs, with a new
/// generation also clock, network, identity and seed; for a fresh value ask [`resident_pages`],
/// [`resume_generation`], [`stop_deadline_ns`], [`clock`] and [`network`].
#[must_use]
pub fn get() -> &'static VirtualRegisters {
    // SAFETY: the pointer is valid for reads for ever (see `page`), and the kernel changes nothing
    // there while this VM runs but the fields read with volatile loads below.
    unsafe { &*page() }
}

/// Returns how many pages the VM uses now.
#[must_use]
pub fn resident_pages() -> u32 {
    // SAFETY: the pointer is valid (see `page`); taking a field's address reads nothing.
    let field = unsafe { &raw const (*page()).resident_pages };
    // SAFETY: as above; volatile because the kernel updates the field behind the compiler's back.
    unsafe { field.read_volatile() }
}

/// Returns how often the VM has been restored or cloned.
#[must_use]
pub fn resume_generation() -> u32 {
    // SAFETY: the pointer is valid (see `page`); taking a field's address reads nothing.
    let field = unsafe { &raw const (*page()).resume_generation };
    // SAFETY: as above; volatile because the kernel updates the field behind the compiler's back.
    unsafe { field.read_volatile() }
}

/// Returns the parameters of the clock, those of now.
#[must_use]
pub fn clock() -> ClockParameters {
    // SAFETY: the pointer is valid (see `page`); taking a field's address reads nothing.
    let field = unsafe { &raw const (*page()).clock };
    // SAFETY: as above; volatile because the kernel updates the field behind the compiler's back.
    unsafe { field.read_volatile() }
}

/// Returns the virtual Ethernet, that of now.
#[must_use]
pub fn network() -> NetworkConfig {
    // SAFETY: the pointer is valid (see `page`); taking a field's address reads nothing.
    let field = unsafe { &raw const (*page()).network };
    // SAFETY: as above; volatile because the kernel updates the field behind the compiler's back.
    unsafe { field.read_volatile() }
}

/// Returns until when the VM may end by itself, in nanoseconds since boot, or 0 if nobody asked it to.
#[must_use]
pub fn stop_deadline_ns() -> u64 {
    // SAFETY: the pointer is valid (see `page`); taking a field's address reads nothing.
    let field = unsafe { &raw const (*page()).stop_deadline_ns };
    // SAFETY: as above; volatile because the kernel updates the field behind the compiler's back.
    unsafe { field.read_volatile() }
}

/// Returns the memory limit in pages.
#[must_use]
pub fn memory_pages() -> u32 {
    get().memory_pages
}

/// Returns how many pages the VM may still make the kernel allocate.
#[must_use]
pub fn pages_left() -> u32 {
    memory_pages().saturating_sub(resident_pages())
}

/// Returns the VM's name.
#[must_use]
pub fn name() -> &'static str {
    let name = &get().name;
    let len = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    core::str::from_utf8(&name[..len]).unwrap_or_default()
}

/// Returns the boot arguments as the creator gave them.
#[must_use]
pub fn arguments() -> &'static [u8] {
    let registers = get();
    let len = denali_abi::convert::u32_to_usize(registers.arguments_len);
    registers.arguments.get(..len).unwrap_or_default()
}

/// Returns the time-stamp counter.
#[must_use]
pub fn time_stamp_counter() -> u64 {
    // SAFETY: `rdtsc` touches no memory, and the virtual architecture lets guests execute it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Returns the address of the registers, valid for reads for as long as the VM lives.
#[cfg(denali)]
fn page() -> *const VirtualRegisters {
    let address = denali_abi::convert::u64_to_usize(denali_abi::layout::REGISTERS_ADDRESS);
    core::ptr::with_exposed_provenance(address)
}

/// Returns registers that say nothing, for tests on the developer's machine.
#[cfg(not(denali))]
fn page() -> *const VirtualRegisters {
    use denali_abi::registers::{ARGUMENTS_MAX, NAME_MAX};

    static OUTSIDE: VirtualRegisters = VirtualRegisters {
        abi_version: denali_abi::ABI_VERSION,
        resume_generation: 0,
        vm_id: 0,
        memory_pages: u32::MAX,
        resident_pages: 0,
        cpu_hz: 1_000_000_000,
        heap_start: denali_abi::layout::IMAGE_BASE,
        clock: ClockParameters {
            tsc_base: 0,
            ns_per_tick: 1 << 32,
            monotonic_base_ns: 0,
            wall_offset_ns: 0,
        },
        network: NetworkConfig {
            mac: [2, 0, 0, 0, 0, 1],
            frame_len_max: 1514,
            features: 0,
            addressing: 0,
            address: [0; 4],
            prefix_len: 0,
            gateway: [0; 4],
            dns: [0; 4],
        },
        seed: [0; 32],
        name: [0; NAME_MAX],
        arguments_len: 0,
        reserved: 0,
        arguments: [0; ARGUMENTS_MAX],
        stop_deadline_ns: 0,
        volumes: [denali_abi::block::VolumeInfo {
            blocks: 0,
            name: [0; denali_abi::block::VOLUME_NAME_MAX],
        }; denali_abi::block::VOLUMES_MAX],
    };
    &raw const OUTSIDE
}
