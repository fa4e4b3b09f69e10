//! The supervisor's calls that create, watch and destroy, with good and hostile arguments.

mod host;

use denali_abi::control::{KERNEL_VM, VmConfig};
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;
use denali_abi::net::NetworkConfig;
use denali_kernel_core::VmId;
use denali_kernel_core::machine::Machine;
use host::{CONTENT_PAGES, Host, LIMIT, SCRATCH, header, network};
use zerocopy::IntoBytes;

/// Frames of the host.
const FRAMES: u32 = 1024;

/// What the supervisor may use of them: more than its image asks for.
const SUPERVISOR: u32 = FRAMES / 12;

fn host() -> (Host, VmId) {
    let mut host = Host::boot(FRAMES, "");
    let image = host.create_image().expect("there is room");
    let vm = host.create_vm(image, 1);
    (host, vm)
}

#[test]
fn every_field_of_an_image_header_is_checked() {
    let (mut host, _) = host();
    let cases = [
        (
            ImageHeader {
                abi_version: 9,
                ..header()
            },
            Errno::Invalid,
        ),
        (
            ImageHeader {
                magic: *b"\x7fELF\0\0\0\0",
                ..header()
            },
            Errno::Invalid,
        ),
        (
            ImageHeader {
                entry: 0,
                ..header()
            },
            Errno::Invalid,
        ),
        (
            ImageHeader {
                bss_pages: u32::MAX,
                ..header()
            },
            Errno::Invalid,
        ),
        (
            ImageHeader {
                data_pages: 5000,
                ..header()
            },
            Errno::TooLarge,
        ),
        (
            ImageHeader {
                data_pages: 930,
                ..header()
            },
            Errno::OutOfMemory,
        ),
    ];
    for (header, error) in cases {
        host.write(host.supervisor, SCRATCH, header.as_bytes());
        assert_eq!(
            host.control(Hypercall::ImageCreate, &[SCRATCH]),
            Err(error),
            "{header:?}"
        );
    }
    host.audit();
}

#[test]
fn an_image_is_written_before_it_runs_and_freed_after() {
    let mut host = Host::boot(1024, "");
    let before = host.host_status();
    let image = host.create_image().unwrap();
    let end = u64::from(CONTENT_PAGES) * PAGE_SIZE;
    let write = |host: &mut Host, offset, length| {
        host.control(Hypercall::ImageWrite, &[image, offset, SCRATCH, length])
    };
    assert_eq!(write(&mut host, end, 0), Ok(0));
    assert_eq!(write(&mut host, end - 1, 2), Err(Errno::Invalid));
    assert_eq!(write(&mut host, u64::MAX, 2), Err(Errno::Invalid));
    assert_eq!(write(&mut host, 0, u64::MAX), Err(Errno::Invalid));
    assert_eq!(write(&mut host, 0, 65 * 1024), Err(Errno::Invalid));
    assert_eq!(
        host.control(Hypercall::ImageWrite, &[99, 0, SCRATCH, 1]),
        Err(Errno::NotFound)
    );
    let vm = host.create_vm(image, 1);
    assert_eq!(write(&mut host, 0, 1), Err(Errno::Busy));
    assert_eq!(
        host.control(Hypercall::ImageDestroy, &[image]),
        Err(Errno::Busy)
    );
    host.call(vm, Hypercall::Terminate, &[0]);
    assert_eq!(host.control(Hypercall::VmDestroy, &[vm.raw()]), Ok(0));
    assert_eq!(host.control(Hypercall::ImageDestroy, &[image]), Ok(0));
    assert_eq!(
        host.control(Hypercall::ImageDestroy, &[image]),
        Err(Errno::NotFound)
    );
    let after = host.host_status();
    assert_eq!(after.frames_committed, before.frames_committed);
    assert_eq!((after.vms, after.images), (before.vms, before.images));
    host.audit();
}

fn with_memory(config: &VmConfig, memory_pages: u32) -> VmConfig {
    VmConfig {
        memory_pages,
        ..*config
    }
}

fn with_name(config: &VmConfig, name: &str) -> VmConfig {
    VmConfig {
        name: host::name(name),
        ..*config
    }
}

