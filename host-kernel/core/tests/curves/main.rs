//! Throughput against the number of VMs, the slope of Zipf's law and the size of clusters, in virtual
//! time: a closed loop of clients, servers with a working set, disks that seek.
//!
//! ```console
//! $ cargo test -p denali-kernel-core --test curves                 # a few points
//! $ DENALI_CURVES=docs/src/evaluation/curves \
//!       cargo test -p denali-kernel-core --test curves             # all, written there
//! ```

#[path = "../host/mod.rs"]
mod host;
#[path = "../servers/mod.rs"]
mod servers;

use denali_chart::lines::{self, Axis, Series};
use servers::{Plan, World, Zipf};
use std::path::{Path, PathBuf};

/// Frames of the host: some 200 servers fit.
const FRAMES: u32 = 16_384;

/// The three that are compared.
const POLICIES: [(&str, &str); 3] = [
    ("Clock, on demand", "replacement=clock working-set=off"),
    ("WSClock, on demand", "replacement=ws-clock working-set=off"),
    (
        "WSClock, working sets",
        "replacement=ws-clock working-set=on",
    ),
];

/// Returns the rate of answers once the host has warmed up.
fn rate(vms: u32, alpha: f64, line: &str, requests: u32) -> f64 {
    let mut world = World::complete(Plan {
        frames: FRAMES,
        line: line.to_owned(),
        vms,
        flags: 0,
        pages: 60,
        pages_a_request: 16,
        clients: 16,
    });
    let zipf = Zipf::new(vms, alpha);
    world.load(&zipf, requests / 4);
    let rate = world.load(&zipf, requests);
    world.host.audit();
    rate
}

/// Where curves are written, if they are.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("DENALI_CURVES")?;
    Some(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(folder),
    )
}

/// Writes a chart and its data.
fn record(name: &str, labels: [&str; 2], axis: Axis, series: &[Series]) {
    if let Some(folder) = folder() {
        let title = format!("{} against {}", labels[1], labels[0]);
        let chart = lines::svg(&title, labels, axis, series);
        denali_chart::save(&folder, name, &chart, &lines::json(series)).expect("room");
    }
}

/// Measures each policy at each point.
fn curves<T: Copy>(points: &[(f64, T)], measure: impl Fn(T, &str) -> f64) -> Vec<Series> {
    let line = |&(name, line): &(&str, &str)| Series {
        name: name.to_owned(),
        points: points
            .iter()
            .map(|&(x, point)| (x, (measure(point, line) * 10.0).round() / 10.0))
            .collect(),
    };
    POLICIES.iter().map(line).collect()
}

#[test]
fn working_sets_are_the_faster_the_more_vms_share_memory() {
    let whole = folder().is_some();
    let (sizes, requests): (&[u32], u32) = if whole {
        (&[1, 10, 50, 100, 200, 300, 500, 1000, 3000, 10_000], 2000)
    } else {
        (&[50, 500], 400)
    };
    let points: Vec<(f64, u32)> = sizes.iter().map(|&vms| (f64::from(vms), vms)).collect();
    let series = curves(&points, |vms, line| rate(vms, 0.8, line, requests));
    let labels = ["VMs (64 MiB, alpha 0.8)", "answers a second"];
    record("vms", labels, Axis::Logarithmic, &series);
    let last = |nth: usize| series[nth].points.last().map_or(0.0, |point| point.1);
    assert!(last(2) > last(1) && last(2) > last(0), "{series:?}");
}

#[test]
fn slopes_and_clusters_are_drawn() {
    if folder().is_none() {
        return;
    }
    let slopes = [0.6, 0.8, 1.0, 1.2, 1.4].map(|alpha| (alpha, alpha));
    let series = curves(&slopes, |alpha, line| rate(1000, alpha, line, 2000));
    let labels = ["alpha (1,000 VMs on 64 MiB)", "answers a second"];
    record("alpha", labels, Axis::Linear, &series);
    let clusters = [4_u32, 16, 64].map(|kib| (f64::from(kib), kib));
    let series = curves(&clusters, |kib, line| {
        rate(1000, 0.8, &format!("{line} cluster={kib}"), 2000)
    });
    let labels = ["cluster in KiB (1,000 VMs on 64 MiB)", "answers a second"];
    record("cluster", labels, Axis::Logarithmic, &series);
}
