//! Command lines against a fake kernel and a fake terminal.

mod checkpoint;

use super::*;
use crate::fixtures::{self, SharedKernel, manifest};
use crate::health::fake::FakeNetwork;
use crate::hex;
use crate::kernel::VmId;
use crate::kernel::fake::BOOT_REPORT;
use crate::terminal::fake::FakeTerminal;
use alloc::boxed::Box;
use alloc::format;
use denali_abi::end::EndReason;
use denali_protocol::{DeployStep, Host, LogLine, Refusal, Removed, Service, ServiceState};
use sha2::{Digest as _, Sha256};

struct Bench {
    kernel: SharedKernel,
    shared: Shared,
}

impl Bench {
    fn new() -> Self {
        let kernel = SharedKernel::new(2000);
        let network = FakeNetwork::new(&kernel, |_, _| Ok(()));
        let shared = Shared::new(kernel.supervisor()).asking(network);
        Self { kernel, shared }
    }

    /// A host that keeps what it is told.
    fn with_store() -> Self {
        let Self { kernel, shared } = Self::new();
        let disk = fixtures::Memory::new(2048);
        let (keeper, _) = crate::keeper::Keeper::open(Box::new(disk), 1).unwrap();
        let shared = shared.keeping(keeper);
        Self { kernel, shared }
    }

    fn with_service() -> Self {
        let bench = Self::new();
        assert_eq!(bench.deploy("web", "").0, status::OK);
        bench
    }

    /// Runs a line. Returns its status, standard output and standard error.
    fn run(&self, line: &str) -> (u32, String, String) {
        self.run_with(line, &mut FakeTerminal::new(b""))
    }

    fn run_with(&self, line: &str, terminal: &mut FakeTerminal) -> (u32, String, String) {
        let status = run(line, &self.shared, terminal).expect("the terminal stays");
        (status, terminal.text(), terminal.error_text())
    }

    fn deploy(&self, name: &str, options: &str) -> (u32, String, String) {
        let package = fixtures::package(&manifest(name));
        let line = format!("{} {options}", deploy_line(name, &package));
        self.run_with(&line, &mut FakeTerminal::new(&package))
    }
}

fn deploy_line(name: &str, package: &[u8]) -> String {
    let digest = hex::encode(&Sha256::digest(package));
    format!("deploy {name} --length {} --sha256 {digest}", package.len())
}

fn json<T: serde::de::DeserializeOwned>(line: &str) -> T {
    serde_json::from_str(line).expect(line)
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let (code, output, errors) = Bench::new().run("frobnicate");
    assert_eq!((code, output.as_str()), (status::USAGE, ""));
    assert_eq!(
        errors,
        "error: no command `frobnicate`: `help` lists those there are\n"
    );
    assert_eq!(Bench::new().run(&"x".repeat(2000)).0, status::USAGE);
}

#[test]
fn help_names_every_command() {
    let (code, output, _) = Bench::new().run("help");
    assert_eq!(code, status::OK);
    for verb in [
        "ls", "ps", "deploy", "logs", "stop", "start", "rm", "host", "version",
    ] {
        assert!(output.contains(verb), "{verb}");
    }
    assert_eq!(Bench::new().run("").1, "");
}

#[test]
fn what_the_kernel_said_while_booting_is_shown() {
    let bench = Bench::new();
    let (code, output, _) = bench.run("host --boot");
    assert_eq!((code, output.as_str()), (status::OK, BOOT_REPORT));
    let (_, output, _) = bench.run("host --boot --json");
    let lines: Vec<_> = output.lines().map(|it| json::<LogLine>(it).line).collect();
    assert_eq!(lines, BOOT_REPORT.lines().collect::<Vec<_>>());
}

#[test]
fn a_service_goes_through_its_life() {
    let bench = Bench::new();
    assert!(bench.run("ls").1.contains("no services yet"));
    let (code, output, errors) = bench.deploy("web", "");
    assert_eq!((code, errors.as_str()), (status::OK, ""));
    assert!(output.ends_with(
        "deployed web 1.2.3 at 10.90.1.1, ports 8080->80/tcp, not kept beyond this boot\n"
    ));
    assert!(bench.run("ps").1.contains("web   running  10.90.1.1"));
    assert_eq!(bench.run("stop web").1, "web: stopped at 10.90.1.1\n");
    assert_eq!(bench.run("start web").1, "web: running at 10.90.1.1\n");
    assert_eq!(bench.run("start web").0, status::FAILED);
    assert_eq!(bench.run("rm web").1, "web: removed\n");
    assert_eq!(bench.run("rm web").0, status::NOT_FOUND);
}

