//! Footprints and instruction counts do not grow unnoticed.

use test_harness::figures;

/// What was measured when it was last looked at, and is recorded in
/// `docs/src/evaluation/footprint.md`.
const RECORDED: [(&str, u64); 11] = [
    ("image, minimal", 0),
    ("image, web-server", 0),
    ("image, cache", 0),
    ("idle VM, minimal", 0),
    ("idle VM, web-server", 0),
    ("idle VM, cache", 0),
    ("GET of web-server, the service's share", 0),
    ("GET of web-server, the kernel's share", 0),
    ("get of cache, the service's share", 0),
    ("get of cache, the kernel's share", 0),
    ("waiting threads", 0),
];

/// How much worse than recorded a figure may be, in hundredths.
const TOLERANCE: u64 = 5;

#[test]
fn no_figure_is_worse_than_recorded() {
    let measured = figures::all();
    assert_eq!(measured.len(), RECORDED.len());
    for (figure, (name, recorded)) in measured.iter().zip(RECORDED) {
        assert_eq!(figure.name, name);
        let (value, hundred) = (figure.value * 100, recorded * 100);
        let slack = recorded * TOLERANCE;
        let fits = match figure.unit {
            "per MiB" => value + slack >= hundred,
            _ => value <= hundred + slack,
        };
        assert!(
            fits,
            "{figure:?}, recorded {recorded}; see docs/src/evaluation/footprint.md"
        );
    }
}
