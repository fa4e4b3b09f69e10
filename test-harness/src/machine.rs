//! A machine under QEMU that no `host up` has started: other boards, processors and boot loaders.

use crate::cli::{Invocation, Running};
use crate::counter::Counter;
use crate::home::Home;
use crate::wait;
use crate::wire::{NETDEV, Namespace, Wire, netdev};
use anyhow::{Context as _, Result};
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After which QEMU ends whatever happens.
const LIFETIME: Duration = Duration::from_secs(300);

/// The same for a machine beside a namespace.
const WIRE_LIFETIME: Duration = Duration::from_secs(900);

/// Longest boot: firmware and boot loader are emulated, too.
const BOOT_TIMEOUT: Duration = Duration::from_secs(180);

/// The supervisor of a host at the end of a wire.
pub const SUPERVISOR: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 15);

/// The network card of every machine.
const CARD: [&str; 2] = [
    "-device",
    "virtio-net-pci,netdev=net0,disable-legacy=on,romfile=",
];

/// How a machine is made and what it boots.
#[derive(Clone, Debug, Default)]
pub struct Board {
    arguments: Vec<String>,
    has_disk: bool,
}

impl Board {
    /// Takes a board of QEMU (`q35`, `pc`) and a processor (`max`, `qemu64`), with 256 MiB.
    #[must_use]
    pub fn new(machine: &str, cpu: &str) -> Self {
        let arguments = [
            "-machine", machine, "-cpu", cpu, "-m", "256M", "-accel", "tcg",
        ];
        Self::default().with(&arguments).with(&[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
    }

    /// Has another amount of memory, as QEMU writes it.
    #[must_use]
    pub fn memory(self, memory: &str) -> Self {
        self.with(&["-m", memory])
    }

    /// Boots a kernel with a boot module by PVH.
    #[must_use]
    pub fn kernel(self, kernel: &Path, module: &Path) -> Self {
        self.with(&["-kernel", &text(kernel), "-initrd", &text(module)])
    }

    /// Passes a command line to the kernel.
    #[must_use]
    pub fn command_line(self, line: &str) -> Self {
        self.with(&["-append", line])
    }

    /// Has a network card whose wire takes everything and leads nowhere: its other end would be a
    /// socket in `folder` that nobody makes.
    #[must_use]
    pub fn lonely_card(self, folder: &Path) -> Self {
        let netdev = netdev(&folder.join("near"), &folder.join("nobody"));
        self.with(&["-netdev", &netdev]).with(&CARD)
    }

    /// Boots a disk by the board's BIOS.
    #[must_use]
    pub fn disk(self, iso: &Path) -> Self {
        self.with(&["-cdrom", &text(iso), "-boot", "d"])
    }

    /// Has a disk on virtio's bus, whose file is left as it is.
    #[must_use]
    pub fn virtio_disk(mut self, file: &Path) -> Self {
        self.has_disk = true;
        // A disk has no answer before the caller goes on, however busy this machine is.
        let drive = format!(
            "if=none,id=disk,format=raw,snapshot=on,throttling.iops-total=100,file={}",
            text(file)
        );
        let device = "virtio-blk-pci,drive=disk,disable-legacy=on";
        self.with(&["-drive", &drive, "-device", device])
    }

    /// Uses UEFI firmware (OVMF) instead of the board's BIOS.
    #[must_use]
    pub fn firmware(self, code: &Path) -> Self {
        let drive = format!(
            "if=pflash,format=raw,unit=0,readonly=on,file={}",
            text(code)
        );
        self.with(&["-drive", &drive])
    }

    /// Starts the board without a network, for at most `limit`; its serial port writes to `log`.
    #[must_use]
    pub fn start(&self, home: &Home, limit: Duration, log: &Path) -> Running {
        qemu(home, self, limit)
            .args(["-serial", &format!("file:{}", text(log))])
            .start()
    }

    /// Has the machine's instructions counted.
    #[must_use]
    pub fn counted_by(self, counter: &Counter) -> Self {
        let arguments = counter.arguments();
        self.with(&arguments.each_ref().map(String::as_str))
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }
}

/// A running machine whose supervisor answers.
#[derive(Debug)]
pub struct Machine {
    port: u16,
    service_port: u16,
    _qemu: Running,
}

impl Machine {
    /// Boots a machine and waits until its supervisor greets.
    ///
    /// `ports` are two free ports of this machine: one for the supervisor, one for port 80 of the
    /// first service.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    #[must_use]
    pub fn boot(home: &Home, board: &Board, ports: [u16; 2]) -> Self {
        let [port, service_port] = ports;
        let serial = home.path().join(format!("serial-{port}.log"));
        let network = format!(
            "user,id=net0,net=10.90.0.0/16,host=10.90.0.2,dns=10.90.0.3,restrict=on,\
             hostfwd=tcp:127.0.0.1:{port}-10.90.0.15:22,\
             hostfwd=tcp:127.0.0.1:{service_port}-10.90.1.1:80"
        );
        let mut qemu = qemu(home, board, LIFETIME)
            .args(["-netdev", &network])
            .args(CARD)
            .args(["-serial", &format!("file:{}", text(&serial))])
            .start();
        let greeted = wait::within(BOOT_TIMEOUT, || {
            (qemu.has_ended() || greets((Ipv4Addr::LOCALHOST, port))).then_some(())
        });
        let log = || String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
        assert!(
            greeted.is_some() && !qemu.has_ended(),
            "{board:?} does not come up:\n{}",
            log()
        );
        Self {
            port,
            service_port,
            _qemu: qemu,
        }
    }

    /// Returns `HOST:PORT` of its supervisor.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the port of this machine that leads to port 80 of the first service.
    #[must_use]
    pub fn service_port(&self) -> u16 {
        self.service_port
    }
}

/// Boots a machine at the end of a wire and waits until its supervisor greets at 10.90.0.15.
///
/// # Panics
///
/// If it does not come up.
#[must_use]
pub fn boot_on(wire: &Wire, home: &Home, board: &Board) -> Running {
    let machine = qemu(home, board, WIRE_LIFETIME).args(["-netdev", &wire.netdev()]);
    boot_beside(wire.namespace(), home, machine, supervisor_greets)
}

/// Boots a machine on the TAP device of a namespace and waits until it `is_up`, as seen from there.
///
/// # Panics
///
/// If it does not come up.
#[must_use]
pub fn boot_in(
    namespace: &Namespace,
    home: &Home,
    board: &Board,
    is_up: impl Fn() -> bool + Send + Sync,
) -> Running {
    let seconds = WIRE_LIFETIME.as_secs().to_string();
    let machine = home
        .invoke("timeout")
        .args(["--foreground", &seconds, "ip", "netns", "exec"])
        .args([namespace.name(), "qemu-system-x86_64"])
        .args(&board.arguments)
        .args(["-netdev", NETDEV]);
    boot_beside(namespace, home, machine, is_up)
}

fn boot_beside(
    namespace: &Namespace,
    home: &Home,
    machine: Invocation,
    is_up: impl Fn() -> bool + Send + Sync,
) -> Running {
    let serial = home.path().join("serial-wire.log");
    let mut qemu = machine
        .args(CARD)
        .args(["-serial", &format!("file:{}", text(&serial))])
        .start();
    let came = namespace
        .within(|| wait::within(BOOT_TIMEOUT, || (qemu.has_ended() || is_up()).then_some(())));
    assert!(
        came.is_some() && !qemu.has_ended(),
        "the machine does not come up:\n{}",
        String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default())
    );
    qemu
}

/// Prepares QEMU under `timeout`, in the process group that goes with the machine.
fn qemu(home: &Home, board: &Board, limit: Duration) -> Invocation {
    let seconds = limit.as_secs().to_string();
    home.invoke("timeout")
        .args(["--foreground", &seconds, "qemu-system-x86_64"])
        .args(&board.arguments)
}

/// Runs a board whose clocks count instructions, a nanosecond each, and returns the serial log up to
/// the line `last`. What it draws at random is the same every time. Idle time passes at once, unless
/// there is a disk, which takes its time in the world outside.
///
/// # Errors
///
/// That line does not come.
pub fn count(home: &Home, board: &Board, last: &str) -> Result<String> {
    const LIFETIME: Duration = Duration::from_secs(1800);
    let serial = home.path().join("counted.log");
    // What an earlier machine said there would be taken for this one's word; there may be none.
    fs::remove_file(&serial).ok();
    let sleep = if board.has_disk { "on" } else { "off" };
    let mut qemu = qemu(home, board, LIFETIME)
        .args(["-icount", &format!("shift=0,sleep={sleep}"), "-seed", "1"])
        .args(["-rtc", "base=2026-01-01,clock=vm"])
        .args(["-serial", &format!("file:{}", text(&serial))])
        .start();
    let log = || String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).replace('\r', "");
    let ending = format!("\n{last}\n");
    // Whoever ends in the supervisor's place begins anew, and may have counted again before the log
    // is read.
    let first_life = || Some(log().split_once(&ending)?.0.to_owned());
    // Whoever ends without having said it has failed.
    let counted = wait::within(LIFETIME, || match first_life() {
        None => (qemu.has_ended() || log().contains("supervisor restarts")).then(first_life),
        life => Some(life),
    });
    let counted = counted.flatten();
    counted.with_context(|| format!("no {last:?} in\n{}", log()))
}