#[test]
fn a_service_that_does_not_end_when_asked_is_ended_at_the_deadline() {
    for (obedient, line, pauses) in [
        (true, "stop web", 0),
        (false, "stop web", 200),
        (false, "stop web --deadline 2", 40),
        (false, "stop web --deadline 0", 0),
    ] {
        let bench = Bench::with_service();
        bench.kernel.lock().obedient = obedient;
        let mut terminal = FakeTerminal::new(b"");
        terminal.on_pause = Box::new(|_| Ok(()));
        let (code, output, _) = bench.run_with(line, &mut terminal);
        assert_eq!(code, status::OK);
        assert_eq!(output, "web: stopped at 10.90.1.1\n", "{line}");
        assert_eq!(terminal.pauses, pauses, "{line}");
    }
    let bench = Bench::with_service();
    for wrong in ["stop web --deadline 3601", "stop web --deadline soon"] {
        assert_eq!(bench.run(wrong).0, status::USAGE, "{wrong}");
    }
}

#[test]
fn a_sleeper_is_called_in_before_it_is_ended_for_what_it_printed_lies_there() {
    let longest = 2_000 / 50;
    for (calls, pauses) in [(3, 3), (1000, longest)] {
        let bench = Bench::with_service();
        bench.kernel.lock().calls_to_wake = calls;
        let mut terminal = FakeTerminal::new(b"");
        terminal.on_pause = Box::new(|_| Ok(()));
        let (code, output, _) = bench.run_with("stop web --deadline 0", &mut terminal);
        assert_eq!(
            (code, output.as_str()),
            (status::OK, "web: stopped at 10.90.1.1\n")
        );
        assert_eq!(terminal.pauses, pauses);
    }
}

#[test]
fn a_log_that_went_with_its_service_is_said_to_be_gone() {
    let bench = Bench::with_service();
    bench.run("stop web --deadline 0");
    assert_eq!(bench.run("logs web").2, "");
    let mut kernel = bench.kernel.lock();
    let vm = kernel.vms.values_mut().next().unwrap();
    vm.status.console_written = 12;
    vm.console_start = 12;
    drop(kernel);
    let (code, output, errors) = bench.run("logs web");
    assert_eq!((code, output.as_str()), (status::OK, ""));
    assert!(errors.contains("is gone"), "{errors}");
}

#[test]
fn a_service_is_ended_at_once_if_the_client_goes_away() {
    let bench = Bench::with_service();
    bench.kernel.lock().obedient = false;
    let mut terminal = FakeTerminal::new(b"");
    assert!(run("stop web", &bench.shared, &mut terminal).is_err());
    let services: Vec<Service> = json(&bench.run("ls --json").1);
    assert_eq!(services[0].state, ServiceState::Stopped);
}

#[test]
fn json_is_what_the_protocol_says() {
    let bench = Bench::with_service();
    let services: Vec<Service> = json(&bench.run("ls --json").1);
    assert_eq!(services[0].state, ServiceState::Running);
    assert_eq!(services[0].publish[0].host, 8080);
    let host: Host = json(&bench.run("host --json").1);
    assert_eq!(host.vms, 1);
    let version: denali_protocol::Version = json(&bench.run("version --json").1);
    assert_eq!(version.abi_version, denali_abi::ABI_VERSION);
    let stopped: Service = json(&bench.run("stop web --json").1);
    assert_eq!(stopped.state, ServiceState::Stopped);
    let removed: Removed = json(&bench.run("rm web --json").1);
    assert_eq!(removed.name, "web");
}

