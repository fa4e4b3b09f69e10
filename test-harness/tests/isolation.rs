//! One host, a web server that keeps answering, and beside it every guest that misbehaves.

use denali_abi::end::EndReason;
use denali_protocol::ServiceState;
use std::process::ExitCode;
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::project::Project;
use test_harness::{facts, http, suite};

/// The exit code of a panic.
const PANIC: i32 = 101;

fn main() -> ExitCode {
    suite::run(
        Beside::boot,
        &facts![
            each_misdeed_ends_its_vm_and_no_other,
            an_exit_code_decides_between_exited_and_crashed,
            a_panic_is_reported_with_message_file_and_line,
            a_vm_that_never_yields_leaves_the_cpu_to_others,
            registers_survive_preemption,
            memory_of_the_dead_reads_as_zero,
            a_memory_limit_that_the_host_cannot_promise_is_refused,
            a_crashed_service_starts_again,
            a_running_service_is_given_other_limits,
        ],
    )
}

/// A host with a victim.
struct Beside {
    host: Host,
    victim_port: u16,
}

impl Beside {
    fn boot() -> Self {
        let host = Host::up(&[]);
        let victim = Project::shared(host.home(), "minimal");
        let victim_port = free_port();
        victim.publish(victim_port);
        host.deploy(victim.folder());
        Self { host, victim_port }
    }

    #[track_caller]
    fn assert_victim_answers(&self) {
        let response = http::get(self.victim_port, "/").expect("the victim answers");
        assert_eq!(response.text(), "hello from Denali!\n");
    }

    /// Runs a guest to its end.
    fn run(&self, guest: &Guest, name: &str) -> denali_protocol::Service {
        self.host.deploy_to_its_end(&guest.project());
        self.host.wait_for_end(name)
    }
}