#[test]
fn every_field_of_a_vm_configuration_is_checked() {
    let (mut host, vm) = host();
    let image = host.status(vm).expect("it exists").image;
    let good = Host::config(image, 2);
    let cases = [
        (VmConfig { image: 0, ..good }, Errno::NotFound),
        (
            VmConfig {
                image: image + (1 << 32),
                ..good
            },
            Errno::NotFound,
        ),
        (
            VmConfig {
                image: u64::MAX,
                ..good
            },
            Errno::NotFound,
        ),
        (with_memory(&good, 1), Errno::Invalid),
        (with_memory(&good, u32::MAX), Errno::TooLarge),
        (with_memory(&good, 1024 - SUPERVISOR - 2), Errno::TooLarge),
        (
            with_memory(&good, 1024 - SUPERVISOR - 6),
            Errno::OutOfMemory,
        ),
        (
            VmConfig {
                arguments_len: 3073,
                ..good
            },
            Errno::Invalid,
        ),
        (
            VmConfig {
                arguments_len: u32::MAX,
                ..good
            },
            Errno::Invalid,
        ),
        (with_name(&good, ""), Errno::Invalid),
        (with_name(&good, "a\nb"), Errno::Invalid),
        (with_name(&good, "a\0b"), Errno::Invalid),
    ];
    for (config, error) in cases {
        assert_eq!(host.create(&config), Err(error), "{config:?}");
        host.audit();
    }
    host.create(&good)
        .expect("nothing was left behind by the refused ones");
}

#[test]
fn addresses_are_unicast_and_unique() {
    let (mut host, vm) = host();
    let image = host.status(vm).expect("it exists").image;
    let mac = |mac| NetworkConfig { mac, ..network(2) };
    let same_address = NetworkConfig {
        mac: network(2).mac,
        ..network(1)
    };
    let cases = [
        (mac([0; 6]), Errno::Invalid),
        (mac([0xff; 6]), Errno::Invalid),
        (mac([3, 0, 0, 0, 0, 1]), Errno::Invalid),
        (mac(network(1).mac), Errno::Exists),
        (mac(host.machine.nic_mac()), Errno::Exists),
        (same_address, Errno::Exists),
    ];
    for (network, error) in cases {
        let config = VmConfig {
            network,
            ..Host::config(image, 2)
        };
        assert_eq!(host.create(&config), Err(error), "{network:?}");
        host.audit();
    }
    host.call(vm, Hypercall::Terminate, &[0]);
    host.create(&Host::config(image, 1))
        .expect("an ended VM gives its addresses back");
}

#[test]
fn stale_and_made_up_ids_find_nothing() {
    let (mut host, vm) = host();
    assert_eq!(
        host.control(Hypercall::VmDestroy, &[vm.raw()]),
        Err(Errno::Busy)
    );
    assert_eq!(host.control(Hypercall::VmStop, &[vm.raw()]), Ok(0));
    assert_eq!(host.control(Hypercall::VmStop, &[vm.raw()]), Ok(0));
    assert_eq!(host.control(Hypercall::VmDestroy, &[vm.raw()]), Ok(0));
    for id in [0, vm.raw(), vm.raw() + (2 << 32), u64::MAX, 1 << 32] {
        for call in [Hypercall::VmStop, Hypercall::VmDestroy, Hypercall::VmStatus] {
            assert_eq!(
                host.control(call, &[id, SCRATCH]),
                Err(Errno::NotFound),
                "{call:?} {id:#x}"
            );
        }
        // What the kernel itself said is no VM's, but has a console's place.
        if id != KERNEL_VM {
            let read = host.control(Hypercall::ConsoleRead, &[id, 0, SCRATCH, 64]);
            assert_eq!(read, Err(Errno::NotFound));
        }
    }
    let supervisor = host.supervisor.raw();
    assert_eq!(
        host.control(Hypercall::VmStop, &[supervisor]),
        Err(Errno::Invalid)
    );
    assert_eq!(
        host.control(Hypercall::VmDestroy, &[supervisor]),
        Err(Errno::Busy)
    );
}

#[test]
fn vm_next_walks_the_table() {
    let (mut host, first) = host();
    let image = host.status(first).unwrap().image;
    let second = host.create_vm(image, 2);
    let mut seen = Vec::new();
    let mut at = 0;
    while let Ok(next) = host.control(Hypercall::VmNext, &[at]) {
        seen.push(next);
        at = next;
    }
    assert_eq!(seen, [host.supervisor.raw(), first.raw(), second.raw()]);
    assert_eq!(
        host.control(Hypercall::VmNext, &[1 << 40]),
        Err(Errno::Invalid)
    );
    assert_eq!(
        host.control(Hypercall::VmNext, &[u64::MAX]),
        Err(Errno::NotFound)
    );
}

#[test]
fn the_host_status_adds_up() {
    let (mut host, vm) = host();
    let status = host.host_status();
    assert_eq!(status.frames_total, 1024);
    assert_eq!(
        status.frames_committed,
        u64::from(SUPERVISOR + LIMIT + 2 * CONTENT_PAGES)
    );
    assert_eq!((status.vms, status.images), (2, 2));
    host.call(vm, Hypercall::Terminate, &[0]);
    let status = host.host_status();
    assert_eq!(
        status.frames_committed,
        u64::from(SUPERVISOR + 2 * CONTENT_PAGES + 1)
    );
}
