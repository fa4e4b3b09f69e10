//! A local host under QEMU, taken down when dropped.

use crate::cli::{Invocation, Outcome};
use crate::home::Home;
use crate::wait;
use denali_build::qmp::Monitor;
use denali_protocol::{Service, ServiceState};
use serde::Deserialize;
use std::env;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// QEMU's log of instructions, in the user's folder.
const TRACE: &str = "instructions";

/// The exit status of a deploy whose service ended before it answered.
const CRASHED: i32 = 7;

/// Longest wait for an audit: emulated, beside attacks.
const AUDIT_MAX: Duration = Duration::from_secs(60);

/// A running host of a user of its own.
#[derive(Debug)]
pub struct Host {
    home: Home,
}

impl Host {
    /// Boots a host; `options` are those of `host up`.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    #[must_use]
    pub fn up(options: &[&str]) -> Self {
        Self::up_as(Home::new(), options)
    }

    /// Boots a host for a user.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    #[must_use]
    pub fn up_as(home: Home, options: &[&str]) -> Self {
        home.denali(["host", "up"]).args(options).succeeds();
        Self { home }
    }

    /// Boots a host whose clock advances by a nanosecond an instruction, and whose instructions can
    /// be counted one by one.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    #[must_use]
    pub fn counting() -> Self {
        let home = Home::new();
        let options = format!("-singlestep -D {}", home.path().join(TRACE).display());
        Self::up_counted(home, &options, &[])
    }

    /// Boots a host for a user whose clock advances by a nanosecond an instruction; `qemu` are more
    /// of QEMU's options, `options` those of `host up`.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    #[must_use]
    pub fn up_counted(home: Home, qemu: &str, options: &[&str]) -> Self {
        // A QEMU that is found first and adds the option to all others.
        let folder = home.path().join("counting");
        let wrapper = folder.join("qemu-system-x86_64");
        let path = env::var("PATH").expect("a path");
        let script = "#!/bin/sh\nPATH=\"$DENALI_PATH\" exec qemu-system-x86_64 \
            -icount shift=0 $DENALI_QEMU \"$@\"\n";
        fs::create_dir_all(&folder).expect("a folder of ours");
        fs::write(&wrapper, script).expect("a script of ours");
        fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).expect("a script of ours");
        home.denali(["host", "up"])
            .args(options)
            .env("DENALI_PATH", &path)
            .env("DENALI_QEMU", qemu)
            .env("PATH", format!("{}:{path}", folder.display()))
            .succeeds();
        Self { home }
    }

    /// Counts what a host booted by [`counting`](Self::counting) executes during `work`.
    ///
    /// # Panics
    ///
    /// If QEMU does not answer.
    pub fn count(&self, work: impl FnOnce()) -> Instructions {
        let trace = self.home.path().join(TRACE);
        let folder = self.home.path().join("state/denali/hosts/local");
        let order = |line: &str| {
            let monitor = Monitor::connect(&folder.join("monitor.socket"));
            monitor
                .and_then(|mut monitor| monitor.human(line))
                .expect("QEMU's monitor answers");
        };
        order("log exec,nochain");
        work();
        order("log none");
        let lines = BufReader::new(File::open(&trace).expect("QEMU's log"));
        let counted = Instructions::of(lines);
        File::create(&trace).expect("a file of ours");
        counted
    }

    /// Returns the user the host belongs to.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Returns what `host status --json` says of it.
    ///
    /// # Panics
    ///
    /// If that fails or prints something else.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut hosts: Vec<Status> = self.denali(["host", "status", "--json"]).succeeds().json();
        assert_eq!(hosts.len(), 1, "{hosts:?}");
        hosts.remove(0)
    }

    /// Prepares `cargo-denali` with these arguments.
    #[must_use]
    pub fn denali<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        self.home.denali(arguments)
    }

    /// Deploys the project in `folder`.
    ///
    /// # Panics
    ///
    /// If the host does not take it.
    #[track_caller]
    pub fn deploy(&self, folder: &Path) -> Outcome {
        self.denali(["deploy"]).within(folder).succeeds()
    }

    /// Deploys the project in `folder`, whose service may end at once.
    ///
    /// # Panics
    ///
    /// If the host does not take it.
    #[track_caller]
    pub fn deploy_to_its_end(&self, folder: &Path) {
        let outcome = self.denali(["deploy"]).within(folder).run();
        assert!(
            matches!(outcome.code, Some(0 | CRASHED)),
            "exit status of {outcome}"
        );
    }

    /// Removes a service.
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    #[track_caller]
    pub fn remove(&self, name: &str) {
        self.denali(["rm", name]).succeeds();
    }

    /// Cuts the power and boots again; `options` are those of `host up`.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    pub fn cut_power(&self, options: &[&str]) {
        let Status { pid, .. } = self.status();
        let mut kill = Command::new("kill");
        kill.args(["-KILL", &pid.to_string()]);
        assert!(kill.status().expect("kill runs").success());
        wait::until("the end of QEMU", || {
            let gone = fs::read(format!("/proc/{pid}/cmdline"));
            gone.map_or(true, |line| line.is_empty()).then_some(())
        });
        self.denali(["host", "up"]).args(options).succeeds();
    }

    /// Returns all services.
    ///
    /// # Panics
    ///
    /// If `ls --json` fails or prints something else.
    #[track_caller]
    #[must_use]
    pub fn services(&self) -> Vec<Service> {
        self.denali(["ls", "--json"]).succeeds().json()
    }

    /// Returns one service.
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    #[track_caller]
    #[must_use]
    pub fn service(&self, name: &str) -> Service {
        let found = self
            .services()
            .into_iter()
            .find(|service| service.name == name);
        found.unwrap_or_else(|| panic!("`ls` does not know `{name}`"))
    }

    /// Waits until a service has ended, and returns it.
    ///
    /// # Panics
    ///
    /// If it goes on.
    pub fn wait_for_end(&self, name: &str) -> Service {
        wait::until(&format!("the end of `{name}`"), || {
            let service = self.service(name);
            let ended = matches!(service.state, ServiceState::Exited | ServiceState::Crashed);
            ended.then_some(service)
        })
    }

    /// Returns the memory of a service in bytes, once that does not change any more.
    ///
    /// # Panics
    ///
    /// If there is no such service, or it never comes to rest.
    #[must_use]
    pub fn at_rest(&self, name: &str) -> u64 {
        // Longer than a service takes to give back what it does not need.
        const REST: Duration = Duration::from_secs(2);
        let mut last = None;
        wait::until("a service at rest", || {
            thread::sleep(REST);
            let now = self.service(name).resident;
            (last.replace(now) == Some(now)).then_some(now)
        })
    }

    /// Returns the console of a service.
    ///
    /// # Panics
    ///
    /// If there is none of this name.
    #[track_caller]
    #[must_use]
    pub fn logs(&self, name: &str) -> String {
        self.denali(["logs", name]).succeeds().stdout
    }

    /// Waits until the console of a service contains `text`, and returns all of it.
    ///
    /// # Panics
    ///
    /// If it never does.
    pub fn wait_for_log(&self, name: &str, text: &str) -> String {
        wait::until(&format!("{text:?} in the log of `{name}`"), || {
            let log = self.logs(name);
            log.contains(text).then_some(log)
        })
    }
}

