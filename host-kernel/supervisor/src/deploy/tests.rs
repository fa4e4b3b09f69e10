//! Deployments against a fake kernel, with a failure at every step.

use super::*;
use crate::fixtures::{self, SharedKernel, manifest};
use crate::kernel::Kernel as _;
use crate::kernel::fake::Call;
use crate::package;
use alloc::vec::Vec;
use denali_abi::end::EndReason;
use denali_protocol::{Manifest, Refusal, ServiceState};

/// Pages one service of [`manifest`] takes: 256 of memory, 3 of image.
const SERVICE_PAGES: u64 = 259;

fn deploy(supervisor: &mut Supervisor, manifest: &Manifest) -> Result<Deployed, Refused> {
    let bytes = fixtures::package(manifest);
    supervisor.deploy(package::parse(&bytes, &manifest.name).expect("a sound package"))
}

/// VMs that live, images, and pages promised.
fn holdings(kernel: &SharedKernel) -> (usize, usize, u64) {
    let mut kernel = kernel.lock();
    let living = kernel
        .vms
        .values()
        .filter(|vm| !has_ended(&vm.status))
        .count();
    let committed = kernel.host_status().frames_committed;
    (living, kernel.images.len(), committed)
}

#[test]
fn a_service_runs_with_its_arguments_and_an_address_from_the_pool() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    let deployed = deploy(&mut supervisor, &manifest("web")).unwrap();
    assert!(!deployed.replaced);
    assert_eq!(deployed.service.address.as_deref(), Some("10.90.1.1"));
    assert_eq!(deployed.service.state, ServiceState::Running);
    assert_eq!(deployed.available, (1000 - SERVICE_PAGES) * 4096);
    let vm = kernel.vm_named("web");
    let kernel = kernel.lock();
    assert_eq!(kernel.vms[&vm.0].arguments, b"--verbose\0\0LEVEL=info\0");
    let network = kernel.vms[&vm.0].status.network;
    assert_eq!(
        (network.gateway, network.dns),
        ([10, 90, 0, 2], [10, 90, 0, 3])
    );
    assert_eq!(network.mac[0], 2);
    assert_eq!(kernel.images.values().next().unwrap().1.len(), 3 * 4096);
}

#[test]
fn a_new_release_takes_the_place_of_the_last_one() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    deploy(&mut supervisor, &manifest("web")).unwrap();
    let deployed = deploy(&mut supervisor, &manifest("web")).unwrap();
    assert!(deployed.replaced);
    assert_eq!(deployed.service.address.as_deref(), Some("10.90.1.1"));
    assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
    assert_eq!(kernel.lock().vms.len(), 1);
}

#[test]
fn services_of_the_same_bytes_share_an_image_until_the_last_goes() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    let bytes = fixtures::package(&manifest("web"));
    let package = package::parse(&bytes, "web").unwrap().without_ports();
    for number in 1..=3 {
        supervisor.deploy(package.copy(number).unwrap()).unwrap();
    }
    assert_eq!(kernel.counts(), (3, 1));
    assert!(supervisor.view("web-2").unwrap().publish.is_empty());
    supervisor.stop("web-1").unwrap();
    supervisor.remove("web-2").unwrap();
    supervisor.remove("web-3").unwrap();
    assert_eq!(kernel.counts(), (1, 1), "web-1 starts again from it");
    supervisor.start("web-1").unwrap();
    supervisor.remove("web-1").unwrap();
    assert_eq!(kernel.counts(), (0, 0));
}

#[test]
fn each_failing_call_leaves_nothing_behind() {
    let calls = [
        Call::ImageCreate,
        Call::ImageWrite,
        Call::VmCreate,
        Call::VmSucceed,
    ];
    for (call, errno) in calls
        .into_iter()
        .flat_map(|call| Errno::ALL.map(|it| (call, it)))
    {
        for others in [0, 1] {
            let kernel = SharedKernel::new(1000);
            let mut supervisor = kernel.supervisor();
            if others == 1 {
                deploy(&mut supervisor, &manifest("web")).unwrap();
            }
            let before = holdings(&kernel);
            kernel.lock().failures.push((call, errno));
            deploy(&mut supervisor, &manifest("web")).unwrap_err();
            assert_eq!(holdings(&kernel), before, "{call:?} {errno:?}");
            assert_eq!(fixtures::list(&mut supervisor).len(), others);
            deploy(&mut supervisor, &manifest("web")).unwrap();
        }
    }
}

#[test]
fn a_release_that_fits_only_in_its_place_gets_it() {
    let kernel = SharedKernel::new(SERVICE_PAGES + 10);
    let mut supervisor = kernel.supervisor();
    deploy(&mut supervisor, &manifest("web")).unwrap();
    assert!(deploy(&mut supervisor, &manifest("web")).unwrap().replaced);
    assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
}

#[test]
fn the_last_release_runs_again_if_the_new_one_fails_in_its_place() {
    for call in [Call::ImageCreate, Call::ImageWrite, Call::VmCreate] {
        let kernel = SharedKernel::new(SERVICE_PAGES + 10);
        let mut supervisor = kernel.supervisor();
        deploy(&mut supervisor, &manifest("web")).unwrap();
        kernel.lock().failures.push((call, Errno::OutOfMemory));
        let refused = deploy(&mut supervisor, &manifest("web")).unwrap_err();
        assert!(
            refused.message.contains("started again"),
            "{}",
            refused.message
        );
        assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
        assert_eq!(
            fixtures::list(&mut supervisor)[0].state,
            ServiceState::Running
        );
        assert_eq!(
            fixtures::list(&mut supervisor)[0].address.as_deref(),
            Some("10.90.1.1")
        );
    }
}

