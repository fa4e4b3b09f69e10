//! `cargo run -p test-harness --bin lifecycles [COUNT]`: lives of VMs in QEMU, 100,000 unless told
//! otherwise, after which frames, promises, VMs and images are as before.

use anyhow::{Context as _, Result};
use test_harness::containment::kernel_of;
use test_harness::host::Host;
use test_harness::lives;

fn main() -> Result<()> {
    let count = std::env::args().nth(1);
    let count = count.map_or(Ok(100_000), |count| count.parse());
    let count = count.context("COUNT is a number")?;
    let kernel = kernel_of(&Host::up(&[]).status())?;
    let took = lives::run(&kernel, count)?;
    say(&format!(
        "{count} lives in {:.1} s, and nothing is left of them",
        took.as_secs_f32()
    ));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command talks to its user")]
fn say(line: &str) {
    println!("{line}");
}
