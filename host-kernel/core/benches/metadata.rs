//! What the kernel keeps of a VM that is paged out, beside what the seed kept (its slide "Per-VM
//! Metadata in Isolation Kernel").
//!
//! The descriptor of a VM does not grow with what the VM does; what else there is of it is on disk.

#![expect(clippy::cast_precision_loss, reason = "the numbers are small")]

use denali_chart::bars::{self, Bar};
use denali_kernel_core::machine::Space;
use denali_kernel_core::memory::frame::FrameList;
use denali_kernel_core::net::ring::RingState;
use denali_kernel_core::net::switch::ENTRY_BYTES;
use denali_kernel_core::paging::Swap;
use denali_kernel_core::time::Time;
use denali_kernel_core::vm::Vm;
use denali_kernel_core::vm::allowance::Allowance;
use denali_kernel_core::vm::network::Network;
use denali_kernel_core::vm::table::SLOT_BYTES;
use denali_kernel_core::vm::upcall::Upcall;
use std::path::Path;

/// What metadata is for.
const PARTS: [&str; 5] = ["stack", "paging", "Ethernet", "CPU", "the rest"];

/// The seed's: its stack; swap region and paging; its Ethernet; registers and alarms; command line and
/// other.
const SEED: [usize; 5] = [8192, 20 + 40, 80, 24 + 8, 64 + 72];

#[expect(clippy::print_stdout, reason = "the data is its output")]
fn main() {
    let [seed, here] = [("the seed", SEED), ("Denali", here())].map(|(name, parts)| Bar {
        name: name.to_owned(),
        parts: parts.map(|bytes| bytes as f64).to_vec(),
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/evaluation/curves");
    let bars = [seed, here];
    let chart = bars::svg("Bytes in memory of a VM that is paged out", &PARTS, &bars);
    let data = bars::json(&PARTS, &bars);
    denali_chart::save(&folder, "metadata", &chart, &data).expect("a folder of ours");
    println!("metadata:\n{data}");
}

/// Returns the bytes of each of [`PARTS`].
fn here() -> [usize; 5] {
    let paging = size_of::<Space>() + size_of::<FrameList>() + size_of::<Option<Swap>>();
    let ethernet = size_of::<Network>() + size_of::<RingState>() + ENTRY_BYTES;
    let deadlines = 2 * size_of::<Option<Time>>();
    let cpu = size_of::<Allowance>() + deadlines + size_of::<Option<Upcall>>();
    let all = size_of::<Vm>() + SLOT_BYTES + ENTRY_BYTES;
    [0, paging, ethernet, cpu, all - paging - ethernet - cpu]
}
