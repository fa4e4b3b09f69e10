//! `cargo denali test`: tests of a service, run in VMs and reported as `cargo test` does.

use test_harness::cli::Outcome;
use test_harness::guest::Guest;
use test_harness::home::Home;
use test_harness::project::Project;

/// The exit status of a run in which a test failed, as of `cargo test`.
const TEST_FAILED: i32 = 101;

/// Runs the tests of the guest `tested` with these arguments.
fn test(home: &Home, arguments: &[&str], code: i32) -> Outcome {
    let project = Guest::new("tested").memory("2M").project();
    let test = home.denali(["test"]).args(arguments);
    test.within(project).fails(code)
}

/// Returns the lines that name a test and its outcome.
fn outcomes(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.stdout.lines();
    lines
        .filter(|line| line.starts_with("test tests::"))
        .collect()
}

/// Returns what the report shows of a test's output.
fn output<'a>(outcome: &'a Outcome, test: &str) -> &'a str {
    let heading = format!("---- tests::{test} stdout ----\n");
    let (_, rest) = outcome
        .stdout
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no {heading:?} in {outcome}"));
    rest.split("\n\n").next().unwrap_or(rest)
}

#[test]
fn every_way_to_fail_is_reported_and_the_others_go_on() {
    let home = Home::new();
    let outcome = test(&home, &[], TEST_FAILED);
    assert_eq!(
        outcomes(&outcome),
        [
            "test tests::a_passes ... ok",
            "test tests::b_fails ... FAILED",
            "test tests::c_waits ... ok",
            "test tests::d_waits_and_fails ... FAILED",
            "test tests::e_returns_an_error ... FAILED",
            "test tests::f_is_ignored ... ignored, takes a day",
            "test tests::g_has_to_panic - should panic ... ok",
            "test tests::h_does_not_panic - should panic ... FAILED",
            "test tests::i_panics_otherwise - should panic ... FAILED",
            "test tests::inner::a_port_is_free_again ... ok",
            "test tests::j_overflows_its_stack ... FAILED",
            "test tests::k_leaves ... FAILED",
            "test tests::l_writes_much ... ok",
            "test tests::m_fails_in_another_thread ... FAILED",
            "test tests::n_overflows_a_sum ... FAILED",
        ],
        "{outcome}"
    );
    for line in [
        "running 15 tests",
        "test result: FAILED. 5 passed; 9 failed; 1 ignored; 0 measured; 0 filtered out; finished",
    ] {
        assert!(outcome.stdout.contains(line), "no {line:?} in {outcome}");
    }
    for (test, said) in [
        ("b_fails", "half a line"),
        ("b_fails", "thread 'tests::b_fails' panicked at "),
        ("b_fails", "src/bin/tested.rs:"),
        ("b_fails", "numbers are as they are"),
        ("b_fails", "/denali-test/tested 0x"),
        ("d_waits_and_fails", "error: it took too long"),
        ("e_returns_an_error", "error: invalid digit found in string"),
        ("h_does_not_panic", "did not panic as expected"),
        ("i_panics_otherwise", "expected string `something else`"),
        (
            "j_overflows_its_stack",
            "the VM ended: stack overflow at 0x",
        ),
        ("k_leaves", "the VM ended: exit code 0"),
        ("m_fails_in_another_thread", "a worker fails"),
        ("n_overflows_a_sum", "attempt to add with overflow"),
    ] {
        let output = output(&outcome, test);
        assert!(output.contains(said), "no {said:?} in {output}");
    }
    assert!(!outcome.stdout.contains("a passing test writes this"));
    outcome.explains("test failed", "cargo denali test NAME -- --nocapture");
    home.assert_nothing_runs();
}

#[test]
fn filters_and_options_are_those_of_cargo_test() {
    let home = Home::new();
    let some = test(&home, &["waits"], TEST_FAILED);
    assert_eq!(
        outcomes(&some),
        [
            "test tests::c_waits ... ok",
            "test tests::d_waits_and_fails ... FAILED"
        ]
    );
    assert!(some.stdout.contains("13 filtered out"), "{some}");

    let words = [
        "--",
        "tests::a_passes",
        "--exact",
        "--nocapture",
        "--test-threads",
        "1",
    ];
    let one = test(&home, &words, 0);
    let live = "test tests::a_passes ... \na passing test writes this\nok\n";
    assert!(one.stdout.contains(live), "{one}");
    assert!(
        one.stdout
            .contains("test result: ok. 1 passed; 0 failed; 0 ignored"),
        "{one}"
    );

    let ignored = test(&home, &["--", "--ignored"], 0);
    assert_eq!(outcomes(&ignored), ["test tests::f_is_ignored ... ok"]);

    let list = test(&home, &["a_", "--", "--list"], 0);
    let names = "tests::a_passes: test\ntests::inner::a_port_is_free_again: test\n";
    assert!(list.stdout.contains(names), "{list}");

    let none = test(&home, &["nothing"], 0);
    assert!(none.stdout.contains("running 0 tests"), "{none}");
    test(&home, &["--", "--nonsense"], 2);
    home.assert_nothing_runs();
}

#[test]
fn every_template_has_a_test_that_passes() {
    let home = Home::new();
    for template in ["minimal", "web-server", "cache", "c-echo"] {
        let project = Project::shared(&home, template);
        let outcome = home.denali(["test"]).within(project.folder()).succeeds();
        let passed = outcome.stdout.contains("test result: ok. ");
        assert!(passed && !outcome.stdout.contains(" 0 passed"), "{outcome}");
    }
}
