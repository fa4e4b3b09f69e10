//! Tests that run in a VM: what [`test`](macro@crate::test) registers, and what runs it.
//!
//! `cargo denali test` builds the service with `--cfg test`, in which [`entry!`](crate::entry!) runs the
//! tests instead of `main`. It finds names and attributes of the tests in a section of the ELF
//! file, says in the environment which ones to run, and learns from marks on the console which one
//! runs. A test that fails ends the VM; the tool then starts another one for those that are left.

#[cfg(denali)]
mod registry;

use crate::entry::MainResult;

/// The environment variable that says which tests to run: ranges of places in the list of all tests
/// sorted by name, `0-4,7`.
#[cfg(any(denali, test))]
const CHOICE_VARIABLE: &str = "DENALI_TESTS";

/// What a mark on the console starts with; the number of the test that starts now, or `done`, and a
/// line end follow.
#[cfg(denali)]
const MARK: &str = "\u{1}denali-test ";

/// A registered test.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// The crate, modules and function.
    pub path: &'static str,
    /// Runs it and returns 0, or another number if it returned an error.
    pub run: fn() -> i32,
}

/// Runs a test that is an ordinary function.
#[doc(hidden)]
pub fn plain<T: MainResult>(test: fn() -> T) -> i32 {
    test().report()
}

/// Runs a test that is an asynchronous function.
#[doc(hidden)]
pub fn future<F: Future<Output: MainResult>>(test: fn() -> F) -> i32 {
    crate::task::block_on(test()).report()
}

/// Returns a text as bytes; `N` must be its length.
#[doc(hidden)]
#[must_use]
pub const fn record<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(text.as_bytes());
    bytes
}

/// Runs the tests that the environment chooses, each in a thread of its own, up to the first that
/// fails. Returns the exit code.
#[cfg(denali)]
#[doc(hidden)]
pub fn run() -> i32 {
    use crate::thread;

    let mut tests = registry::tests().to_vec();
    tests.sort_unstable_by_key(|test| test.path);
    let choice = crate::env::var(CHOICE_VARIABLE).unwrap_or_default();
    for number in chosen(choice) {
        let Some(test) = tests.get(number) else {
            break;
        };
        crate::println!("{MARK}{number}");
        let name = test
            .path
            .split_once("::")
            .map_or(test.path, |(_, name)| name);
        let thread = thread::Builder::new()
            .name(name)
            .stack(thread::StackSize::Large);
        let code = match thread.spawn(test.run) {
            Ok(running) => running.join(),
            Err(error) => Err::<(), _>(error).report(),
        };
        if code != 0 {
            return code;
        }
    }
    crate::println!("{MARK}done");
    0
}

/// Returns the numbers in a list of ranges; what is no range is left out.
#[cfg(any(denali, test))]
fn chosen(ranges: &str) -> impl Iterator<Item = usize> {
    ranges.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => first..last.saturating_add(1),
            _ => 0..0,
        }
    })
}

/// What [`test`](macro@crate::test) expands to.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ($name:ident $call:ident [$($ignored:literal)*] [$($panics:literal)*] $item:item) => {
        #[cfg(all(denali, test))]
        #[expect(unsafe_code, reason = "`cargo denali test` finds the test in these sections")]
        const _: () = {
            $item

            #[used]
            #[unsafe(link_section = "denali_tests")]
            static TEST: $crate::testing::Test = $crate::testing::Test {
                path: ::core::concat!(::core::module_path!(), "::", ::core::stringify!($name)),
                run: || $crate::testing::$call($name),
            };

            const TEXT: &str = ::core::concat!(
                ::core::module_path!(), "::", ::core::stringify!($name),
                "\u{1f}", $($ignored,)* "\u{1f}", $($panics,)* "\u{1e}",
            );

            #[used]
            #[unsafe(link_section = "denali_test_names")]
            static RECORD: [u8; TEXT.len()] = $crate::testing::record(TEXT);
        };

        #[cfg(not(denali))]
        #[::core::prelude::v1::test]
        #[ignore = "runs in a VM: cargo denali test"]
        fn $name() {
            $item

            let _ = || $crate::testing::$call($name);
            ::core::panic!("this test runs in a VM: cargo denali test");
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn ranges_choose_tests_by_number() {
        let numbers = |ranges| chosen(ranges).collect::<Vec<_>>();
        assert_eq!(numbers("0-2,7,9-9"), [0, 1, 2, 7, 9]);
        assert!(numbers("").is_empty() && numbers("x,-,2-1").is_empty());
    }

    #[test]
    fn a_record_is_the_text() {
        const TEXT: &str = "a::b";
        static RECORD: [u8; TEXT.len()] = record(TEXT);
        assert_eq!(&RECORD, b"a::b");
    }

    #[test]
    fn errors_of_tests_become_a_code() {
        async fn fails() -> Result<(), &'static str> {
            Err("no")
        }
        assert_eq!(plain(|| ()), 0);
        assert_eq!(future(fails), 1);
        assert!(!CHOICE_VARIABLE.is_empty());
    }
}