#[test]
fn every_step_of_a_deployment_is_a_line_of_json() {
    let (code, output, _) = Bench::new().deploy("web", "--json");
    assert_eq!(code, status::OK);
    let steps: Vec<DeployStep> = output.lines().map(json).collect();
    assert_eq!(steps.len(), 4);
    assert!(matches!(steps[0], DeployStep::Ready { release: 0, .. }));
    assert!(matches!(steps[1], DeployStep::Verified { .. }));
    assert!(matches!(
        steps[2],
        DeployStep::Admitted {
            memory: 0x10_0000,
            ..
        }
    ));
    assert!(
        matches!(&steps[3], DeployStep::Done { replaced: false, service, .. } if service.name == "web")
    );
}

/// Runs a deployment that must be refused, and checks that it changed nothing.
fn refused(line: &str, input: &[u8]) -> (u32, Refusal, String) {
    let bench = Bench::new();
    let mut terminal = FakeTerminal::new(input);
    let (code, output, errors) = bench.run_with(&format!("{line} --json"), &mut terminal);
    let last = output.lines().last().expect("a step");
    let DeployStep::Refused { kind, message } = json(last) else {
        panic!("not refused: {last}")
    };
    assert_eq!(errors, format!("error: {message}\n"));
    let kernel = bench.kernel.lock();
    assert_eq!((kernel.vms.len(), kernel.images.len()), (0, 0));
    (code, kind, message)
}

#[test]
fn a_package_that_did_not_arrive_whole_changes_nothing() {
    let package = fixtures::package(&manifest("web"));
    let line = deploy_line("web", &package);
    let (code, kind, message) = refused(&line, &package[..5000]);
    assert_eq!((code, kind), (status::FAILED, Refusal::Package));
    assert!(message.contains("only 5000 of"), "{message}");
    let longer: Vec<u8> = package.iter().copied().chain([0]).collect();
    assert!(
        refused(&line, &longer)
            .2
            .contains("more than the announced")
    );
    let mut flipped = package.clone();
    flipped[7000] ^= 1;
    assert!(refused(&line, &flipped).2.contains("digest"));
    assert_eq!(
        refused(&deploy_line("other", &package), &package).1,
        Refusal::Package
    );
}

#[test]
fn a_package_larger_than_the_host_takes_is_refused_before_it_is_sent() {
    let line = format!("deploy web --length 16777217 --sha256 {}", "0".repeat(64));
    let (code, kind, message) = refused(&line, b"");
    assert_eq!((code, kind), (status::REFUSED, Refusal::Admission));
    assert!(message.contains("at most 16777216"));
}

#[test]
fn a_malformed_deploy_line_is_a_usage_error() {
    let digest = "0".repeat(64);
    for line in [
        "deploy".into(),
        "deploy web".into(),
        format!("deploy web --length 0 --sha256 {digest}"),
        format!("deploy web --length -1 --sha256 {digest}"),
        format!("deploy web --length 99999999999999999999 --sha256 {digest}"),
        "deploy web --length 10 --sha256 zz".into(),
        format!("deploy --length 10 --sha256 {digest}"),
        format!("deploy we/b --length 10 --sha256 {digest}"),
        format!("deploy web again --length 10 --sha256 {digest}"),
        "deploy web --length".into(),
    ] {
        let (code, kind, _) = refused(&line, b"");
        assert_eq!((code, kind), (status::USAGE, Refusal::Usage), "{line}");
    }
}

#[test]
fn a_conflict_names_the_other_service() {
    let bench = Bench::with_service();
    let (code, _, errors) = bench.deploy("second", "");
    assert_eq!(code, status::REFUSED);
    assert!(
        errors.contains("8080/tcp is published by `web`"),
        "{errors}"
    );
}

#[test]
fn one_package_is_in_memory_at_a_time() {
    let bench = Bench::new();
    let slot = bench.shared.take_upload_slot();
    let package = fixtures::package(&manifest("web"));
    let mut terminal = FakeTerminal::new(&package);
    terminal.on_pause = Box::new(|_| Ok(()));
    let (code, _, errors) = bench.run_with(&deploy_line("web", &package), &mut terminal);
    assert_eq!(code, status::REFUSED);
    assert!(errors.contains("another deployment is under way"));
    drop(slot);
    assert_eq!(bench.deploy("web", "").0, status::OK);
    assert!(bench.shared.take_upload_slot().is_some());
}