fn each_misdeed_ends_its_vm_and_no_other(beside: &Beside) {
    let misdeeds = [
        ("divider", EndReason::DivideError),
        ("heap_runner", EndReason::AccessViolation),
        ("interrupt_disabler", EndReason::PrivilegedInstruction),
        ("kernel_reader", EndReason::BadAddress),
        ("linux_caller", EndReason::BadHypercall),
        ("memory_hog", EndReason::OutOfMemory),
        ("null_reader", EndReason::BadAddress),
        ("port_writer", EndReason::PrivilegedInstruction),
        ("ring_liar", EndReason::RingViolation),
        ("stack_overflower", EndReason::StackOverflow),
        ("text_writer", EndReason::AccessViolation),
    ];
    let mut wrong = Vec::new();
    for (name, expected) in misdeeds {
        let service = beside.run(&Guest::new(name), name);
        let reason = service.reason.clone().unwrap_or_default();
        if service.state != ServiceState::Crashed || !reason.starts_with(expected.name()) {
            wrong.push(format!("{name}: {:?}, {reason:?}", service.state));
        }
        let log = beside.host.logs(name);
        if log.contains("survived") {
            wrong.push(format!("{name}: {log}"));
        }
        beside.assert_victim_answers();
        beside.host.remove(name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(beside.host.service("minimal").state, ServiceState::Idle);
}

fn an_exit_code_decides_between_exited_and_crashed(beside: &Beside) {
    for (argument, code, state) in [
        ("0", 0, ServiceState::Exited),
        ("3", 3, ServiceState::Crashed),
        ("-1", -1, ServiceState::Crashed),
    ] {
        let service = beside.run(&Guest::new("leaver").arguments(&[argument]), "leaver");
        assert_eq!((service.state, service.exit_code), (state, Some(code)));
        beside.host.remove("leaver");
    }
}

fn a_panic_is_reported_with_message_file_and_line(beside: &Beside) {
    let service = beside.run(&Guest::new("panicker"), "panicker");
    assert_eq!(
        (service.state, service.exit_code),
        (ServiceState::Crashed, Some(PANIC))
    );
    let log = beside.host.logs("panicker");
    for expected in ["about to fail", "the answer is 42", "panicker.rs:10"] {
        assert!(log.contains(expected), "no {expected:?} in {log}");
    }
    beside.host.remove("panicker");
}

fn a_vm_that_never_yields_leaves_the_cpu_to_others(beside: &Beside) {
    let spinner = Guest::new("spinner").project();
    beside.host.deploy(&spinner);
    beside.host.wait_for_log("spinner", "spinning");
    for _ in 0..20 {
        beside.assert_victim_answers();
    }
    let service = beside.host.service("spinner");
    assert_eq!(service.state, ServiceState::Running);
    let used = service.cpu_ns;
    beside.assert_victim_answers();
    assert!(
        beside.host.service("spinner").cpu_ns > used,
        "it went on meanwhile"
    );
    beside.host.denali(["stop", "spinner"]).succeeds();
    assert_eq!(beside.host.service("spinner").state, ServiceState::Stopped);
    beside.host.remove("spinner");
}

fn registers_survive_preemption(beside: &Beside) {
    // The spinner takes every other quantum from the guest that looks after its registers.
    beside.host.deploy(&Guest::new("spinner").project());
    let service = beside.run(&Guest::new("register_keeper"), "register_keeper");
    assert_eq!(
        service.exit_code,
        Some(0),
        "{}",
        beside.host.logs("register_keeper")
    );
    beside.host.remove("register_keeper");
    beside.host.remove("spinner");
}

fn memory_of_the_dead_reads_as_zero(beside: &Beside) {
    // Two runs of 7 MiB each pass through more frames than the reader gets.
    for _ in 0..2 {
        let service = beside.run(&Guest::new("secret_writer").memory("8M"), "secret_writer");
        assert_eq!(
            service.exit_code,
            Some(0),
            "{}",
            beside.host.logs("secret_writer")
        );
        beside.host.remove("secret_writer");
    }
    let service = beside.run(&Guest::new("memory_reader").memory("8M"), "memory_reader");
    let log = beside.host.logs("memory_reader");
    assert_eq!(service.exit_code, Some(0), "{log}");
    assert!(
        log.contains("0 of 1700 pages' words were not zero"),
        "{log}"
    );
    beside.host.remove("memory_reader");
}

fn a_memory_limit_that_the_host_cannot_promise_is_refused(beside: &Beside) {
    let before = beside.host.status().answered();
    let greedy = Guest::new("leaver").memory("1G").project();
    let outcome = beside.host.denali(["deploy"]).within(greedy).fails(5);
    outcome.explains("needs", "cargo denali ls");
    assert!(
        beside
            .host
            .services()
            .iter()
            .all(|service| service.name != "leaver")
    );
    let after = beside.host.status().answered();
    assert_eq!(after.memory_available, before.memory_available);
    beside.assert_victim_answers();
}

fn a_crashed_service_starts_again(beside: &Beside) {
    beside.run(&Guest::new("divider"), "divider");
    beside.host.denali(["start", "divider"]).succeeds();
    let service = beside.host.wait_for_end("divider");
    assert!(
        service
            .reason
            .is_some_and(|reason| reason.starts_with("divide error"))
    );
    beside.host.remove("divider");
}

fn a_running_service_is_given_other_limits(beside: &Beside) {
    let host = &beside.host;
    let row = || {
        let table = host.denali(["ls", "--wide"]).succeeds().stdout;
        let row = table.lines().find(|line| line.starts_with("minimal "));
        let row = row.expect("the service is listed");
        row.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let shown = |row: &[String], limits: [&str; 4]| {
        let found = row.windows(4).any(|columns| columns == limits);
        assert!(found, "no {limits:?} in {row:?}");
    };
    shown(&row(), ["100", "-", "-", "-"]);
    let changes = [
        "--weight",
        "250",
        "--cap",
        "0.5",
        "--packets",
        "10k/s",
        "--bytes",
        "1M/s",
    ];
    host.denali(["limits", "minimal"]).args(changes).succeeds();
    shown(&row(), ["250", "0.5", "10k/s", "1M/s"]);
    beside.assert_victim_answers();
    let back = [
        "--weight",
        "100",
        "--cap",
        "none",
        "--packets",
        "none",
        "--bytes",
        "none",
    ];
    host.denali(["limits", "minimal"]).args(back).succeeds();
    shown(&row(), ["100", "-", "-", "-"]);
}
