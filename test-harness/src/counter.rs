//! Counting a machine's instructions while it runs, with a plugin of QEMU's.
//!
//! The plugin, `plugin/instructions.c`, adds up in a file that both map. To read it disturbs nobody, so
//! a count is the difference of two readings around some work.

use crate::cli;
use crate::home::Home;
use crate::host::Instructions;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The counts of one machine.
#[derive(Debug)]
pub struct Counter {
    plugin: PathBuf,
    counts: PathBuf,
}

impl Counter {
    /// Builds the plugin with the system's C compiler, and makes the file it counts in.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        let plugin = home.path().join("instructions.so");
        let source = cli::repository().join("test-harness/plugin/instructions.c");
        let status = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&plugin, &source])
            .status();
        assert!(status.expect("a C compiler").success(), "{source:?}");
        let counts = home.path().join("counts");
        fs::write(&counts, [0; 16]).expect("a file of ours");
        Self { plugin, counts }
    }

    /// Returns what QEMU needs to count, and to let its clock advance by a nanosecond an
    /// instruction, so that timers come after the same number of them on any machine.
    #[must_use]
    pub fn arguments(&self) -> [String; 4] {
        let (plugin, counts) = (self.plugin.display(), self.counts.display());
        [
            "-icount".to_owned(),
            "shift=0,sleep=on".to_owned(),
            "-plugin".to_owned(),
            format!("{plugin},counts={counts}"),
        ]
    }

    /// Counts what the machine executes during `work`.
    ///
    /// # Panics
    ///
    /// If the counts are gone.
    pub fn count(&self, work: impl FnOnce()) -> Instructions {
        let before = self.read();
        work();
        let after = self.read();
        Instructions {
            guests: after.guests - before.guests,
            kernel: after.kernel - before.kernel,
        }
    }

    fn read(&self) -> Instructions {
        let bytes = fs::read(&self.counts).expect("the counts");
        let word = |at: usize| {
            let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
            u64::from_le_bytes(*word.expect("two words"))
        };
        Instructions {
            guests: word(0),
            kernel: word(8),
        }
    }
}