#[test]
fn logs_show_what_a_crashed_service_printed() {
    let bench = Bench::with_service();
    let vm = bench.kernel.vm_named("web");
    bench.kernel.lock().print(vm, "one\ntwo\nthree\n");
    bench
        .kernel
        .lock()
        .end(vm, EndReason::StackOverflow, 0x2001_0ff8);
    assert_eq!(bench.run("logs web").1, "one\ntwo\nthree\n");
    assert_eq!(bench.run("logs web --lines 1").1, "three\n");
    assert_eq!(bench.run("logs web -f").1, "one\ntwo\nthree\n");
    let lines: Vec<LogLine> = bench.run("logs web --json").1.lines().map(json).collect();
    assert_eq!(lines[2].line, "three");
    assert!(
        bench
            .run("ls")
            .1
            .contains("crashed: stack overflow at 0x20010ff8 (rip 0x11a2b3)")
    );
    assert_eq!(bench.run("logs nobody").0, status::NOT_FOUND);
    assert_eq!(bench.run("logs web --lines many").0, status::USAGE);
}

#[test]
fn following_a_log_ends_with_the_service_and_misses_nothing() {
    let bench = Bench::with_service();
    let vm = bench.kernel.vm_named("web");
    bench.kernel.lock().print(vm, "start\n");
    let mut terminal = FakeTerminal::new(b"");
    let kernel = bench.kernel.clone();
    terminal.on_pause = Box::new(move |pause| {
        match pause {
            0 => kernel.lock().print(vm, &"x".repeat(10_000)),
            1 => {}
            _ => {
                kernel.lock().print(vm, "\nlast words\n");
                kernel.lock().end(vm, EndReason::Terminated, 0);
            }
        }
        Ok(())
    });
    let (code, output, _) = bench.run_with("logs -f web", &mut terminal);
    assert_eq!(code, status::OK);
    assert_eq!(
        output,
        format!("start\n{}\nlast words\n", "x".repeat(10_000))
    );
}

#[test]
fn following_a_log_ends_when_the_service_is_removed_or_the_client_goes() {
    let bench = Bench::with_service();
    let mut terminal = FakeTerminal::new(b"");
    assert_eq!(
        run("logs web -f", &bench.shared, &mut terminal),
        Err(Closed)
    );
    let kernel = bench.kernel.clone();
    let mut terminal = FakeTerminal::new(b"");
    terminal.on_pause = Box::new(move |_| {
        kernel.lock().vms.clear();
        Ok(())
    });
    assert_eq!(bench.run_with("logs web -f", &mut terminal).0, status::OK);
}

#[test]
fn a_console_that_wrapped_is_shown_from_the_oldest_byte_kept() {
    let bench = Bench::with_service();
    let vm = bench.kernel.vm_named("web");
    bench.kernel.lock().print(vm, "kept\n");
    let mut kernel = bench.kernel.lock();
    let record = kernel.vms.get_mut(&vm.0).unwrap();
    record.console_start = 70_000;
    record.status.console_written = 70_005;
    drop(kernel);
    assert_eq!(bench.run("logs web").1, "kept\n");
}

#[test]
fn limits_are_shown_and_changed() {
    let bench = Bench::with_service();
    let (code, output, _) = bench.run("limits web");
    assert_eq!(code, status::OK);
    assert_eq!(output, "web: weight 100, cap -, packets -, bytes -\n");
    let (code, output, _) = bench.run("limits web --weight 300 --cap 0.5 --packets 10k/s");
    assert_eq!(code, status::OK);
    assert_eq!(output, "web: weight 300, cap 0.5, packets 10k/s, bytes -\n");
    let (_, output, _) = bench.run("limits --cap none web --json");
    let service: Service = json(&output);
    assert_eq!(
        (service.limits.cpu_weight, service.limits.cpu_cap),
        (300, None)
    );
    let (_, output, _) = bench.run("ls --wide");
    assert!(output.contains("WEIGHT  CAP  PACKETS  BYTES"), "{output}");
    assert!(output.contains("300     -    10k/s    -"), "{output}");
    assert!(!bench.run("ls").1.contains("WEIGHT"));
}

