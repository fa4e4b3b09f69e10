//! Footprints and instruction counts do not grow unnoticed.

use test_harness::figures;

/// What each figure may come to: for memory what issue 3 aims at, for the rest what is recorded in
/// `docs/src/evaluation/footprint.md` and [`TOLERANCE`].
const BOUNDS: [(&str, Bound); 11] = [
    ("image, minimal", Bound::AtMost(160 * KIB)),
    ("image, web-server", Bound::AtMost(300 * KIB)),
    ("image, cache", Bound::AtMost(300 * KIB)),
    ("idle VM, minimal", Bound::AtMost(24)),
    ("idle VM, web-server", Bound::AtMost(32)),
    ("idle VM, cache", Bound::AtMost(32)),
    (
        "GET of web-server, the service's share",
        Bound::Cost(42_507),
    ),
    ("GET of web-server, the kernel's share", Bound::Cost(10_730)),
    ("get of cache, the service's share", Bound::Cost(10_693)),
    ("get of cache, the kernel's share", Bound::Cost(8_615)),
    ("waiting threads", Bound::Yield(225)),
];

const KIB: u64 = 1024;

/// How much worse than recorded a figure may be, in hundredths.
const TOLERANCE: u64 = 15;

/// What a figure is held to.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// No more than this.
    AtMost(u64),
    /// About this, or less.
    Cost(u64),
    /// About this, or more.
    Yield(u64),
}

impl Bound {
    fn holds(self, value: u64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::Cost(recorded) => value * 100 <= recorded * (100 + TOLERANCE),
            Self::Yield(recorded) => value * 100 >= recorded * (100 - TOLERANCE),
        }
    }
}

#[test]
fn no_figure_is_worse_than_recorded() {
    let measured = figures::all();
    assert_eq!(measured.len(), BOUNDS.len());
    let mut worse = Vec::new();
    for (figure, (name, bound)) in measured.iter().zip(BOUNDS) {
        assert_eq!(figure.name, name);
        if !bound.holds(figure.value) {
            worse.push((figure, bound));
        }
    }
    assert!(worse.is_empty(), "{worse:#?}; all: {measured:#?}");
}
