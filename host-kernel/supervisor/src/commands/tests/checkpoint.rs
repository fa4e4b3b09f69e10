//! Checkpoints and clones against a fake kernel.

use super::*;
use crate::kernel::fake::Call;
use alloc::vec;
use denali_abi::errno::Errno;
use denali_abi::layout::{INITIAL_STACK_TOP, PAGE_SIZE};

/// A page of the heap and one of the stack.
const PAGES: [u64; 2] = [0x0100_0000 / PAGE_SIZE, INITIAL_STACK_TOP / PAGE_SIZE - 1];

/// A service that has written two pages.
fn written() -> Bench {
    let bench = Bench::with_service();
    let vm = bench.kernel.vm_named("web");
    let mut kernel = bench.kernel.lock();
    let vm = kernel.vms.get_mut(&vm.0).unwrap();
    vm.pages.extend(PAGES.into_iter().zip([7, 9]));
    vm.state.monotonic_ns = 77;
    drop(kernel);
    bench
}

/// A terminal that stays through pauses.
fn patient(input: &[u8]) -> FakeTerminal {
    let mut terminal = FakeTerminal::new(input);
    terminal.on_pause = Box::new(|_| Ok(()));
    terminal
}

fn checkpoint(bench: &Bench) -> Vec<u8> {
    let mut terminal = patient(b"");
    let status = run("checkpoint web", &bench.shared, &mut terminal).unwrap();
    assert_eq!((status, terminal.error_text().as_str()), (status::OK, ""));
    terminal.output
}

fn restore(bench: &Bench, file: &[u8]) -> (u32, String, String) {
    bench.run_with("restore web", &mut patient(file))
}

/// Returns pages, clock and whether the VM of this name is kept still.
fn seen(bench: &Bench, name: &str) -> (Vec<(u64, u8)>, u64, bool) {
    let vm = bench.kernel.vm_named(name);
    let kernel = bench.kernel.lock();
    let vm = &kernel.vms[&vm.0];
    let pages = vm.pages.iter().map(|(&page, &fill)| (page, fill));
    (pages.collect(), vm.state.monotonic_ns, vm.frozen)
}

fn expected() -> (Vec<(u64, u8)>, u64, bool) {
    (PAGES.into_iter().zip([7, 9]).collect(), 77, false)
}

#[test]
fn a_service_that_was_removed_is_what_it_was_after_a_restore() {
    let bench = written();
    let file = checkpoint(&bench);
    assert_eq!(seen(&bench, "web"), expected(), "the original goes on");
    let [before]: [Service; 1] = json(&bench.run("ls --json").1);
    bench.run("rm web");
    assert_eq!(bench.kernel.counts(), (0, 0));
    let (code, output, errors) = restore(&bench, &file);
    assert_eq!((code, errors.as_str()), (status::OK, ""));
    assert_eq!(output, "web: running at 10.90.1.1\n");
    assert_eq!(seen(&bench, "web"), expected());
    let [after]: [Service; 1] = json(&bench.run("ls --json").1);
    assert_eq!(
        (before.version, before.publish),
        (after.version, after.publish)
    );
    let vm = bench.kernel.vm_named("web");
    let arguments = bench.kernel.lock().vms[&vm.0].arguments.clone();
    assert_eq!(arguments, b"--verbose\0\0LEVEL=info\0");
    let image = bench.kernel.lock().images.values().next().cloned().unwrap();
    assert_eq!(image.1, fixtures::image()[4096..]);
    let events = bench.run("events --json").1;
    assert!(events.contains("checkpointed") && events.contains("restored"));
}

#[test]
fn a_service_that_is_there_goes_on_once_it_is_stopped() {
    let bench = written();
    let file = checkpoint(&bench);
    let (code, _, errors) = restore(&bench, &file);
    assert_eq!(code, status::REFUSED);
    assert!(errors.contains("stop it first"), "{errors}");
    assert_eq!(seen(&bench, "web"), expected());
    bench.run("stop web --deadline 0");
    assert_eq!(restore(&bench, &file).0, status::OK);
    assert_eq!(seen(&bench, "web"), expected());
    assert_eq!(bench.kernel.counts(), (1, 1));
}