#[test]
fn limits_that_cannot_be_are_usage_errors() {
    let bench = Bench::with_service();
    for (options, part) in [
        ("--weight 0", "--weight `0` is not a number from 1 to 10000"),
        (
            "--cap 2",
            "--cap `2` is not a part of a CPU such as 0.5, or none",
        ),
        (
            "--packets 5",
            "--packets `5` is not a rate such as 10k/s, or none",
        ),
        ("--bytes -1/s", "--bytes `-1/s` is not a rate"),
        ("--speed 5", "`--speed`"),
    ] {
        let (code, _, errors) = bench.run(&format!("limits web {options}"));
        assert_eq!(code, status::USAGE, "{options}");
        assert!(errors.contains(part), "{errors}");
    }
    assert_eq!(bench.run("limits nobody --weight 5").0, status::NOT_FOUND);
}

#[test]
fn a_long_list_is_shown_in_turns_and_can_be_narrowed() {
    let kernel = SharedKernel::new(1 << 20);
    kernel.lock().vms_max = 1000;
    let shared = Shared::new(kernel.supervisor());
    let bench = Bench { kernel, shared };
    let mut terminal = FakeTerminal::new(&fixtures::package(&manifest("web")));
    terminal.on_pause = Box::new(|_| Ok(()));
    let package = fixtures::package(&manifest("web"));
    let line = format!("{} --copies 200", deploy_line("web", &package));
    assert_eq!(bench.run_with(&line, &mut terminal).0, status::OK);

    let list = |options: &str| -> (Vec<String>, usize) {
        let mut terminal = FakeTerminal::new(b"");
        terminal.on_pause = Box::new(|_| Ok(()));
        let line = format!("ls --json {options}");
        let (code, output, errors) = bench.run_with(&line, &mut terminal);
        assert_eq!(code, status::OK, "{errors}");
        let services: Vec<Service> = json(&output);
        let names = services.into_iter().map(|it| it.name).collect();
        (names, terminal.pauses)
    };
    let (all, pauses) = list("");
    assert_eq!((all.len(), pauses), (200, 3));
    assert!(all.is_sorted());
    assert_eq!(list("--limit 3").0, ["web-1", "web-10", "web-100"]);
    assert_eq!(list("--limit 2 --after web-98").0, ["web-99"]);
    assert_eq!(list("--prefix web-19").0.len(), 11);
    assert_eq!(list("--name web-7").0, ["web-7"]);
    assert_eq!(list("--name nobody --published").0.len(), 0);
    assert_eq!(list("--state crashed").0.len(), 0);

    let busy = bench.kernel.vm_named("web-42");
    let record = |vm: VmId, cpu_ns| {
        let mut kernel = bench.kernel.lock();
        kernel
            .vms
            .get_mut(&vm.0)
            .expect("it is there")
            .status
            .cpu_ns = cpu_ns;
    };
    record(busy, 1000);
    record(bench.kernel.vm_named("web-7"), 500);
    assert_eq!(list("--sort cpu --limit 3").0, ["web-42", "web-7", "web-1"]);
    for wrong in ["ls --sort age", "ls --limit 0", "ls --state well"] {
        assert_eq!(bench.run(wrong).0, status::USAGE, "{wrong}");
    }
}

#[test]
fn a_dormant_service_needs_a_disk_and_an_address() {
    let bench = Bench::new();
    let (code, _, errors) = bench.deploy("web", "--dormant");
    assert_eq!(code, status::REFUSED);
    assert!(errors.contains("this host has no disk"), "{errors}");
    bench.kernel.lock().swap_blocks = 1 << 20;
    let mut by_dhcp = manifest("web");
    by_dhcp.address = Some(denali_protocol::Address::Dhcp);
    let package = fixtures::package(&by_dhcp);
    let line = format!("{} --dormant", deploy_line("web", &package));
    let (code, _, errors) = bench.run_with(&line, &mut FakeTerminal::new(&package));
    assert_eq!(code, status::REFUSED);
    assert!(errors.contains("needs an address"), "{errors}");
    assert_eq!(bench.deploy("web", "--dormant").0, status::OK);
    let services: Vec<Service> = json(&bench.run("ls --json").1);
    assert_eq!(services[0].state, ServiceState::Dormant);
}

#[test]
fn fit_says_what_binds() {
    let bench = Bench::new();
    let (code, output, _) = bench.run("fit --memory 1048576");
    assert_eq!(code, status::OK);
    assert!(output.starts_with("7 more fit: memory binds\n"), "{output}");
    let fit: denali_protocol::Fit = json(&bench.run("fit --memory 1048576 --json").1);
    assert_eq!((fit.vms, fit.binds.as_str()), (7, "memory"));
    assert_eq!(bench.run("fit").0, status::USAGE);
}