#[test]
fn a_service_that_had_ended_is_not_started_by_a_failed_deployment() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    let mut fixed = manifest("web");
    fixed.address = Some(Address::Static([10, 90, 2, 2]));
    deploy(&mut supervisor, &fixed).unwrap();
    kernel.end("web", EndReason::BadAddress, 8);
    kernel
        .lock()
        .failures
        .push((Call::VmCreate, Errno::OutOfMemory));
    deploy(&mut supervisor, &fixed).unwrap_err();
    assert_eq!(
        fixtures::list(&mut supervisor)[0].state,
        ServiceState::Crashed
    );
}

#[test]
fn a_release_runs_beside_its_predecessor_with_the_same_addresses() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    let mut fixed = manifest("web");
    fixed.address = Some(Address::Static([10, 90, 2, 2]));
    deploy(&mut supervisor, &fixed).unwrap();
    let bytes = fixtures::package(&fixed);
    let package = package::parse(&bytes, &fixed.name).unwrap();
    let begun = supervisor.begin(package).unwrap();
    let networks: Vec<_> = {
        let kernel = kernel.lock();
        let vms = kernel.vms.values().map(|vm| vm.status.network);
        vms.map(|network| (network.mac, network.address)).collect()
    };
    assert_eq!(networks.len(), 2);
    assert_eq!(networks[0], networks[1]);
    let deployed = supervisor.finish(begun, Farewell::AtOnce).unwrap();
    assert_eq!(deployed.service.address.as_deref(), Some("10.90.2.2"));
    assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
}

#[test]
fn static_addresses_must_be_free_and_inside_the_subnet() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    for address in [
        [10, 91, 0, 1],
        [10, 90, 0, 2],
        [10, 90, 0, 15],
        [10, 90, 255, 255],
    ] {
        let mut fixed = manifest("web");
        fixed.address = Some(Address::Static(address));
        let refused = deploy(&mut supervisor, &fixed).unwrap_err();
        assert_eq!(refused.kind, Refusal::Conflict, "{address:?}");
    }
    assert_eq!(holdings(&kernel), (0, 0, 0));
}

#[test]
fn a_service_with_dhcp_has_no_address_of_ours() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    let mut dhcp = manifest("web");
    dhcp.address = Some(Address::Dhcp);
    let deployed = deploy(&mut supervisor, &dhcp).unwrap();
    assert_eq!(deployed.service.address, None);
    let vm = kernel.vm_named("web");
    assert_eq!(
        kernel.lock().vms[&vm.0].status.network.addressing,
        addressing::DHCP
    );
    // The switch learns the address from the server's answer; the supervisor shows it then.
    kernel
        .lock()
        .vms
        .get_mut(&vm.0)
        .unwrap()
        .status
        .network
        .address = [192, 168, 7, 7];
    assert_eq!(
        fixtures::list(&mut supervisor)[0].address.as_deref(),
        Some("192.168.7.7")
    );
}

#[test]
fn what_does_not_fit_is_refused_with_numbers() {
    let kernel = SharedKernel::new(SERVICE_PAGES + 100);
    let mut supervisor = kernel.supervisor();
    deploy(&mut supervisor, &manifest("first")).unwrap();
    let mut second = manifest("second");
    second.publish.clear();
    let refused = deploy(&mut supervisor, &second).unwrap_err();
    assert_eq!(refused.kind, Refusal::Admission);
    assert!(
        refused
            .message
            .starts_with("needs 1036 KiB, 400 KiB available")
    );
    assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
}

#[test]
fn a_supervisor_that_restarts_finds_the_services_again() {
    let kernel = SharedKernel::new(1000);
    deploy(&mut kernel.supervisor(), &manifest("web")).unwrap();
    let mut supervisor = kernel.supervisor();
    let found = fixtures::list(&mut supervisor);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].name.as_str(), found[0].state),
        ("web", ServiceState::Running)
    );
    assert_eq!(found[0].address.as_deref(), Some("10.90.1.1"));
    let mut other = manifest("other");
    other.publish.clear();
    let deployed = deploy(&mut supervisor, &other).unwrap();
    assert_eq!(deployed.service.address.as_deref(), Some("10.90.1.2"));
    supervisor.remove("web").unwrap();
    assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
}

#[test]
fn an_interrupted_replacement_is_completed_after_a_restart() {
    let kernel = SharedKernel::new(1000);
    let mut supervisor = kernel.supervisor();
    deploy(&mut supervisor, &manifest("web")).unwrap();
    let old = kernel.vm_named("web");
    // The new VM was created, and the supervisor died before it freed the old one.
    supervisor.table.remove("web");
    let mut hold = fixtures::service("hold", [10, 90, 1, 1]);
    hold.network = kernel.lock().vms[&old.0].status.network;
    hold.origin = None;
    supervisor.table.insert(hold);
    deploy(&mut supervisor, &manifest("web")).unwrap();
    assert_eq!(holdings(&kernel).0, 2);
    let mut supervisor = kernel.supervisor();
    for _ in 0..4 {
        kernel.lock().now_ns += 1_000_000_000;
        supervisor.see_off();
    }
    assert_eq!(holdings(&kernel), (1, 1, SERVICE_PAGES));
    assert!(!kernel.lock().vms.contains_key(&old.0));
    assert_eq!(
        fixtures::list(&mut supervisor)[0].address.as_deref(),
        Some("10.90.1.2")
    );
}