/// Returns whether the supervisor of a host at the end of a wire greets at 10.90.0.15.
#[must_use]
pub fn supervisor_greets() -> bool {
    greets((SUPERVISOR, 22))
}

/// Returns whether somebody takes a connection.
#[must_use]
pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn greets(address: (Ipv4Addr, u16)) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address.into(), Duration::from_secs(5)) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && greeting == *b"SSH-"
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Returns kernel and boot module of a running local host, as its QEMU was told.
///
/// # Panics
///
/// If there is no such process.
#[must_use]
pub fn boot_files(pid: u32) -> [PathBuf; 2] {
    let line = fs::read(format!("/proc/{pid}/cmdline")).expect("a running QEMU");
    let words: Vec<_> = line
        .split(|&byte| byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    ["-kernel", "-initrd"].map(|option| {
        let at = words
            .iter()
            .position(|word| word == option)
            .expect("it boots by PVH");
        PathBuf::from(&*words[at + 1])
    })
}

/// Returns the CPU time a process has used, in hundredths of a second.
///
/// # Panics
///
/// If there is no such process.
#[must_use]
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    // The name, in parentheses, may contain spaces; `utime` and `stime` are fields 14 and 15
    // (proc(5)), the name is field 2.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let number = |field: &str| field.parse::<u64>().expect("a number");
    fields.split_whitespace().skip(11).take(2).map(number).sum()
}
