//! A service against Linux's TCP/IP, over a wire that loses, doubles and reorders frames.
//!
//! `DENALI_SEED` is the seed of the faults, `DENALI_WIRE_BYTES` the length of each bulk stream.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, UdpSocket};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{fs, io, thread};
use test_harness::bulk::{self, Sending};
use test_harness::cli::Running;
use test_harness::guest::Guest;
use test_harness::home::Home;
use test_harness::host::Host;
use test_harness::machine::{Board, boot_files, boot_on};
use test_harness::wire::{self, Mistreatment, Wire};
use test_harness::{cli, external, facts, suite, wait};

fn main() -> ExitCode {
    if !wire::is_possible() {
        say("a network of its own takes root: nothing is checked here");
        return ExitCode::SUCCESS;
    }
    suite::run(
        Bench::set_up,
        &facts![
            every_byte_arrives_without_faults,
            every_byte_arrives_at_one_per_cent_of_each_fault,
            every_byte_arrives_at_five_per_cent_of_each_fault,
            linux_talks_to_the_service_by_ipv6,
            ping_is_answered_by_both_protocols,
            only_members_of_a_group_hear_what_linux_sends_to_it,
            thousands_of_connections_stand_at_once_and_leave_nothing,
        ],
    )
}

/// Bytes of one bulk stream, unless told otherwise.
const BULK_LEN: u64 = 1 << 20;

/// Connections at once.
const CONNECTIONS: u32 = 10_000;

/// Connections that do the same at the same time.
const CREW: usize = 16;

/// Pages a service may keep of what ten thousand connections took: tables that grew with them.
const PAGES_LEFT_MAX: u64 = 1024;

/// The service's IPv4 address: the first of the pool.
const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 90, 1, 1));

/// The addresses of those that join a group if they are told to: the next ones.
const MEMBERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 90, 1, 2), Ipv4Addr::new(10, 90, 1, 3)];

/// The port they listen to, and the group.
const MEMBERS_PORT: u16 = 5007;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x0102, 0x0003);

struct Bench {
    wire: Wire,
    _host: Running,
    _home: Home,
}

impl Bench {
    fn set_up() -> Self {
        let host = Host::up(&[]);
        let home = Home::new();
        let files = boot_files(host.status().pid);
        let copies = ["kernel", "boot-module"].map(|name| home.path().join(name));
        for (file, copy) in files.iter().zip(&copies) {
            fs::copy(file, copy).expect("a copy");
        }
        let wire = Wire::new(&home, number("DENALI_SEED", 1));
        let board = Board::new("q35", "max").memory("640M");
        let machine = boot_on(&wire, &home, &board.kernel(&copies[0], &copies[1]));
        for (guest, options) in [
            (Guest::new("net_server").memory("256M"), &[][..]),
            (Guest::new("member").memory("1M"), &["--copies", "2"]),
        ] {
            // The user whose key the boot module knows.
            host.home()
                .invoke("ip")
                .args(["netns", "exec", wire.name()])
                .arg(cli::program())
                .args([&["deploy"], options, &["10.90.0.15:22"]].concat())
                .within(guest.project())
                .succeeds();
        }
        wire.within(|| {
            for member in MEMBERS {
                wait::until("a member that answers", || {
                    ask(member, "count", Duration::from_secs(1)).ok()
                });
            }
        });
        Self {
            wire,
            _host: machine,
            _home: home,
        }
    }

    /// Carries bulk both ways, one after the other and at once, and says how fast.
    fn check_bulk(&self, to: IpAddr, mistreatment: Mistreatment) {
        let to = SocketAddr::new(to, bulk::PORT);
        // Linux is fast to send again what is lost; smoltcp waits a second at least.
        let len = number("DENALI_WIRE_BYTES", BULK_LEN) / u64::from(1 + mistreatment.lose / 8);
        self.wire.set(mistreatment);
        self.wire.within(|| {
            let rate = |work: &dyn Fn()| {
                let start = Instant::now();
                work();
                let bits = len as f64 * 8.0;
                bits / start.elapsed().as_secs_f64() / 1e6
            };
            let up = rate(&|| bulk::upload(to, 1, len));
            let down = rate(&|| bulk::download(to, 2, len));
            let unchecked = rate(&|| bulk::download_with(to, Sending::Uncontrolled, 2, len));
            say(&format!(
                "{mistreatment:?}: {up:.1} Mbit/s to the service, {down:.1} from it, \
                 {unchecked:.1} from it without congestion control"
            ));
            thread::scope(|scope| {
                for seed in 3..5 {
                    for transfer in [bulk::upload, bulk::download] {
                        scope.spawn(move || {
                            self.wire.enter();
                            transfer(to, seed, len / 4);
                        });
                    }
                }
            });
        });
        self.wire.set(Mistreatment::default());
    }

    /// Returns what the service says it holds: connections, bytes of buffers, pages.
    fn holdings(&self) -> [u64; 3] {
        let mut text = String::new();
        bulk::connect(SocketAddr::new(SERVICE, 9))
            .read_to_string(&mut text)
            .expect("its holdings");
        let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
        [(); 3].map(|()| numbers.next().expect("a number"))
    }
}

#[expect(clippy::print_stdout, reason = "figures are for the reader of the log")]
fn say(line: &str) {
    println!("{line}");
}

/// Returns a number from the environment.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn every_byte_arrives_without_faults(bench: &Bench) {
    bench.check_bulk(SERVICE, Mistreatment::default());
}

fn every_byte_arrives_at_one_per_cent_of_each_fault(bench: &Bench) {
    bench.check_bulk(SERVICE, Mistreatment::all(10));
}

