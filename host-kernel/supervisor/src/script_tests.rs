//! When scripts run, and what they do, on a fake host.

use super::*;
use crate::fixtures::{self, Memory, SharedKernel, manifest};
use crate::health::fake::FakeNetwork;
use crate::package;
use alloc::boxed::Box;

struct Bench {
    kernel: SharedKernel,
    shared: Shared,
    schedule: Schedule,
}

impl Bench {
    fn new(frames: u64) -> Self {
        let kernel = SharedKernel::new(frames);
        let (keeper, _) = Keeper::open(Box::new(Memory::new(2048)), 1).unwrap();
        let shared = Shared::new(kernel.supervisor())
            .keeping(keeper)
            .asking(FakeNetwork::new(&kernel, |_, _| Ok(())));
        let schedule = Schedule::new(0);
        Self {
            kernel,
            shared,
            schedule,
        }
    }

    fn put(&self, name: &str, on: Trigger, text: &str) {
        let script = Script {
            text: text.into(),
            on,
            by: "me".into(),
            at: 0,
        };
        assert!(self.shared.scripts().lock().insert(name, script));
    }

    fn due(&mut self) -> Vec<String> {
        let due = self.schedule.due(&self.shared);
        due.into_iter().map(|due| due.name).collect()
    }

    fn deploy(&self, name: &str) {
        let mut manifest = manifest(name);
        manifest.publish.clear();
        let bytes = fixtures::package(&manifest);
        let package = package::parse(&bytes, name).unwrap();
        self.shared
            .with(|supervisor| supervisor.deploy(package))
            .unwrap();
    }
}

#[test]
fn scripts_run_once_at_boot_and_after_services_are_back() {
    let mut bench = Bench::new(4000);
    bench.put("hello", Trigger::Boot, "true");
    bench.put("other", Trigger::Order, "true");
    bench.shared.set_restoring(1);
    assert_eq!(bench.due(), [] as [&str; 0]);
    bench.shared.set_restoring(0);
    assert_eq!(bench.due(), ["hello"]);
    assert_eq!(bench.due(), [] as [&str; 0]);
}

#[test]
fn scripts_run_from_time_to_time() {
    let mut bench = Bench::new(4000);
    bench.put("tick", Trigger::Every(10), "true");
    let mut ran = 0;
    for _ in 0..65 {
        ran += bench.due().len();
        bench.kernel.lock().now_ns += 1_000_000_000;
    }
    assert_eq!(ran, 6);
}

#[test]
fn scripts_run_for_each_service_that_crashed() {
    let mut bench = Bench::new(4000);
    bench.put("save", Trigger::Crash, "start $SERVICE && echo $EVENT");
    bench.deploy("web");
    bench
        .shared
        .with(|supervisor| supervisor.stop("web"))
        .unwrap();
    bench
        .shared
        .with(|it| it.events().note(Kind::Stopped, Some("web"), ""));
    assert_eq!(bench.due(), [] as [&str; 0], "that was an order");
    bench
        .shared
        .with(|it| it.events().note(Kind::Crashed, Some("web"), "divide error"));
    turn(&mut bench.schedule, &bench.shared);
    let view = bench
        .shared
        .with(|supervisor| supervisor.view("web"))
        .unwrap();
    assert_eq!(view.state, denali_protocol::ServiceState::Running);
    assert_eq!(bench.due(), [] as [&str; 0]);
}

#[test]
fn scripts_run_when_the_host_becomes_nearly_full() {
    // Room for sixteen services and a little more.
    let mut bench = Bench::new(16 * 260);
    bench.put("full", Trigger::Full, "true");
    bench.kernel.lock().vms_max = 100;
    for number in 0..15 {
        bench.deploy(&format!("s{number}"));
    }
    let ran = bench.due().len();
    for number in 15..16 {
        bench.deploy(&format!("s{number}"));
    }
    assert_eq!((ran, bench.due().len()), (0, 1));
    assert_eq!(bench.due().len(), 0, "once is enough");
    for number in 0..3 {
        let name = format!("s{number}");
        bench
            .shared
            .with(|supervisor| supervisor.remove(&name))
            .unwrap();
    }
    assert_eq!(bench.due().len(), 0);
    for number in 0..3 {
        bench.deploy(&format!("s{number}"));
    }
    assert_eq!(bench.due().len(), 1);
}

#[test]
fn a_script_that_fails_is_noted() {
    let mut bench = Bench::new(4000);
    bench.put("bad", Trigger::Boot, "echo so far; nonsense");
    bench.put("slow", Trigger::Boot, "for i in 1 2 3; do sleep 1h; done");
    turn(&mut bench.schedule, &bench.shared);
    let events = bench
        .shared
        .with(|supervisor| supervisor.events().behind(0));
    let details: Vec<&str> = events.iter().map(|event| event.detail.as_str()).collect();
    assert_eq!(
        details[0],
        "script bad ended with status 2: so far\\nerror: no command \
                            `nonsense`: `help` lists those there are"
    );
    assert!(
        details[1].starts_with("script slow took too long"),
        "{details:?}"
    );
}

#[test]
fn scripts_outlive_the_host() {
    let disk = Memory::new(2048);
    let (mut keeper, _) = Keeper::open(Box::new(disk.clone()), 1).unwrap();
    let script = Script {
        text: "ls".into(),
        on: Trigger::Every(5),
        by: "me".into(),
        at: 7,
    };
    keeper.set_script("one", &script).unwrap();
    keeper.set_script("two", &script).unwrap();
    keeper.remove_script("two").unwrap();
    drop(keeper);
    let (keeper, _) = Keeper::open(Box::new(disk), 1).unwrap();
    let mut scripts = Scripts::default();
    scripts.load(&keeper);
    assert_eq!(scripts.iter().collect::<Vec<_>>(), [("one", &script)]);
}
