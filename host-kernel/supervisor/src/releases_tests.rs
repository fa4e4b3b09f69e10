//! Deployments on a host that keeps them, and what a reboot finds.

use super::*;
use crate::fixtures::{self, Memory, SharedKernel, manifest};
use crate::health::fake::FakeNetwork;
use crate::kernel::fake::Call;
use crate::supervisor::Supervisor;
use alloc::boxed::Box;
use denali_abi::errno::Errno;
use denali_protocol::ServiceState;

/// Boots a host with this disk.
fn boot(kernel: &SharedKernel, disk: &Memory) -> Shared {
    let (keeper, _) = Keeper::open(Box::new(disk.clone()), 1).unwrap();
    Shared::new(kernel.supervisor())
        .keeping(keeper)
        .asking(FakeNetwork::new(kernel, |_, _| Ok(())))
}

fn by(who: &str) -> Deployer {
    Deployer {
        who: who.into(),
        ..Deployer::default()
    }
}

fn deploy_version(shared: &Shared, name: &str, version: &str) -> Result<Deployed, Refused> {
    let mut manifest = manifest(name);
    manifest.version = version.into();
    if name != "web" {
        manifest.publish.clear();
    }
    let bytes = fixtures::package(&manifest);
    let package = package::parse(&bytes, name).unwrap();
    deploy(shared, &bytes, package, &by("SHA256:me"))
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
    let refused = deploy(&shared, &bytes, package, &by("me")).unwrap_err();
    assert!(
        refused.message.contains("published by `web`"),
        "{refused:?}"
    );
    let mut twin = manifest("twin");
    twin.address = None;
    twin.publish.clear();
    let bytes = fixtures::package(&twin);
    let package = package::parse(&bytes, "twin").unwrap();
    deploy(&shared, &bytes, package, &by("me")).unwrap();
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

/// Boots a host whose services answer by `answer`.
fn boot_asking(
    kernel: &SharedKernel,
    disk: &Memory,
    answer: impl FnMut() -> Result<(), String> + Send + 'static,
) -> Shared {
    let mut answer = answer;
    boot(kernel, disk).asking(FakeNetwork::new(kernel, move |_, _| answer()))
}

/// Lets time pass, and the releases go that were replaced.
fn wait_seconds(kernel: &SharedKernel, shared: &Shared, seconds: u64) {
    for _ in 0..seconds {
        kernel.lock().now_ns += 1_000_000_000;
        shared.with(Supervisor::see_off);
    }
}

#[test]
fn a_release_that_is_not_healthy_leaves_the_last_one_serving() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot_asking(&kernel, &disk, || Err("port 80: refused".into()));
    // Nobody serves yet: there is nothing to go back to, and nothing to wait for.
    deploy_version(&shared, "web", "1").unwrap();
    let first = kernel.vm_named("web");
    let refused = deploy_version(&shared, "web", "2").unwrap_err();
    assert_eq!(refused.kind, denali_protocol::Refusal::Unhealthy);
    let expected = "the new release is not healthy after 20 s: port 80: refused\n\
                    the last release serves on";
    assert_eq!(refused.message, expected);
    assert_eq!((kernel.vm_named("web"), kernel.counts()), (first, (1, 1)));
    assert_eq!(version(&shared, "web").unwrap().0, "1");
    let releases = shared.keeper().unwrap().lock().releases("web");
    let Outcome::Failed(why) = &releases[0].outcome else {
        panic!("{releases:?}");
    };
    assert!(why.ends_with("port 80: refused"), "{why}");
    assert_eq!(releases[1].outcome, Outcome::Current);
}

#[test]
fn a_release_that_crashes_shows_why_whoever_answers_in_its_place() {
    check_crash(Err("nobody is there".into()));
    // Its predecessor has the same address.
    check_crash(Ok(()));
}

fn check_crash(answer: Result<(), String>) {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let crashing = kernel.clone();
    let shared = boot_asking(&kernel, &disk, move || {
        let youngest = *crashing.lock().vms.keys().last().expect("two run");
        let mut kernel = crashing.lock();
        let vm = crate::kernel::VmId(youngest);
        let lines: String = (0..20).map(|line| format!("line {line}\n")).collect();
        kernel.print(vm, &lines);
        kernel.end(vm, denali_abi::end::EndReason::DivideError, 0);
        answer.clone()
    });
    deploy_version(&shared, "web", "1").unwrap();
    let message = deploy_version(&shared, "web", "2").unwrap_err().message;
    let (head, rest) = message.split_once('\n').unwrap();
    assert_eq!(head, "the new release ended: divide error (rip 0x11a2b3)");
    assert!(rest.starts_with("    line 10\n"), "{rest}");
    assert!(
        rest.ends_with("    line 19\nthe last release serves on"),
        "{rest}"
    );
    assert_eq!(kernel.counts(), (1, 1));
}

