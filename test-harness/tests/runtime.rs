//! What the library OS promises, checked in VMs: many threads, useful panics, memory given back.

use denali_protocol::{Service, ServiceState};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::{facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        || Host::up(&[]),
        &facts![
            ten_thousand_threads_run_in_one_vm,
            a_panic_names_its_thread_and_the_way_there,
            free_memory_goes_back_to_the_kernel,
            threads_that_compute_starve_nobody_and_lose_nothing,
        ],
    )
}

/// Runs a guest to its end and returns what became of it, and its log.
fn run(host: &Host, name: &str, memory: &str) -> (Service, String) {
    host.deploy_to_its_end(&Guest::new(name).memory(memory).project());
    let service = host.wait_for_end(name);
    let log = host.logs(name);
    host.remove(name);
    (service, log)
}

/// Returns the numbers of the line that starts with `word`.
fn numbers(log: &str, word: &str) -> Vec<u64> {
    let line = log.lines().find(|line| line.starts_with(word));
    let line = line.unwrap_or_else(|| panic!("no {word:?} in {log}"));
    line.split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn ten_thousand_threads_run_in_one_vm(host: &Host) {
    let (service, log) = run(host, "ten_thousand", "128M");
    assert_eq!(service.state, ServiceState::Exited, "{log}");
    let [started, pages, after, sum] = numbers(&log, "threads")[..] else {
        panic!("other figures than expected: {log}");
    };
    assert_eq!((started, sum), (10_000, 49_995_000));
    assert!(pages < 12_000, "{pages} pages for 10,000 threads");
    assert!(after < 2_000, "{after} pages left when they had ended");
    assert!(numbers(&log, "tasks").ends_with(&[49_995_000]), "{log}");
}

fn a_panic_names_its_thread_and_the_way_there(host: &Host) {
    let (service, log) = run(host, "thread_panicker", "1M");
    assert_eq!(service.exit_code, Some(77));
    for expected in [
        "thread 'worker' panicked",
        "the bottom is reached",
        "backtrace of build",
    ] {
        assert!(log.contains(expected), "no {expected:?} in {log}");
    }
    let addresses = log.split_whitespace().filter(|word| word.starts_with("0x"));
    assert!(addresses.count() >= 6, "{log}");
}

fn free_memory_goes_back_to_the_kernel(host: &Host) {
    let (_, log) = run(host, "page_returner", "4M");
    let pages = ["at first", "allocated", "freed"].map(|when| numbers(&log, when)[0]);
    assert!(pages[1] - pages[0] >= 512, "{pages:?}");
    assert!(pages[2] - pages[0] <= 16, "{pages:?}");
    assert!(log.contains("too large is an error: true"), "{log}");
}

/// Two threads compute without ever waiting; the network is answered and the clock ticks all the same.
fn threads_that_compute_starve_nobody_and_lose_nothing(host: &Host) {
    const QUESTIONS: usize = 60;
    let port = free_port();
    let guest = Guest::new("preempted").publish(&[format!("{port}:7")]);
    host.deploy(&guest.project());
    host.wait_for_log("preempted", "listening");
    let mut stream = wait::until("a connection", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    for question in 0..QUESTIONS {
        let text = format!("question {question}");
        stream.write_all(text.as_bytes()).expect("it takes it");
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(answer, text.as_bytes());
    }
    stream.write_all(b"enough").expect("it takes it");
    let service = host.wait_for_end("preempted");
    let log = host.logs("preempted");
    assert_eq!(service.state, ServiceState::Exited, "{log}");
    let [one, two, wrong, ticks, expected] = numbers(&log, "rounds")[..] else {
        panic!("other figures than expected: {log}");
    };
    assert_eq!(wrong, 0, "{log}");
    assert!(
        one > 0 && two > 0 && one.abs_diff(two) <= one.max(two) / 2 + 4,
        "{log}"
    );
    // Each tick may be late by a slice of the VM, half a tick.
    assert!(ticks * 2 >= expected.saturating_sub(4), "{log}");
    host.remove("preempted");
}