fn every_byte_arrives_at_five_per_cent_of_each_fault(bench: &Bench) {
    bench.check_bulk(SERVICE, Mistreatment::all(50));
}

fn linux_talks_to_the_service_by_ipv6(bench: &Bench) {
    bench.wire.set(Mistreatment::default());
    let service = bench.wire.namespace().link_local(SERVICE, 7);
    bench.wire.within(|| {
        let mut stream = bulk::connect(service.into());
        stream.write_all(b"hello").expect("sent");
        let mut echoed = [0; 5];
        stream.read_exact(&mut echoed).expect("an echo");
        assert_eq!(&echoed, b"hello");
    });
}

fn ping_is_answered_by_both_protocols(bench: &Bench) {
    let ping = external::program("ping", "iputils-ping");
    bench.wire.set(Mistreatment::default());
    let service = bench.wire.namespace().link_local(SERVICE, 0);
    let link_local = format!("{}%tap0", service.ip());
    for (protocol, address, bytes) in [
        ("-4", SERVICE.to_string(), "56"),
        ("-4", SERVICE.to_string(), "1400"),
        ("-6", link_local, "1400"),
    ] {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", bench.wire.name()])
            .arg(&ping);
        command.args([
            protocol, "-c", "5", "-i", "0.2", "-W", "20", "-s", bytes, &address,
        ]);
        let said = external::run(&mut command).stdout;
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.contains("5 packets transmitted, 5 received, 0%"),
            "{said}"
        );
    }
}

/// Sends a word to one that joins a group; returns how many datagrams it has heard.
fn ask(member: Ipv4Addr, word: &str, patience: Duration) -> io::Result<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(patience))?;
    socket.send_to(word.as_bytes(), (member, MEMBERS_PORT))?;
    let mut answer = [0; 64];
    let len = socket.recv(&mut answer)?;
    let answer = std::str::from_utf8(&answer[..len]).expect("a number");
    Ok(answer.parse().expect("a number"))
}

fn tell(member: Ipv4Addr, word: &str) -> u32 {
    ask(member, word, bulk::PATIENCE).expect("an answer")
}

fn only_members_of_a_group_hear_what_linux_sends_to_it(bench: &Bench) {
    bench.wire.set(Mistreatment::default());
    let route = ["netns", "exec", bench.wire.name(), "ip", "route", "replace"];
    external::run(
        Command::new("ip")
            .args(route)
            .args(["239.0.0.0/8", "dev", "tap0"]),
    );
    bench.wire.within(|| {
        // An answer shows that everything sent before has arrived, as this wire keeps the order.
        let counts = || MEMBERS.map(|member| tell(member, "count"));
        let to_group = || {
            let _reports_are_out = counts();
            let sender = UdpSocket::bind("0.0.0.0:0").expect("a port");
            sender.send_to(b"all", (GROUP, MEMBERS_PORT)).expect("sent");
            let sender = UdpSocket::bind("[::]:0").expect("a port");
            let group = SocketAddrV6::new(GROUP6, MEMBERS_PORT, 0, wire::device_number());
            sender.send_to(b"all", group).expect("sent");
        };
        assert_eq!(counts(), [0, 0]);
        to_group();
        assert_eq!(counts(), [0, 0], "nobody has joined");
        tell(MEMBERS[0], "join");
        to_group();
        assert_eq!(counts(), [2, 0], "one has");
        tell(MEMBERS[1], "join");
        to_group();
        assert_eq!(counts(), [4, 2], "both have");
        tell(MEMBERS[0], "leave");
        to_group();
        assert_eq!(counts(), [4, 4], "one has left");
    });
}

fn thousands_of_connections_stand_at_once_and_leave_nothing(bench: &Bench) {
    let connections = u32::try_from(number("DENALI_CONNECTIONS", CONNECTIONS.into()))
        .expect("a number of connections");
    bench.wire.within(|| {
        let before = bench.holdings();
        let start = Instant::now();
        let mut streams: Vec<_> = (0..connections)
            .map(|_| bulk::connect(SocketAddr::new(SERVICE, 7)))
            .collect();
        let stood = start.elapsed();
        // A burst of ten thousand frames would be lost on the way, and sent again for minutes.
        for crew in streams.chunks_mut(CREW) {
            for (number, stream) in (0_u32..).zip(&mut *crew) {
                stream.write_all(&number.to_le_bytes()).expect("sent");
            }
            for (number, stream) in (0_u32..).zip(crew) {
                let mut echoed = [0; 4];
                stream.read_exact(&mut echoed).expect("an echo");
                assert_eq!(u32::from_le_bytes(echoed), number);
            }
        }
        let echoed = start.elapsed();
        let during = bench.holdings();
        assert!(during[0] >= connections.into(), "{during:?}");
        // Each end says so: a reset that is lost would leave the service with half a connection.
        for crew in streams.chunks_mut(CREW) {
            for stream in &*crew {
                stream.shutdown(Shutdown::Write).expect("half closed");
            }
            for stream in crew {
                assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
            }
        }
        drop(streams);
        let closed = start.elapsed();
        let after = (0..20)
            .map(|_| {
                thread::sleep(Duration::from_secs(1));
                bench.holdings()
            })
            .find(|held| held[0] <= before[0] + 1 && held[2] <= before[2] + PAGES_LEFT_MAX);
        say(&format!(
            "{connections} connections in {:.1} s, all echoed after {:.1} s, closed after {:.1} s; \
             before {before:?}, with all {during:?}, after {after:?} (connections, bytes of \
             buffers, pages)",
            stood.as_secs_f32(),
            echoed.as_secs_f32(),
            closed.as_secs_f32()
        ));
        let after = after.expect("connections and their memory go");
        assert!(after[1] <= before[1], "buffers go with their connections");
    });
}