#[test]
fn a_release_that_was_replaced_finishes_what_it_has_begun() {
    for obedient in [true, false] {
        let disk = Memory::new(2048);
        let kernel = SharedKernel::new(4000);
        kernel.lock().obedient = obedient;
        let shared = boot_asking(&kernel, &disk, || Ok(()));
        deploy_version(&shared, "web", "1").unwrap();
        let first = kernel.vm_named("web");
        deploy_version(&shared, "web", "2").unwrap();
        assert_eq!(kernel.counts(), (2, 2), "both serve");
        wait_seconds(&kernel, &shared, 1);
        let lives = |kernel: &SharedKernel| {
            let kernel = kernel.lock();
            let vm = kernel.vms.get(&first.0);
            vm.is_some_and(|vm| !crate::service::has_ended(&vm.status))
        };
        assert!(lives(&kernel));
        wait_seconds(&kernel, &shared, 2);
        assert_eq!(lives(&kernel), !obedient, "it was asked to end");
        wait_seconds(&kernel, &shared, 10);
        assert_eq!(kernel.counts(), (1, 1));
        assert_eq!(version(&shared, "web").unwrap().0, "2");
    }
}

#[test]
fn a_release_that_leaves_keeps_its_addresses_from_nobody() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot_asking(&kernel, &disk, || Ok(()));
    deploy_version(&shared, "web", "1").unwrap();
    deploy_version(&shared, "web", "2").unwrap();
    assert_eq!(kernel.counts(), (2, 2));
    let vm = shared.with(|supervisor| supervisor.vm_of("web")).unwrap();
    let crash = denali_abi::end::EndReason::DivideError;
    kernel.lock().end(vm.unwrap(), crash, 0);
    shared.with(|supervisor| supervisor.start("web")).unwrap();
    assert_eq!(kernel.counts(), (1, 1));
}

#[test]
fn nothing_of_a_service_serves_once_it_is_stopped() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot_asking(&kernel, &disk, || Ok(()));
    deploy_version(&shared, "web", "1").unwrap();
    deploy_version(&shared, "web", "2").unwrap();
    shared.with(|supervisor| supervisor.stop("web")).unwrap();
    let kernel = kernel.lock();
    let mut vms = kernel.vms.values();
    assert!(vms.all(|vm| crate::service::has_ended(&vm.status)));
}

#[test]
fn a_release_that_leaves_makes_way_for_what_needs_its_room() {
    let disk = Memory::new(2048);
    // Room for two services and a bit.
    let kernel = SharedKernel::new(2 * 259 + 10);
    let shared = boot_asking(&kernel, &disk, || Ok(()));
    deploy_version(&shared, "web", "1").unwrap();
    deploy_version(&shared, "web", "2").unwrap();
    assert_eq!(kernel.counts(), (2, 2));
    deploy_version(&shared, "api", "1").unwrap();
    assert_eq!(kernel.counts(), (2, 1), "web and api, of one image");
    shared.with(|supervisor| supervisor.remove("web")).unwrap();
    assert_eq!(kernel.counts(), (1, 1));
}

#[test]
fn a_service_can_go_while_its_image_is_used_by_a_release_that_leaves() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot_asking(&kernel, &disk, || Ok(()));
    deploy_version(&shared, "api", "1").unwrap();
    deploy_version(&shared, "web", "1").unwrap();
    assert_eq!(kernel.counts(), (2, 1));
    deploy_version(&shared, "web", "2").unwrap();
    for name in ["api", "web"] {
        shared.with(|supervisor| supervisor.remove(name)).unwrap();
    }
    assert_eq!(kernel.counts(), (0, 0));
}