#[test]
fn a_command_line_is_a_script() {
    let bench = Bench::with_service();
    assert_eq!(bench.run("ls | grep web | count").1, "1\n");
    assert_eq!(
        bench.run("ls | grep api"),
        (1, String::new(), String::new())
    );
    assert_eq!(
        bench.run("wait-for web healthy 1s && echo fine").1,
        "fine\n"
    );
    let (code, _, errors) = bench.run("wait-for web gone 0s || exit 9");
    assert_eq!(code, 9);
    assert!(errors.contains("web: is running after 0 ms"), "{errors}");
    assert_eq!(
        bench
            .run("for s in w*; do stop $s; done; ls --state stopped | count")
            .1
            .lines()
            .last(),
        Some("2")
    );
    assert_eq!(
        bench
            .run("if ls --name web | grep stopped; then start web; fi")
            .0,
        status::OK
    );
    assert_eq!(bench.run("set -e; rm nobody; rm web").0, status::NOT_FOUND);
    assert_eq!(
        bench
            .run("ls --json | head 1 | grep '\"name\":\"web\"' | count")
            .1,
        "1\n"
    );
    assert_eq!(bench.run("ls |").0, status::USAGE);
    assert_eq!(bench.run("ls | rm web").0, status::FAILED);
    assert_eq!(bench.run("rm web").0, status::OK);
}

#[test]
fn a_script_comes_on_standard_input() {
    let bench = Bench::with_service();
    let script = b"set -e\n# all of them\nfor s in *; do\n  echo $s\ndone\nrm nobody\necho on\n";
    let mut terminal = FakeTerminal::new(script);
    let (code, output, errors) = bench.run_with("sh", &mut terminal);
    assert_eq!((code, output.as_str()), (status::NOT_FOUND, "web\n"));
    assert!(errors.contains("no service `nobody`"), "{errors}");
    let mut terminal = FakeTerminal::new(b"sh");
    assert_eq!(
        bench.run_with("sh", &mut terminal).0,
        status::FAILED,
        "within bounds"
    );
    let mut terminal = FakeTerminal::new(&[0xff; 20]);
    assert_eq!(bench.run_with("sh", &mut terminal).0, status::USAGE);
    let mut terminal = FakeTerminal::new("#".repeat(20_000).as_bytes());
    assert_eq!(bench.run_with("sh", &mut terminal).0, status::USAGE);
}

#[test]
fn scripts_are_kept_listed_run_and_forgotten() {
    let bench = Bench::with_store();
    let put =
        |line: &str, text: &str| bench.run_with(line, &mut FakeTerminal::new(text.as_bytes()));
    assert_eq!(
        put("script put hi --on every-5s", "echo hello; exit 3").0,
        status::OK
    );
    assert_eq!(put("script put loop", "script run loop").0, status::OK);
    assert_eq!(put("script put bad", "if").0, status::USAGE);
    assert_eq!(put("script put bad --on full-moon", "ls").0, status::USAGE);
    assert_eq!(put("script put ../x", "ls").0, status::USAGE);
    let listed: Vec<denali_protocol::scripts::Listed> = json(&bench.run("script ls --json").1);
    assert_eq!((listed.len(), listed[0].on.as_str()), (2, "every-5s"));
    assert_eq!(
        bench.run("script run hi"),
        (3, "hello\n".into(), String::new())
    );
    assert_eq!(bench.run("script run hi | count").1, "1\n");
    let (code, _, errors) = bench.run("script run loop");
    assert_eq!(code, status::FAILED);
    assert!(errors.contains("deep"), "{errors}");
    assert_eq!(bench.run("script show hi").1, "echo hello; exit 3");
    assert_eq!(bench.run("script rm hi").0, status::OK);
    assert_eq!(bench.run("script rm hi").0, status::NOT_FOUND);
    assert_eq!(bench.run("script run hi").0, status::NOT_FOUND);
}

