//! A service with tests of every kind, for `cargo denali test`.

#![no_std]
#![cfg_attr(denali, no_main)]

denali_rt::entry!(main);

fn main() {
    denali_rt::println!("the service runs, and not its tests");
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::string::{String, ToString as _};
    use core::hint::black_box;
    use core::num::ParseIntError;
    use core::time::Duration;
    use denali_rt::net::TcpListener;
    use denali_rt::sync::channel;
    use denali_rt::{process, registers, task, thread};

    #[denali_rt::test]
    fn a_passes() {
        denali_rt::println!("a passing test writes this");
        assert!(registers::get().resident_pages > 0);
    }

    #[denali_rt::test]
    fn b_fails() {
        denali_rt::print!("half a line");
        assert_eq!(black_box(1) + 1, 3, "numbers are as they are");
    }

    #[denali_rt::test]
    async fn c_waits() {
        task::sleep(Duration::from_millis(5)).await;
    }

    #[denali_rt::test]
    async fn d_waits_and_fails() -> Result<(), String> {
        task::sleep(Duration::from_millis(5)).await;
        Err("it took too long".to_string())
    }

    #[denali_rt::test]
    fn e_returns_an_error() -> Result<(), ParseIntError> {
        "no number".parse::<u32>().map(drop)
    }

    #[denali_rt::test]
    #[ignore = "takes a day"]
    fn f_is_ignored() {
        thread::sleep(Duration::from_millis(1));
    }

    #[denali_rt::test]
    #[should_panic(expected = "the bottom")]
    fn g_has_to_panic() {
        panic!("the bottom is reached");
    }

    #[denali_rt::test]
    #[should_panic]
    fn h_does_not_panic() {}

    #[denali_rt::test]
    #[should_panic(expected = "something else")]
    fn i_panics_otherwise() {
        panic!("the bottom is reached");
    }

    #[denali_rt::test]
    fn j_overflows_its_stack() {
        #[expect(unconditional_recursion, reason = "misbehaves on purpose")]
        fn descend(depth: u64) -> u64 {
            let frame = black_box([depth; 64]);
            descend(depth + 1) + black_box(frame)[7]
        }
        assert_eq!(descend(1), 0);
    }

    #[denali_rt::test]
    fn k_leaves() {
        process::exit(0);
    }

    #[denali_rt::test]
    fn l_writes_much() {
        for line in 0..2_000 {
            denali_rt::println!("line {line} of a test that writes much");
        }
    }

    #[denali_rt::test]
    fn m_fails_in_another_thread() {
        let (sender, receiver) = channel::unbounded::<u32>();
        let worker = thread::spawn(move || {
            drop(sender);
            assert!(black_box(false), "a worker fails");
        });
        worker.join();
        assert!(receiver.recv().is_err());
    }

    #[denali_rt::test]
    fn n_overflows_a_sum() {
        assert!(black_box(u8::MAX) + black_box(1) == 0);
    }

    mod inner {
        use super::TcpListener;

        #[denali_rt::test]
        fn a_port_is_free_again() {
            assert!(TcpListener::bind(80).is_ok());
            assert!(TcpListener::bind(80).is_ok());
        }
    }
}