#[test]
fn a_release_that_had_to_make_way_comes_back_if_the_next_is_not_healthy() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(300);
    let shared = boot_asking(&kernel, &disk, || Err("refused".into()));
    deploy_version(&shared, "web", "1").unwrap();
    let message = deploy_version(&shared, "web", "2").unwrap_err().message;
    assert!(
        message.ends_with("the last release was started again"),
        "{message}"
    );
    let (version, state) = version(&shared, "web").unwrap();
    assert_eq!((version.as_str(), state), ("1", ServiceState::Running));
    assert_eq!(kernel.counts(), (1, 1));
}

#[test]
fn a_service_that_is_removed_while_its_next_release_begins_stays_removed() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let shared = boot(&kernel, &disk);
    deploy_version(&shared, "web", "1").unwrap();
    let bytes = fixtures::package(&manifest("web"));
    let package = package::parse(&bytes, "web").unwrap();
    let begun = shared.with(|supervisor| supervisor.begin(package)).unwrap();
    shared.with(|supervisor| supervisor.remove("web")).unwrap();
    let refused = shared.with(|supervisor| supervisor.finish(begun, Farewell::Gentle));
    assert!(refused.unwrap_err().message.contains("by somebody else"));
    assert_eq!(kernel.counts(), (0, 0));
}

/// A supervisor that dies after the next release of `web` has begun. Returns the two VMs.
fn die_between_releases(kernel: &SharedKernel, disk: &Memory) -> [u64; 2] {
    let shared = boot(kernel, disk);
    deploy_version(&shared, "web", "1").unwrap();
    let mut manifest = manifest("web");
    manifest.version = "2".into();
    let bytes = fixtures::package(&manifest);
    let package = package::parse(&bytes, "web").unwrap();
    let facts = Facts {
        name: "web",
        version: "2",
        build_id: "b1",
        by: "me",
        at: 0,
        of: None,
        signature: None,
    };
    let keeper = shared.keeper().unwrap();
    keeper.lock().begin(&facts, &bytes).unwrap();
    let _begun = shared.with(|supervisor| supervisor.begin(package)).unwrap();
    let vms: Vec<u64> = kernel.lock().vms.keys().copied().collect();
    vms.try_into().unwrap()
}

#[test]
fn a_supervisor_that_died_before_the_switch_goes_back_to_the_last_release() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let [older, younger] = die_between_releases(&kernel, &disk);
    let shared = boot(&kernel, &disk);
    assert_eq!(restore(&shared).running, 1);
    assert_eq!(version(&shared, "web").unwrap().0, "1");
    assert!(kernel.lock().vms.contains_key(&older));
    assert!(!kernel.lock().vms.contains_key(&younger));
    let releases = shared.keeper().unwrap().lock().releases("web");
    assert_eq!(releases[0].outcome, Outcome::Failed(CUT_SHORT.into()));
    assert_eq!(releases[1].outcome, Outcome::Current);
}

#[test]
fn a_supervisor_that_died_before_the_switch_runs_what_is_kept_if_nobody_knows() {
    let disk = Memory::new(2048);
    let kernel = SharedKernel::new(4000);
    let [older, younger] = die_between_releases(&kernel, &disk);
    {
        let mut kernel = kernel.lock();
        kernel.end(
            crate::kernel::VmId(older),
            denali_abi::end::EndReason::Stopped,
            0,
        );
        kernel.vms.remove(&older);
    }
    let shared = boot(&kernel, &disk);
    assert_eq!(restore(&shared).running, 1);
    assert_eq!(version(&shared, "web").unwrap().0, "1");
    let kernel = kernel.lock();
    assert_eq!(kernel.vms.len(), 1);
    assert!(!kernel.vms.contains_key(&younger), "it may run release 2");
}

#[test]
fn a_release_whose_signature_does_not_fit_does_not_come_back() {
    let disk = Memory::new(2048);
    let shared = boot(&SharedKernel::new(4000), &disk);
    let mut manifest = manifest("web");
    manifest.publish.clear();
    let bytes = fixtures::package(&manifest);
    let package = package::parse(&bytes, "web").unwrap();
    let forged = Deployer {
        who: "me".into(),
        of: None,
        signature: Some(Signature {
            key: fixtures::PUBLIC_KEY.into(),
            release: 1,
            value: hex::encode(&[7; 64]),
        }),
    };
    deploy(&shared, &bytes, package, &forged).unwrap();
    drop(shared);
    let shared = boot(&SharedKernel::new(4000), &disk);
    let restored = restore(&shared);
    assert_eq!(restored.running, 0);
    assert!(restored.failed[0].1.contains("signature"), "{restored:?}");
}
