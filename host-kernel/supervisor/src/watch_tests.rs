//! Services that end again and again, on a kernel whose clock the tests move.

use super::*;
use crate::fixtures::{self, SharedKernel, manifest};
use crate::health::fake::FakeNetwork;
use crate::package;
use denali_abi::end::EndReason;
use std::sync::Mutex;

struct Bench {
    kernel: SharedKernel,
    shared: Shared,
    answer: Arc<Mutex<Result<(), String>>>,
}

impl Bench {
    /// A host that runs `web` with these settings.
    fn new(restart: Restart, health: Option<Check>) -> Self {
        let kernel = SharedKernel::new(4000);
        let answer = Arc::new(Mutex::new(Ok(())));
        let said = Arc::clone(&answer);
        let network = FakeNetwork::new(&kernel, move |_, _| said.lock().unwrap().clone());
        let shared = Shared::new(kernel.supervisor()).asking(network);
        let mut manifest = manifest("web");
        (manifest.restart, manifest.health) = (restart, health);
        let bytes = fixtures::package(&manifest);
        let package = package::parse(&bytes, "web").unwrap();
        shared
            .with(|supervisor| supervisor.deploy(package))
            .unwrap();
        Self {
            kernel,
            shared,
            answer,
        }
    }

    /// Lets time pass, with a turn every 250 ms.
    fn wait_ms(&self, ms: u64) {
        for _ in 0..ms / 250 {
            self.kernel.lock().now_ns += 250_000_000;
            turn(&self.shared);
        }
    }

    fn view(&self) -> protocol::Service {
        self.shared
            .with(|supervisor| supervisor.view("web"))
            .unwrap()
    }

    fn crash(&self) {
        let vm = self.kernel.vm_named("web");
        self.kernel.lock().print(vm, "the end is near\n");
        self.kernel.end("web", EndReason::DivideError, 0);
    }

    fn kinds(&self) -> Vec<Kind> {
        let events = self.shared.with(|supervisor| supervisor.events().behind(0));
        events.into_iter().map(|event| event.kind).collect()
    }
}

#[test]
fn a_service_that_crashed_runs_again_after_a_pause_that_doubles() {
    let bench = Bench::new(Restart::OnFailure, None);
    for pause_ms in [250, 500, 1000, 2000] {
        bench.crash();
        bench.wait_ms(250);
        let reason = bench.view().reason.unwrap();
        assert!(reason.starts_with("divide error"), "{reason}");
        assert!(
            reason.ends_with(&format!("runs again in {pause_ms} ms")),
            "{reason}"
        );
        bench.wait_ms(pause_ms - 250);
        assert_eq!(bench.view().state, ServiceState::Crashed);
        bench.wait_ms(250);
        assert_eq!(bench.view().state, ServiceState::Running);
    }
    assert_eq!(bench.view().restarts, 4);
    let words = bench
        .shared
        .with(|it| it.last_words("web").map(<[u8]>::to_vec));
    assert_eq!(words.unwrap(), b"the end is near\n");
    assert_eq!(bench.kernel.counts(), (1, 1));
}

#[test]
fn a_service_that_runs_for_a_while_begins_anew() {
    let bench = Bench::new(Restart::OnFailure, None);
    bench.crash();
    bench.wait_ms(1000);
    assert_eq!(bench.view().restarts, 1);
    bench.wait_ms(61_000);
    assert_eq!(bench.view().restarts, 0);
}

#[test]
fn a_crash_loop_is_noticed_and_ended() {
    let bench = Bench::new(Restart::Always, None);
    for _ in 0..=ENDS_MAX {
        bench.crash();
        for _ in 0..200 {
            bench.wait_ms(250);
            if bench.view().state == ServiceState::Running {
                break;
            }
        }
    }
    let view = bench.view();
    assert_eq!(
        (view.state, view.restarts),
        (ServiceState::Crashed, ENDS_MAX + 1)
    );
    assert!(view.reason.unwrap().contains("crash loop"));
    assert_eq!(bench.kinds().last(), Some(&Kind::CrashLoop));
    bench.wait_ms(100_000);
    assert_eq!(bench.view().state, ServiceState::Crashed);
    bench
        .shared
        .with(|supervisor| supervisor.start("web"))
        .unwrap();
    assert_eq!((bench.view().restarts, bench.view().reason), (0, None));
}

#[test]
fn policies_differ_in_what_they_take_for_a_failure() {
    let ends: [(&str, EndReason, u64); 2] = [
        ("crash", EndReason::DivideError, 0),
        ("exit", EndReason::Terminated, 0),
    ];
    for (restart, again) in [
        (Restart::Never, [false, false]),
        (Restart::OnFailure, [true, false]),
        (Restart::Always, [true, true]),
    ] {
        for ((name, reason, detail), again) in ends.into_iter().zip(again) {
            let bench = Bench::new(restart, None);
            bench.kernel.end("web", reason, detail);
            bench.wait_ms(5000);
            let runs = bench.view().state == ServiceState::Running;
            assert_eq!(runs, again, "{restart:?} {name}");
        }
    }
}

