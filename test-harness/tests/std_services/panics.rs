//! Panics in every place a program with `std` can survive them, and one that it does not.

use denali_std as _;
use std::hint::black_box;
use std::panic::{catch_unwind, resume_unwind};
use std::thread;

/// Says when it is dropped.
struct Noisy(&'static str);

impl Drop for Noisy {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}

#[inline(never)]
fn reach_too_far() -> u32 {
    let _noisy = Noisy("frame");
    let empty: Vec<u32> = Vec::new();
    empty[black_box(3)]
}

#[tokio::main]
async fn main() {
    println!("caught: {}", catch_unwind(reach_too_far).is_err());

    let small = thread::Builder::new().stack_size(48 * 1024);
    let joined = small.spawn(reach_too_far).expect("a thread").join();
    println!("joined: {}", joined.is_err());

    let resumed = thread::spawn(|| resume_unwind(Box::new(5))).join();
    let payload = resumed.expect_err("it panicked");
    println!("payload: {:?}", payload.downcast_ref::<i32>());

    let task = tokio::spawn(async { reach_too_far() }).await;
    println!("task: {}", task.expect_err("it panicked").is_panic());

    let blocking = tokio::task::spawn_blocking(reach_too_far).await;
    println!("blocking: {}", blocking.expect_err("it panicked").is_panic());

    // Each of many unwinds, and gives back what it held.
    let all = (0..500).map(|_| thread::spawn(|| resume_unwind(Box::new(vec![0_u8; 4096]))));
    let failed = all.map(thread::JoinHandle::join).filter(Result::is_err).count();
    println!("many: {failed}");

    reach_too_far();
}
