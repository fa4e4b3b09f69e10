//! A service against Linux's TCP/IP, over a wire that loses, doubles and reorders frames.
//!
//! `DENALI_SEED` is the seed of the faults, `DENALI_WIRE_BYTES` the length of each bulk stream.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, thread};
use test_harness::cli::Running;
use test_harness::guest::Guest;
use test_harness::home::Home;
use test_harness::host::Host;
use test_harness::machine::{Board, boot_files, boot_on};
use test_harness::wire::{self, Mistreatment, Wire};
use test_harness::{cli, facts, suite};

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

/// How long one transfer may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// The service's IPv4 address: the first of the pool.
const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 90, 1, 1));

struct Bench {
    wire: Wire,
    service_mac: [u8; 6],
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
        let project = Guest::new("net_server").memory("256M").project();
        // The user whose key the boot module knows.
        host.home()
            .invoke("ip")
            .args(["netns", "exec", wire.name()])
            .arg(cli::program())
            .args(["deploy", "10.90.0.15:22"])
            .within(project)
            .succeeds();
        let service_mac = wire.within(|| {
            drop(connect(SocketAddr::new(SERVICE, 7)));
            let neighbors = fs::read_to_string("/proc/thread-self/net/arp").expect("a table");
            let line = neighbors
                .lines()
                .find(|line| line.starts_with("10.90.1.1 "))
                .expect("the service is a neighbour");
            let mac = line.split_whitespace().nth(3).expect("a hardware address");
            let mut bytes = [0; 6];
            for (byte, digits) in bytes.iter_mut().zip(mac.split(':')) {
                *byte = u8::from_str_radix(digits, 16).expect("a number");
            }
            bytes
        });
        Self {
            wire,
            service_mac,
            _host: machine,
            _home: home,
        }
    }

    /// Returns the service's link-local address.
    fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.service_mac;
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0xfe, 0x80]);
        octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        octets.into()
    }

    /// Carries bulk both ways, one after the other and at once, and says how fast.
    fn check_bulk(&self, to: IpAddr, mistreatment: Mistreatment) {
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
            let up = rate(&|| upload(to, 1, len));
            let down = rate(&|| download(to, 2, len));
            let unchecked = rate(&|| download_with(to, b'n', 2, len));
            say(&format!(
                "{mistreatment:?}: {up:.1} Mbit/s to the service, {down:.1} from it, \
                 {unchecked:.1} from it without congestion control"
            ));
            thread::scope(|scope| {
                for seed in 3..5 {
                    for transfer in [upload, download] {
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
        connect(SocketAddr::new(SERVICE, 9))
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

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a time-out");
    stream
}

/// Returns the bytes of a seed, as the service makes them (Marsaglia 2003, xorshift64).
fn pattern(seed: u64, len: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let len = usize::try_from(len).expect("it fits");
    words.flatten().take(len).collect()
}

fn request(to: IpAddr, what: u8, seed: u64, len: u64) -> TcpStream {
    let mut stream = connect(SocketAddr::new(to, 5001));
    let words = [&[what][..], &seed.to_le_bytes(), &len.to_le_bytes()].concat();
    stream.write_all(&words).expect("sent");
    stream
}

fn upload(to: IpAddr, seed: u64, len: u64) {
    let mut stream = request(to, b'u', seed, len);
    stream.write_all(&pattern(seed, len)).expect("all is sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut right = [0; 8];
    stream.read_exact(&mut right).expect("an answer");
    assert_eq!(u64::from_le_bytes(right), len, "right bytes of seed {seed}");
}

fn download(to: IpAddr, seed: u64, len: u64) {
    download_with(to, b'd', seed, len);
}

fn download_with(to: IpAddr, what: u8, seed: u64, len: u64) {
    let mut received = Vec::new();
    request(to, what, seed, len)
        .read_to_end(&mut received)
        .expect("all comes, and then the end");
    let expected = pattern(seed, len);
    assert_eq!(received.len(), expected.len(), "seed {seed}");
    let wrong = received.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "seed {seed}");
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
    let own = bench.link_local();
    bench.wire.within(|| {
        let names = fs::read_to_string("/proc/thread-self/net/dev_snmp6/tap0").expect("counters");
        let index = names.split_whitespace().nth(1).expect("an index");
        let index = index.parse().expect("a number");
        let mut stream = connect(SocketAddrV6::new(own, 7, 0, index).into());
        stream.write_all(b"hello").expect("sent");
        let mut echoed = [0; 5];
        stream.read_exact(&mut echoed).expect("an echo");
        assert_eq!(&echoed, b"hello");
    });
}

fn thousands_of_connections_stand_at_once_and_leave_nothing(bench: &Bench) {
    let connections = u32::try_from(number("DENALI_CONNECTIONS", CONNECTIONS.into()))
        .expect("a number of connections");
    bench.wire.within(|| {
        let before = bench.holdings();
        let start = Instant::now();
        let mut streams: Vec<_> = (0..connections)
            .map(|_| connect(SocketAddr::new(SERVICE, 7)))
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