#[test]
fn what_was_stopped_by_order_stays_so() {
    let bench = Bench::new(Restart::Always, None);
    bench
        .shared
        .with(|supervisor| supervisor.stop("web"))
        .unwrap();
    bench.wait_ms(10_000);
    assert_eq!(bench.view().state, ServiceState::Stopped);
    let bench = Bench::new(Restart::Always, None);
    let asked = bench
        .shared
        .with(|it| it.ask_to_stop("web", Duration::from_secs(1)));
    asked.unwrap();
    bench.wait_ms(10_000);
    assert_eq!(bench.view().state, ServiceState::Stopped);
    // Also between two runs.
    let bench = Bench::new(Restart::Always, None);
    bench.crash();
    bench.wait_ms(250);
    bench
        .shared
        .with(|supervisor| supervisor.stop("web"))
        .unwrap();
    bench.wait_ms(10_000);
    assert_eq!(bench.view().state, ServiceState::Crashed);
}

#[test]
fn a_service_that_is_ill_is_ended_and_runs_again() {
    let check = Check::Http {
        port: 80,
        path: "/health".into(),
    };
    for restart in [Restart::Never, Restart::OnFailure] {
        let bench = Bench::new(restart, Some(check.clone()));
        let first = bench.kernel.vm_named("web");
        bench.wait_ms(60_000);
        assert_eq!(bench.kinds(), []);
        *bench.answer.lock().unwrap() = Err("status 500".into());
        bench.wait_ms(20_000);
        assert_eq!(bench.kinds(), [], "twice may be bad luck");
        bench.wait_ms(12_000);
        assert_eq!(bench.kinds()[0], Kind::Unhealthy);
        let again = bench.kernel.vm_named("web") != first;
        assert_eq!(again, restart == Restart::OnFailure);
        if !again {
            let reason = bench.view().reason.unwrap();
            assert_eq!(reason, "fails its health check");
            *bench.answer.lock().unwrap() = Ok(());
            bench.wait_ms(11_000);
            assert_eq!(bench.view().reason, None);
        }
    }
}

#[test]
fn a_service_without_room_to_run_again_is_tried_again() {
    let bench = Bench::new(Restart::OnFailure, None);
    let failure = (
        crate::kernel::fake::Call::VmCreate,
        denali_abi::errno::Errno::OutOfMemory,
    );
    bench.kernel.lock().failures.push(failure);
    bench.crash();
    bench.wait_ms(5000);
    assert_eq!(bench.view().state, ServiceState::Running);
    assert_eq!(bench.view().restarts, 2);
}

#[test]
fn many_services_are_looked_at_in_turns() {
    let kernel = SharedKernel::new(1 << 20);
    kernel.lock().vms_max = 2000;
    let shared = Shared::new(kernel.supervisor());
    let mut manifest = manifest("web");
    manifest.restart = Restart::Always;
    manifest.publish.clear();
    let bytes = fixtures::package(&manifest);
    let package = package::parse(&bytes, "web").unwrap();
    for number in 1..=1200 {
        let copy = package.copy(number).unwrap();
        shared.with(|supervisor| supervisor.deploy(copy)).unwrap();
    }
    kernel.end("web-999", EndReason::DivideError, 0);
    for _ in 0..8 {
        kernel.lock().now_ns += 250_000_000;
        turn(&shared);
    }
    let view = shared
        .with(|supervisor| supervisor.view("web-999"))
        .unwrap();
    assert_eq!(view.state, ServiceState::Running);
}

#[test]
fn last_words_outlive_the_host() {
    let disk = fixtures::Memory::new(2048);
    let boot = |kernel: &SharedKernel| {
        let (keeper, _) =
            crate::keeper::Keeper::open(alloc::boxed::Box::new(disk.clone()), 1).unwrap();
        Shared::new(kernel.supervisor())
            .keeping(keeper)
            .asking(FakeNetwork::new(kernel, |_, _| Ok(())))
    };
    let kernel = SharedKernel::new(4000);
    let shared = boot(&kernel);
    let mut manifest = manifest("web");
    manifest.restart = Restart::OnFailure;
    let bytes = fixtures::package(&manifest);
    let package = package::parse(&bytes, "web").unwrap();
    let by = crate::releases::Deployer::default();
    crate::releases::deploy(&shared, &bytes, package, &by).unwrap();
    let vm = kernel.vm_named("web");
    kernel.lock().print(vm, "why it ended\n");
    kernel.end("web", EndReason::DivideError, 0);
    for _ in 0..4 {
        kernel.lock().now_ns += 250_000_000;
        turn(&shared);
    }
    drop(shared);
    let shared = boot(&SharedKernel::new(4000));
    crate::releases::restore(&shared);
    let words = shared.with(|it| it.last_words("web").map(<[u8]>::to_vec));
    assert_eq!(words.unwrap(), b"why it ended\n");
    let keeper = shared.keeper().unwrap();
    keeper.lock().forget("web").unwrap();
    assert!(keeper.lock().words().is_empty());
}