#[test]
fn what_happened_is_listed() {
    let bench = Bench::with_service();
    bench.run("stop web; start web; rm web");
    let lines: Vec<denali_protocol::events::Event> =
        bench.run("events --json").1.lines().map(json).collect();
    let kinds: Vec<&str> = lines.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["deployed", "stopped", "started", "removed"]);
    assert!(lines[1].detail.starts_with("by SHA256:"), "{lines:?}");
    assert_eq!(bench.run("events --service api").1, "");
    assert_eq!(bench.run("events | count").1, "4\n");
}

#[test]
fn words_are_completed() {
    let bench = Bench::with_service();
    let complete = |before: &str| complete(before, &bench.shared);
    assert!(complete("lo").contains(&"logs".into()));
    assert_eq!(complete("logs w"), ["web"]);
    assert_eq!(complete("ls; logs "), ["web"]);
    assert_eq!(complete("logs x"), [] as [&str; 0]);
    assert!(complete("ls | gr").contains(&"ls".into()), "verbs");
}

#[test]
fn a_key_may_do_what_its_role_says() {
    let bench = Bench::with_service();
    let line = |seed: u8| {
        let key = zssh::ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        let key = key.verifying_key();
        (crate::keys::line(&key), crate::keys::fingerprint(&key))
    };
    let [(deployer, deploys), (reader, reads)] = [line(1), line(2)];
    let add = format!("key add --role deploy --services web,api-* {deployer} ci at work");
    assert_eq!(bench.run(&add).1, format!("{deploys}: added\n"));
    assert_eq!(
        bench.run(&format!("key add --role read {reader}")).0,
        status::OK
    );
    let run_as = |who: &str, line: &str| {
        let mut terminal = FakeTerminal::new(b"");
        terminal.who = who.into();
        bench.run_with(line, &mut terminal)
    };
    for (line, by_deployer, by_reader) in [
        ("ls", true, true),
        ("limits web", true, true),
        ("limits web --weight 5", true, false),
        ("stop web", true, false),
        ("start web", true, false),
        ("rm api-1", true, false),
        ("rm other", false, false),
        ("rollback other", false, false),
        ("deploy other --length 5 --sha256 00", false, false),
        ("key ls", false, false),
        ("script rm x", false, false),
        ("for s in *; do stop $s; done", true, false),
    ] {
        for (who, may) in [(&deploys, by_deployer), (&reads, by_reader)] {
            let status = run_as(who, line).0;
            if line.starts_with("deploy") {
                assert_ne!(status, status::OK);
                continue;
            }
            assert_eq!(status != status::NOT_ALLOWED, may, "{line} by {who}");
        }
    }
    let keys: Vec<denali_protocol::keys::Key> = json(&bench.run("key ls --json").1);
    assert_eq!(keys.len(), 3);
    assert_eq!(bench.run(&format!("key rm {deploys}")).0, status::OK);
    let (code, _, errors) = run_as(&deploys, "ls");
    assert_eq!(code, status::NOT_ALLOWED);
    assert!(errors.contains("revoked"), "{errors}");
    let (code, _, errors) = bench.run(&format!("key rm {}", fixtures::FINGERPRINT));
    assert_eq!(code, status::REFUSED);
    assert!(errors.contains("last administrator"), "{errors}");
    for wrong in [
        "key",
        "key add",
        "key add --role king ssh-ed25519 AAAA",
        "key add --role deploy ssh-ed25519 AAAA",
        "key add --role read ssh-rsa AAAA",
        "key add --role read",
    ] {
        assert_eq!(bench.run(wrong).0, status::USAGE, "{wrong}");
    }
    assert_eq!(bench.run("key rm SHA256:none").0, status::NOT_FOUND);
    let events = bench.run("events --json").1;
    assert!(events.contains("key-added") && events.contains("key-revoked"));
}

