//! Every sabotage: what it removes, and who ought to notice.

/// Who ought to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// Attacks of a theme on a host in QEMU; no names means all of the theme.
    Attacks(&'static str, &'static [&'static str]),
    /// What the processor says of itself, and the kernel's audit.
    Processor,
    /// The comparison of a host after many attacks with what it was before.
    Comparison,
    /// A test of `denali-kernel-core`, without a machine.
    Core(&'static str),
    /// The check that no panic is within reach.
    Panics,
}

/// One protection taken away.
#[derive(Clone, Copy, Debug)]
pub struct Sabotage {
    /// The value of `cfg(sabotage)`.
    pub name: &'static str,
    /// What the kernel no longer does.
    pub removes: &'static str,
    /// Who ought to notice.
    pub judge: Judge,
}

const fn sabotage(name: &'static str, removes: &'static str, judge: Judge) -> Sabotage {
    Sabotage {
        name,
        removes,
        judge,
    }
}

use Judge::{Attacks, Comparison, Core, Panics, Processor};

/// All of them.
pub const SABOTAGES: &[Sabotage] = &[
    sabotage(
        "skip-zeroing",
        "zeroes frames before a VM gets them",
        Attacks("memory", &["heap-starts-as-zero", "stacks-start-as-zero"]),
    ),
    sabotage(
        "skip-flush",
        "flushes translations of pages taken away",
        Attacks(
            "memory",
            &[
                "released-pages-read-as-zero",
                "released-pages-are-not-the-old",
            ],
        ),
    ),
    sabotage(
        "no-guards",
        "leaves a page below each stack unmapped",
        Attacks(
            "addresses",
            &["read-small-stack-guard", "write-large-stack-guard"],
        ),
    ),
    sabotage(
        "writable-registers",
        "maps the virtual registers read-only",
        Attacks("addresses", &["write-registers-page"]),
    ),
    sabotage(
        "executable-data",
        "forbids execution of data",
        Attacks(
            "memory",
            &["execute-heap", "execute-stack", "execute-rodata"],
        ),
    ),
    sabotage(
        "release-anything",
        "lets a VM give back heap and stacks only",
        Attacks("memory", &["release-text", "release-registers"]),
    ),
    sabotage(
        "trust-block-index",
        "holds the indices of block rings to what the rings can hold",
        Core("block"),
    ),
    sabotage(
        "trust-block-number",
        "holds each block to the volume it is said to be in",
        Core("block"),
    ),
    sabotage(
        "share-volumes",
        "gives a block to one living VM at most",
        Core("block"),
    ),
    sabotage(
        "overtake-requests",
        "lets requests of a VM that ended be done before those of its blocks' next owner",
        Core("block"),
    ),
    sabotage("open-ports", "closes all I/O ports to ring 3", Processor),
    sabotage(
        "give-io-privilege",
        "runs guests with an IOPL of 0",
        Attacks("flags", &["flags-io-privilege"]),
    ),
    sabotage(
        "open-gates",
        "keeps interrupt gates from ring 3",
        Attacks("instructions", &["int-timer", "int-linux", "int-last"]),
    ),
    sabotage(
        "skip-umip",
        "hides descriptor tables from ring 3",
        Attacks("instructions", &["sgdt", "sidt", "sldt", "str", "smsw"]),
    ),
    sabotage(
        "skip-smep",
        "forbids ring 0 to execute guests' pages",
        Processor,
    ),
    sabotage(
        "skip-smap",
        "forbids ring 0 to touch guests' pages",
        Processor,
    ),
    sabotage(
        "skip-write-protect",
        "holds ring 0 to read-only pages",
        Processor,
    ),
    sabotage(
        "skip-vectors",
        "saves, clears and restores vector state",
        Attacks(
            "vector-state",
            &["vectors-behind-a-hypercall", "vectors-kept-by-preemption"],
        ),
    ),
    sabotage(
        "skip-bases",
        "saves and restores FS and GS bases",
        Attacks(
            "vector-state",
            &["segment-bases-are-ones-own", "segment-bases-in-the-kernel"],
        ),
    ),
    sabotage(
        "trust-index",
        "checks a guest's ring indices",
        Attacks("queues", &["tx-index-one-too-far", "tx-index-half-way"]),
    ),
    sabotage(
        "trust-flags",
        "checks flags and segment sizes of descriptors",
        Attacks("queues", &["tx-unknown-flags", "tx-segment-size"]),
    ),
    sabotage(
        "trust-length",
        "bounds what one call writes to the console",
        Attacks("hypercalls", &["console-takes-a-bounded-part"]),
    ),
    sabotage(
        "open-switch",
        "checks source addresses of frames",
        Attacks(
            "network",
            &["mac-of-a-neighbour", "source-of-nobody", "dhcp-offer"],
        ),
    ),
    sabotage(
        "flood-unicast",
        "delivers a frame from the wire to its addressee alone",
        Core("network"),
    ),
    sabotage(
        "open-control",
        "keeps control hypercalls from services",
        Attacks("control", &["host-status", "vm-next"]),
    ),
    sabotage(
        "tolerate-numbers",
        "ends a VM that calls an unknown number",
        Attacks("hypercalls", &["linux-write", "number-behind-ours"]),
    ),
    sabotage(
        "leak-frames",
        "frees the frames of a destroyed VM",
        Comparison,
    ),
    sabotage(
        "leak-promises",
        "takes back what a destroyed VM was promised",
        Comparison,
    ),
    sabotage(
        "no-limit",
        "holds a VM to its memory limit",
        Core("simulation"),
    ),
    sabotage(
        "overpromise",
        "promises no more frames than there are",
        Core("simulation"),
    ),
    sabotage(
        "stale-handles",
        "tells a VM from the one that had its place",
        Core("simulation"),
    ),
    sabotage(
        "forget-alarms",
        "cancels the alarm of a VM that ends",
        Core("simulation"),
    ),
    sabotage(
        "quick-alarms",
        "bounds how often alarms interrupt others",
        Core("limits"),
    ),
    sabotage(
        "endless-broadcasts",
        "bounds a VM's broadcasts",
        Core("limits"),
    ),
    sabotage(
        "ignore-caps",
        "holds a VM to its cap of the CPU",
        Core("limits"),
    ),
    sabotage(
        "ignore-rates",
        "holds a VM to its packet and byte rates",
        Core("limits"),
    ),
    sabotage(
        "panic-in-reach",
        "answers an over-long frame without a panic",
        Panics,
    ),
];

impl Judge {
    /// Says who notices, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Attacks(theme, []) => format!("attacks on {theme}"),
            Self::Attacks(_, attacks) => {
                let names: Vec<_> = attacks.iter().map(|name| format!("`{name}`")).collect();
                format!("attacks {}", names.join(", "))
            }
            Self::Processor => String::from("a look at the running processor"),
            Self::Comparison => String::from("the comparison of the host before and after"),
            Self::Core(test) => format!("`denali-kernel-core`, test `{test}`"),
            Self::Panics => String::from("the check for panics within reach"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::repository;

    #[test]
    fn the_page_has_a_row_for_each_sabotage() {
        let page = repository().join("docs/src/evaluation/sabotage.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let mut rows = String::new();
        for Sabotage {
            name,
            removes,
            judge,
        } in SABOTAGES
        {
            let noticed = judge.describe();
            let row = format!("| `{name}` | {removes} | {noticed} |\n");
            rows.push_str(&row);
        }
        assert!(page.contains(&rows), "the table should be:\n{rows}");
        assert!(SABOTAGES.len() >= 30);
    }
}