#[test]
fn a_checkpoint_of_another_service_or_a_taken_port_is_refused() {
    let bench = written();
    let file = checkpoint(&bench);
    let other = bench.run_with("restore api", &mut patient(&file));
    assert_eq!(other.0, status::USAGE);
    assert!(other.2.contains("of service `web`"), "{}", other.2);
    bench.run("rm web");
    assert_eq!(bench.deploy("api", "").0, status::OK);
    let (code, _, errors) = restore(&bench, &file);
    assert_eq!(code, status::REFUSED);
    assert!(errors.contains("published by `api`"), "{errors}");
    assert_eq!(bench.kernel.counts(), (1, 1));
}

#[test]
fn whatever_is_wrong_with_a_file_leaves_nothing_behind() {
    let bench = written();
    let file = checkpoint(&bench);
    bench.run("rm web");
    let cuts = (0..file.len())
        .step_by(97)
        .map(|length| file[..length].to_vec());
    let flips = (0..file.len()).step_by(61).map(|at| {
        let mut file = file.clone();
        file[at] ^= 1 << (at % 8);
        file
    });
    for broken in cuts
        .chain(flips)
        .chain([b"#!/bin/sh\n".to_vec(), vec![0; 5000]])
    {
        let (code, output, errors) = restore(&bench, &broken);
        assert_eq!((code, output.as_str()), (status::FAILED, ""));
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains("checkpoint"), "{errors}");
        assert_eq!(bench.kernel.counts(), (0, 0));
    }
    assert_eq!(restore(&bench, &file).0, status::OK);
}

#[test]
fn a_kernel_that_refuses_leaves_nothing_behind() {
    let bench = written();
    let file = checkpoint(&bench);
    bench.run("rm web");
    let calls = [
        Call::ImageCreate,
        Call::ImageWrite,
        Call::VmCreate,
        Call::PageWrite,
        Call::VmThaw,
    ];
    for call in calls {
        for errno in [Errno::OutOfMemory, Errno::Invalid] {
            bench.kernel.lock().failures.push((call, errno));
            let (code, _, errors) = restore(&bench, &file);
            assert_ne!(code, status::OK, "{call:?}");
            assert!(!errors.is_empty());
            assert_eq!(bench.kernel.counts(), (0, 0), "{call:?}");
        }
    }
}

#[test]
fn clones_have_what_the_original_had_and_names_addresses_and_macs_of_their_own() {
    let bench = written();
    let line = "clone web --count 5 --json";
    let (code, output, errors) = bench.run_with(line, &mut patient(b""));
    assert_eq!((code, errors.as_str()), (status::OK, ""));
    let scaled: denali_protocol::Scaled = json(&output);
    assert_eq!((scaled.before, scaled.copies), (0, 5));
    for number in 1..=5 {
        assert_eq!(seen(&bench, &format!("web-{number}")), expected());
    }
    assert_eq!(seen(&bench, "web"), expected());
    assert_eq!(bench.kernel.counts(), (6, 1));
    let (_, output, _) = bench.run_with("clone web", &mut patient(b""));
    assert_eq!(output, "web: cloned as web-6 to web-6\n");
    for wrong in ["clone", "clone web --count 0", "clone web --count 1001"] {
        assert_eq!(bench.run(wrong).0, status::USAGE, "{wrong}");
    }
    assert_eq!(bench.run("clone nobody").0, status::NOT_FOUND);
}

#[test]
fn clones_that_fail_are_gone_and_the_original_goes_on() {
    let bench = written();
    for call in [Call::VmCreate, Call::PageWrite] {
        bench
            .kernel
            .lock()
            .failures
            .push((call, Errno::OutOfMemory));
        let line = "clone web --count 3";
        let (code, _, errors) = bench.run_with(line, &mut patient(b""));
        assert_ne!((code, errors.as_str()), (status::OK, ""), "{call:?}");
        assert_eq!(bench.kernel.counts(), (1, 1), "{call:?}");
        assert_eq!(seen(&bench, "web"), expected());
    }
}

#[test]
fn a_new_supervisor_lets_go_on_what_the_last_one_froze_and_frees_what_it_had_begun() {
    let bench = written();
    let vm = bench.kernel.vm_named("web");
    bench.shared.with(|supervisor| {
        supervisor.kernel().vm_freeze(vm).unwrap();
        let flags = denali_abi::control::vm_flags::FROZEN;
        supervisor.make_clone("web", 1, flags).unwrap();
    });
    assert!(seen(&bench, "web").2);
    let mut next = bench.kernel.supervisor();
    assert_eq!(fixtures::list(&mut next).len(), 1);
    assert_eq!(seen(&bench, "web"), expected());
    assert_eq!(bench.kernel.counts().0, 1);
}
