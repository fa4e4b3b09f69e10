//! Every way a host boots, on boards and processors that have less than the usual one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use test_harness::guest::Guest;
use test_harness::home::Home;
use test_harness::host::{Host, free_port};
use test_harness::machine::{Board, Machine, boot_files, cpu_ticks};
use test_harness::project::Project;
use test_harness::{facts, http, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Workshop::open,
        &facts![
            pvh_boots_on_an_old_board,
            pvh_boots_on_a_processor_without_protections,
            a_disk_boots_by_bios,
            a_disk_boots_by_uefi,
            the_kernel_tells_what_protects_it,
            the_clock_is_measured,
            disks_are_there_in_their_order,
            an_idle_host_leaves_the_cpu_alone,
        ],
    )
}

/// Idle VMs on the host whose CPU time is measured.
const IDLE_VMS: usize = 8;

/// Seconds of idleness that are measured.
const IDLE_S: u64 = 5;

/// Hundredths of a CPU an idle host may use: QEMU itself wakes up now and then. A busy wait anywhere
/// would use all hundred.
const IDLE_PERCENT_MAX: u64 = 20;

/// The name server that hosts booted from the disk know: a service of theirs.
const NAME_SERVER: &str = "10.90.2.1";

/// A user with a host to take kernel and boot module from.
struct Workshop {
    host: Host,
    iso: PathBuf,
}

impl Workshop {
    fn open() -> Self {
        let host = Host::up(&["--disk", "64M", "--disk", "3G"]);
        let iso = host.home().path().join("host.iso");
        Self { host, iso }
    }

    fn home(&self) -> &Home {
        self.host.home()
    }

    /// Boots a board with the kernel and boot module of the local host.
    fn check_pvh(&self, machine: &str, cpu: &str) -> Machine {
        let [kernel, module] = boot_files(self.host.status().pid);
        self.check(&Board::new(machine, cpu).kernel(&kernel, &module))
    }

    /// Boots a board and has it run a service.
    fn check(&self, board: &Board) -> Machine {
        let machine = Machine::boot(self.home(), board, [free_port(), free_port()]);
        let project = Project::shared(self.home(), "minimal");
        project.edit("publish = [\"8080:80\"]", "");
        self.deploy(&machine, project.folder());
        let page = wait::until("the page of the service", || {
            http::get(machine.service_port(), "/").ok()
        });
        assert_eq!(page.text(), "hello from Denali!\n");
        machine
    }

    fn deploy(&self, machine: &Machine, folder: &Path) {
        let outcome = self
            .home()
            .denali(["deploy", &machine.address()])
            .within(folder)
            .run();
        assert_eq!(outcome.code, Some(0), "{outcome}");
    }

    /// Runs a verb with these words on a machine, and returns what it prints.
    fn ask(&self, machine: &Machine, words: &[&str]) -> String {
        self.home()
            .denali(words)
            .args(["--host", &machine.address()])
            .succeeds()
            .stdout
    }

    /// Makes the disk on the first call.
    fn iso(&self) -> &Path {
        if !self.iso.exists() {
            let network = [
                "--address",
                "10.90.0.15/16",
                "--gateway",
                "10.90.0.2",
                "--dns",
                NAME_SERVER,
                "--pool",
                "10.90.1.1",
            ];
            let path = self.iso.as_os_str();
            self.home()
                .denali(["host", "image"])
                .args(network)
                .arg("--iso")
                .arg(path)
                .succeeds();
        }
        &self.iso
    }
}

fn pvh_boots_on_an_old_board(workshop: &Workshop) {
    drop(workshop.check_pvh("pc", "max"));
}

fn pvh_boots_on_a_processor_without_protections(workshop: &Workshop) {
    let machine = workshop.check_pvh("q35", "qemu64");
    let said = workshop.ask(&machine, &["doctor"]);
    for absent in ["SMEP", "SMAP", "UMIP"] {
        let lacks = format!("open     kernel       this CPU lacks {absent}: ");
        assert!(said.contains(&lacks), "{said}");
    }
}

fn a_disk_boots_by_bios(workshop: &Workshop) {
    let machine = workshop.check(&Board::new("q35", "max").disk(workshop.iso()));
    let server = Guest::new("dns_server")
        .arguments(&["192.0.2.77"])
        .address(NAME_SERVER);
    workshop.deploy(&machine, &server.project());
    let resolver = Guest::new("resolver").arguments(&["denali.example"]);
    workshop.deploy(&machine, &resolver.project());
    wait::until("the name to be looked up", || {
        let log = workshop.ask(&machine, &["logs", "resolver"]);
        log.contains("denali.example is 192.0.2.77").then_some(())
    });
}

/// Where Debian's `ovmf` puts the firmware.
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE.fd";

fn a_disk_boots_by_uefi(workshop: &Workshop) {
    assert!(
        Path::new(OVMF).exists(),
        "install it: sudo apt-get install -y ovmf"
    );
    drop(
        workshop.check(
            &Board::new("q35", "max")
                .firmware(Path::new(OVMF))
                .disk(workshop.iso()),
        ),
    );
}

fn the_kernel_tells_what_protects_it(workshop: &Workshop) {
    let log = fs::read_to_string(workshop.host.status().serial_log).expect("the serial log");
    assert!(!log.contains("panicked"), "{log}");
    let said = workshop.home().denali(["doctor"]).succeeds().stdout;
    for line in [
        "ok       kernel       protections: ",
        "ok       kernel       measures on: ",
        "ok       kernel       vector state: ",
        "open     kernel       Spectre v1: open: ",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
        let text = line.split_at(22).1;
        assert!(log.contains(text), "no {text:?} in {log}");
    }
}

/// A clock that was guessed runs at any speed.
fn the_clock_is_measured(workshop: &Workshop) {
    let log = fs::read_to_string(workshop.host.status().serial_log).expect("the serial log");
    let clock = log.lines().find(|line| line.contains("clock: "));
    let clock = clock.expect("a line on the clock");
    assert!(!clock.contains("by Guess"), "{clock}");
}

fn disks_are_there_in_their_order(workshop: &Workshop) {
    let log = fs::read_to_string(workshop.host.status().serial_log).expect("the serial log");
    for (nth, mib) in [(0, 64), (1, 3072)] {
        let name = format!("disk {nth}: virtio-blk at ");
        let line = log.lines().find(|line| line.contains(&name));
        let says = format!(", {mib} MiB, writable, 128 requests");
        assert!(line.is_some_and(|line| line.ends_with(&says)), "{log}");
    }
}

fn an_idle_host_leaves_the_cpu_alone(workshop: &Workshop) {
    let project = Project::shared(workshop.home(), "minimal");
    project.edit("publish = [\"8080:80\"]", "");
    for number in 0..IDLE_VMS {
        let name = format!("idle-{number}");
        workshop
            .host
            .denali(["deploy", "--name", &name])
            .within(project.folder())
            .succeeds();
    }
    let pid = workshop.host.status().pid;
    let before = cpu_ticks(pid);
    std::thread::sleep(std::time::Duration::from_secs(IDLE_S));
    let used = cpu_ticks(pid) - before;
    assert!(
        used <= IDLE_S * IDLE_PERCENT_MAX,
        "{used} hundredths of a second in {IDLE_S} s"
    );
}
