//! Streams, datagrams, names and addresses, between services and with the world.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use test_harness::guest::Guest;
use test_harness::host::{Host, free_port};
use test_harness::{facts, suite, wait};

fn main() -> ExitCode {
    suite::run(
        Network::with_echo,
        &facts![
            a_stream_carries_megabytes_both_ways_at_once,
            many_streams_do_not_mix,
            a_service_without_memory_goes_on_with_what_it_has,
            datagrams_come_back_whole,
            a_service_finds_another_by_address_and_asks_it,
            dhcp_gives_an_address_that_works,
            a_forged_source_is_not_delivered,
            a_service_keeps_its_published_port_over_a_restart,
        ],
    )
}

/// Bytes of the long streams.
const STREAM_LEN: usize = 3 << 20;

/// First number of the last two of an address that QEMU's DHCP server gives.
const DHCP_NETWORK: &str = "10.90.0.";

struct Network {
    host: Host,
    port: u16,
}

impl Network {
    fn with_echo() -> Self {
        // Without a way out QEMU forwards no datagrams.
        let host = Host::up(&["--internet"]);
        let port = free_port();
        host.deploy(&echo(port).project());
        Self { host, port }
    }
}

/// The example `echo`, published on one port for TCP and UDP.
fn echo(port: u16) -> Guest {
    Guest::example("echo").publish(&[format!("{port}:7"), format!("{port}:7/udp")])
}

/// Returns bytes that differ from place to place and from seed to seed.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Connects to an echo, and waits for its first answer: QEMU's user network listens with a queue
/// of one, and Linux resets what does not fit.
fn connect(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    let patience = Some(wait::PATIENCE);
    stream.set_read_timeout(patience).expect("a time-out");
    stream.set_write_timeout(patience).expect("a time-out");
    stream.write_all(b"?").expect("sent");
    stream.read_exact(&mut [0]).expect("an answer");
    stream
}

/// Sends bytes to an echo and checks that the same come back.
fn check_stream(mut receiver: TcpStream, seed: u64, len: usize) {
    let sent = pattern(seed, len);
    let mut sender = receiver.try_clone().expect("another handle");
    let bytes = sent.clone();
    let writer = thread::spawn(move || {
        sender.write_all(&bytes).expect("sent");
        sender.shutdown(Shutdown::Write).expect("half closed");
    });
    let mut received = Vec::new();
    receiver
        .read_to_end(&mut received)
        .expect("all comes back, and then the end");
    writer.join().expect("all was sent");
    assert_eq!(received.len(), sent.len(), "stream {seed}");
    let wrong = received
        .iter()
        .zip(&sent)
        .position(|(received, sent)| received != sent);
    assert_eq!(wrong, None, "stream {seed}");
}

fn a_stream_carries_megabytes_both_ways_at_once(network: &Network) {
    check_stream(connect(network.port), 1, STREAM_LEN);
}

fn many_streams_do_not_mix(network: &Network) {
    let streams: Vec<_> = (0..16)
        .map(|seed| {
            let stream = connect(network.port);
            thread::spawn(move || check_stream(stream, seed, 64 << 10))
        })
        .collect();
    for stream in streams {
        stream.join().expect("this stream came back as sent");
    }
}

fn a_service_without_memory_goes_on_with_what_it_has(network: &Network) {
    let port = free_port();
    let guest = Guest::new("famished").memory("2M");
    network
        .host
        .deploy(&guest.publish(&[format!("{port}:7")]).project());
    // More frames at once than a quiet service has buffers for.
    check_stream(connect(port), 3, 256 << 10);
    let service = network.host.service("famished");
    assert_eq!(service.exit_code, Some(0), "{service:?}");
}

fn datagrams_come_back_whole(network: &Network) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket
        .connect((Ipv4Addr::LOCALHOST, network.port))
        .expect("an address");
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a time-out");
    for (seed, len) in [(2, 1), (3, 512), (4, 1200), (5, 1472)] {
        let sent = pattern(seed, len);
        let mut buffer = [0; 2048];
        // A datagram may be lost. (An empty one is: QEMU's user network does not forward it.)
        let echoed = (0..20).any(|_| {
            socket.send(&sent).expect("sent");
            socket
                .recv(&mut buffer)
                .is_ok_and(|found| buffer[..found] == sent)
        });
        assert!(echoed, "{len} bytes");
    }
}

fn a_service_finds_another_by_address_and_asks_it(network: &Network) {
    let host = &network.host;
    host.deploy(
        &Guest::new("dns_server")
            .arguments(&["192.0.2.77"])
            .project(),
    );
    let server = host.service("dns_server").address.expect("an address");
    let resolver = Guest::new("resolver").arguments(&["denali.example", &server]);
    host.deploy_to_its_end(&resolver.project());
    let ended = host.wait_for_end("resolver");
    let log = host.logs("resolver");
    assert_eq!(ended.exit_code, Some(0), "{log}");
    assert!(log.contains("denali.example is 192.0.2.77"), "{log}");
    host.remove("resolver");
    host.remove("dns_server");
}

fn dhcp_gives_an_address_that_works(network: &Network) {
    let host = &network.host;
    let port = free_port();
    let leased = echo(port).named("leased").address("dhcp");
    host.deploy(&leased.project());
    let address = host.service("leased").address.expect("an address");
    assert!(address.starts_with(DHCP_NETWORK), "{address}");
    check_stream(connect(port), 9, 64 << 10);
    host.remove("leased");
}

fn a_forged_source_is_not_delivered(network: &Network) {
    let host = &network.host;
    host.deploy(&Guest::new("listener").project());
    host.wait_for_log("listener", "listening");
    let target = host.service("listener").address.expect("an address");
    host.deploy_to_its_end(&Guest::new("forger").arguments(&[&target]).project());
    host.wait_for_end("forger");
    // The honest datagram was sent last, so the others have come before it, or never.
    let log = host.wait_for_log("listener", "honest");
    assert!(!log.contains("forged"), "{log}");
    host.remove("forger");
    host.remove("listener");
}

fn a_service_keeps_its_published_port_over_a_restart(network: &Network) {
    let host = &network.host;
    host.denali(["stop", "echo"]).succeeds();
    // Nobody listens on the port while the service is stopped.
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, network.port)).is_err());
    host.denali(["start", "echo"]).succeeds();
    wait::until("the echo to answer again", || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, network.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"again").ok()?;
        let mut echoed = [0; 5];
        stream.read_exact(&mut echoed).ok()?;
        (echoed == *b"again").then_some(())
    });
}