#[test]
fn copies_are_made_and_removed() {
    let bench = Bench::with_service();
    let scaled = |line: &str| -> denali_protocol::Scaled { json(&bench.run(line).1) };
    let scale = scaled("scale web 3 --json");
    assert_eq!((scale.before, scale.copies), (0, 3));
    let (_, images) = bench.kernel.counts();
    assert_eq!(
        (bench.run("ls | grep web- | count").1.as_str(), images),
        ("3\n", 1)
    );
    let arguments = |name: &str| {
        let vm = bench.kernel.vm_named(name);
        bench.kernel.lock().vms[&vm.0].arguments.clone()
    };
    assert_eq!(arguments("web-2"), arguments("web"));
    let ports = bench.run("ls --published | grep web | count").1;
    assert_eq!(ports, "1\n", "copies publish none");
    bench.run("rm web-2");
    assert_eq!(scaled("scale web 4 --json").before, 1);
    assert_eq!(bench.run("ls | grep web- | count").1, "4\n");
    assert_eq!(scaled("scale web 1 --json").before, 4);
    assert_eq!(bench.run("scale web 1").1, "web: 1 copies before, 1 now\n");
    let (code, _, errors) = bench.run("scale web 100");
    assert_eq!(code, status::REFUSED);
    assert!(errors.contains("copies now"), "{errors}");
    assert_eq!(bench.run("scale nobody 1").0, status::NOT_FOUND);
    assert_eq!(bench.run("scale nobody 0").0, status::OK);
    for wrong in [
        "scale",
        "scale web",
        "scale web many",
        "scale web 100001",
        "scale web 1 2",
    ] {
        assert_eq!(bench.run(wrong).0, status::USAGE, "{wrong}");
    }
}

#[test]
fn metrics_are_told() {
    let bench = Bench::with_service();
    let (code, text, _) = bench.run("metrics");
    assert_eq!(code, status::OK);
    assert!(text.contains("denali_service_up{service=\"web\"} 1\n"));
    assert_eq!(
        bench
            .run("metrics | grep 'denali_host_vms{kind=\"present\"}'")
            .1
            .lines()
            .count(),
        1
    );
    assert_eq!(bench.run("metrics web").0, status::USAGE);
}

/// What happens to a package and its signature on their way.
type Change<'c> = &'c dyn Fn(&mut Vec<u8>);

#[test]
fn a_signed_deployment_is_what_somebody_with_the_right_signed() {
    let bench = Bench::with_store();
    let key = zssh::ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let line = crate::keys::line(&key.verifying_key());
    let who = crate::keys::fingerprint(&key.verifying_key());
    assert_eq!(
        bench.run(&format!("key add --role admin {line}")).0,
        status::OK
    );
    let package = fixtures::package(&manifest("web"));
    let digest = hex::encode(&Sha256::digest(&package));
    let host = crate::signing::host_line(&fixtures::settings());
    let deploy = |release: u32, change: Change<'_>| {
        let message = denali_protocol::signing::message(&host, "web", release, &digest);
        let value = zssh::ed25519_dalek::Signer::sign(&key, message.as_bytes());
        let mut bytes = [&package[..], &value.to_bytes()].concat();
        change(&mut bytes);
        let mut terminal = FakeTerminal::new(&bytes);
        terminal.who = who.clone();
        bench.run_with(
            &format!("{} --signed", deploy_line("web", &package)),
            &mut terminal,
        )
    };
    let unchanged: Change<'_> = &|_| {};
    assert_eq!(deploy(1, unchanged).0, status::OK);
    let cases: [(u32, Change<'_>, &str); 6] = [
        (1, unchanged, "release 2"),
        (3, unchanged, "release 2"),
        (
            2,
            &|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1,
            "release 2",
        ),
        (
            2,
            &|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
            "arrived",
        ),
        (2, &|bytes: &mut Vec<u8>| bytes.push(0), "more than"),
        (2, &|bytes: &mut Vec<u8>| bytes[9000] ^= 1, "digest"),
    ];
    for (release, change, part) in cases {
        let (code, _, errors) = deploy(release, change);
        assert_eq!(code, status::FAILED);
        assert!(errors.contains(part), "{errors}");
        assert_eq!(bench.kernel.counts(), (1, 1), "nothing was created");
    }
    assert_eq!(deploy(2, unchanged).0, status::OK);
    assert_eq!(bench.run("rollback web").0, status::OK);
    let releases: Vec<denali_protocol::releases::Release> =
        json(&bench.run("releases web --json").1);
    let signed: Vec<Option<u32>> = releases
        .iter()
        .map(|release| release.signature.as_ref().map(|it| it.release))
        .collect();
    assert_eq!(
        signed,
        [Some(1), Some(2), Some(1)],
        "a rollback keeps what was signed"
    );
}
