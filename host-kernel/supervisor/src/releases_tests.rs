//! Deployments on a host that keeps them, and what a reboot finds.

use super::*;
use crate::fixtures::{self, Memory, SharedKernel, manifest};
use crate::kernel::fake::Call;
use alloc::boxed::Box;
use denali_abi::errno::Errno;
use denali_protocol::ServiceState;
use denali_protocol::releases::Outcome;

/// Boots a host with this disk.
fn boot(kernel: &SharedKernel, disk: &Memory) -> Shared {
    let (keeper, _) = Keeper::open(Box::new(disk.clone()), 1).unwrap();
    Shared::new(kernel.supervisor()).keeping(keeper)
}

fn deploy_version(shared: &Shared, name: &str, version: &str) -> Result<Deployed, Refused> {
    let mut manifest = manifest(name);
    manifest.version = version.into();
    if name != "web" {
        manifest.publish.clear();
    }
    let bytes = fixtures::package(&manifest);
    let package = package::parse(&bytes, name).unwrap();
    deploy(shared, &bytes, package, "SHA256:me", None)
}

fn version(shared: &Shared, name: &str) -> Option<(String, ServiceState)> {
    let service = shared.with(|supervisor| supervisor.view(name))?;
    Some((service.version, service.state))
}

#[test]
fn services_come_back_as_they_were() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot(&kernel, &disk);
    for (name, number) in [("web", "1"), ("web", "2"), ("api", "7"), ("old", "3")] {
        deploy_version(&shared, name, number).unwrap();
    }
    let keeper = shared.keeper().unwrap();
    keeper.lock().set_stopped("old", true).unwrap();
    keeper.lock().set_secret("api", "TOKEN", b"s3cret").unwrap();
    drop(shared);
    // Power is cut: the next kernel has nothing.
    let kernel = SharedKernel::new(4000);
    let shared = boot(&kernel, &disk);
    let restored = restore(&shared);
    assert_eq!((restored.running, restored.stopped), (2, 1));
    let is = |name, number: &str, state| {
        assert_eq!(
            version(&shared, name),
            Some((number.into(), state)),
            "{name}"
        );
    };
    is("web", "2", ServiceState::Running);
    is("api", "7", ServiceState::Running);
    is("old", "3", ServiceState::Stopped);
    let vm = kernel.vm_named("api");
    let arguments = kernel.lock().vms[&vm.0].arguments.clone();
    assert_eq!(arguments, b"--verbose\0\0LEVEL=info\0TOKEN=s3cret\0");
    assert_eq!(shared.restoring(), 0);
}

#[test]
fn a_release_that_does_not_start_leaves_the_last_one() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot(&kernel, &disk);
    assert_eq!(
        deploy_version(&shared, "web", "1").unwrap().release,
        Some(1)
    );
    let failure = (Call::VmCreate, Errno::TableFull);
    kernel.lock().failures.push(failure);
    deploy_version(&shared, "web", "2").unwrap_err();
    assert_eq!(version(&shared, "web").unwrap().0, "1");
    let releases = shared.keeper().unwrap().lock().releases("web");
    assert!(matches!(releases[0].outcome, Outcome::Failed(_)));
    assert_eq!(releases[1].outcome, Outcome::Current);
    assert_eq!(
        deploy_version(&shared, "web", "3").unwrap().release,
        Some(3)
    );
    drop(shared);
    let shared = boot(&SharedKernel::new(4000), &disk);
    assert_eq!(restore(&shared).running, 1);
    assert_eq!(version(&shared, "web").unwrap().0, "3");
}

#[test]
fn a_rollback_is_a_release_of_its_own() {
    let disk = Memory::new(2048);
    let shared = boot(&SharedKernel::new(4000), &disk);
    for number in ["1", "2", "3"] {
        deploy_version(&shared, "web", number).unwrap();
    }
    let back = rollback(&shared, "web", None, "SHA256:other").unwrap();
    assert_eq!(
        (back.release, back.service.version.as_str()),
        (Some(4), "2")
    );
    let release = shared.keeper().unwrap().lock().release("web", 4).unwrap();
    assert_eq!((release.of, release.by.as_str()), (Some(2), "SHA256:other"));
    let back = rollback(&shared, "web", Some(1), "me").unwrap();
    assert_eq!(back.service.version, "1");
    let failure = rollback(&shared, "web", Some(77), "me");
    assert!(matches!(failure, Err(Failure::Other(_))));
    let failure = rollback(&shared, "nobody", None, "me");
    assert_eq!(failure.err(), Some(Failure::NoSuchService));
}

#[test]
fn a_supervisor_that_begins_anew_knows_services_again() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot(&kernel, &disk);
    deploy_version(&shared, "web", "1").unwrap();
    drop(shared);
    // The kernel and its VMs are still there.
    let shared = boot(&kernel, &disk);
    assert_eq!(restore(&shared).running, 1);
    assert_eq!(kernel.counts(), (1, 1));
    assert_eq!(version(&shared, "web").unwrap().0, "1");
    let mut rival = manifest("rival");
    rival.address = None;
    let bytes = fixtures::package(&rival);
    let package = package::parse(&bytes, "rival").unwrap();
    let refused = deploy(&shared, &bytes, package, "me", None).unwrap_err();
    assert!(
        refused.message.contains("published by `web`"),
        "{refused:?}"
    );
    let mut twin = manifest("twin");
    twin.address = None;
    twin.publish.clear();
    let bytes = fixtures::package(&twin);
    let package = package::parse(&bytes, "twin").unwrap();
    deploy(&shared, &bytes, package, "me", None).unwrap();
    assert_eq!(kernel.counts(), (2, 1), "they share an image");
    shared.with(|supervisor| {
        supervisor.stop("web").unwrap();
        supervisor.start("web").unwrap();
    });
}

#[test]
fn without_a_disk_nothing_is_kept_and_that_is_said() {
    let shared = Shared::new(SharedKernel::new(4000).supervisor());
    assert_eq!(deploy_version(&shared, "web", "1").unwrap().release, None);
    assert_eq!(restore(&shared), Restored::default());
    let Err(Failure::Other(message)) = rollback(&shared, "web", None, "me") else {
        panic!("there is nothing to go back to");
    };
    assert!(message.contains("--data"));
}