impl Host {
    /// Has the kernel audit itself, which it does at a non-maskable interrupt, and returns what it
    /// says: `every invariant holds`, or what does not; or that it says nothing.
    ///
    /// # Panics
    ///
    /// If QEMU does not answer.
    #[must_use]
    pub fn audit(&self) -> String {
        let log = self.status().serial_log;
        let verdicts = || -> Vec<String> {
            let text = fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            // A line without its end is still being written.
            let lines = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let verdicts = lines.filter(|line| line.contains("audit:"));
            verdicts.map(|line| line.trim_end().to_owned()).collect()
        };
        let before = verdicts().len();
        let monitor = Monitor::connect(&log.with_file_name("monitor.socket"));
        monitor
            .and_then(|mut monitor| monitor.human("nmi"))
            .expect("QEMU's monitor answers");
        wait::within(AUDIT_MAX, || verdicts().into_iter().nth(before))
            .unwrap_or_else(|| "the kernel does not audit itself".to_owned())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What a failed `host down` leaves running, the home ends.
        drop(panic::catch_unwind(AssertUnwindSafe(|| {
            self.denali(["host", "down"]).run()
        })));
    }
}

/// Instructions that a host executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instructions {
    /// In ring 3, below 2 GiB.
    pub guests: u64,
    /// In ring 0.
    pub kernel: u64,
}

impl Instructions {
    /// Returns all of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.guests + self.kernel
    }

    /// Counts the lines of QEMU's log, `Trace 0: 0x7f… [cs_base/pc/flags/cflags]`.
    fn of(log: impl BufRead) -> Self {
        let mut counted = Self::default();
        for line in log.split(b'\n') {
            let line = line.expect("a readable log");
            let Some(pc) = line.split(|byte| *byte == b'/').nth(1) else {
                continue;
            };
            // The kernel lies in the upper half of the address space.
            match pc.first() {
                Some(b'f') => counted.kernel += 1,
                Some(_) => counted.guests += 1,
                None => {}
            }
        }
        counted
    }
}

/// A host as `host status --json` shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// `HOST:PORT` of its supervisor.
    pub address: String,
    /// QEMU's process id.
    pub pid: u32,
    /// Everything the kernel wrote.
    pub serial_log: PathBuf,
    /// What the supervisor says.
    pub host: Option<denali_protocol::Host>,
}

impl Status {
    /// Returns what the supervisor says.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[must_use]
    pub fn answered(self) -> denali_protocol::Host {
        self.host.expect("the supervisor answers")
    }
}

/// Returns a port of this machine that is free for TCP and UDP now.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    denali_build::free_port::free_port().expect("a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart_by_where_they_lie() {
        let log =
            b"Trace 0: 0x7f8e6c000100 [0000000000000000/ffffffff80001234/00c0b2b0/ff000000] \n\
            Trace 0: 0x7f8e6c000200 [0000000000000000/0000000000111234/00c0b2b3/ff000000] \n\
            Stopped execution of TB chain before 0x7f8e6c000300 [00000000] \n";
        let counted = Instructions {
            guests: 1,
            kernel: 1,
        };
        assert_eq!(Instructions::of(log.as_slice()), counted);
    }
}
