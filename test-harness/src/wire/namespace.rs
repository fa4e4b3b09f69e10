//! A network namespace with Linux's stack and a TAP device.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// The address of Linux, which is also the router the host knows.
pub const ADDRESS: &str = "10.90.0.2";

/// The card at the other end of which a QEMU puts a machine.
pub const NETDEV: &str = "tap,id=net0,ifname=tap0,script=no,downscript=no";

/// A namespace; dropped, it goes.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace in which Linux has [`ADDRESS`] on a TAP device.
    ///
    /// # Panics
    ///
    /// If it cannot be made: that takes root.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("denali-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        for words in [
            "link set lo up",
            "tuntap add tap0 mode tap",
            &format!("addr add {ADDRESS}/16 dev tap0"),
            "link set tap0 up",
        ] {
            let words: Vec<_> = words.split(' ').collect();
            ip(&[&["-n", &name], &words[..]].concat());
        }
        Self { name }
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls `work` in a thread whose sockets are in the namespace.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub fn within<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            inside.join().expect("it holds")
        })
    }

    /// Returns a port of a service at the link-local address that follows from its hardware address,
    /// which it has told when it is asked at its IPv4 address, at port 7.
    ///
    /// # Panics
    ///
    /// If it is no neighbour.
    #[must_use]
    pub fn link_local(&self, service: IpAddr, port: u16) -> SocketAddrV6 {
        self.within(|| {
            // Whether somebody listens does not matter.
            drop(TcpStream::connect(SocketAddr::new(service, 7)));
            let neighbors = fs::read_to_string("/proc/thread-self/net/arp").expect("a table");
            let start = format!("{service} ");
            let line = neighbors.lines().find(|line| line.starts_with(&start));
            let mac = line.and_then(|line| line.split_whitespace().nth(3));
            let mac = mac.expect("a neighbour with a hardware address");
            let bytes: Vec<_> = mac
                .split(':')
                .map(|digits| u8::from_str_radix(digits, 16).expect("a number"))
                .collect();
            let [a, b, c, d, e, f] = bytes[..] else {
                panic!("no hardware address: {mac}");
            };
            let network = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&network);
            octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
            SocketAddrV6::new(octets.into(), port, 0, device_number())
        })
    }

    /// Moves the calling thread into the namespace.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn enter(&self) {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), kind).expect("we may enter it");
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is left of it is harmless: a name without processes.
        Command::new("ip")
            .args(["netns", "del", &self.name])
            .status()
            .ok();
    }
}

/// Returns the number of the TAP device, to a thread in its namespace.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn device_number() -> u32 {
    let names = fs::read_to_string("/proc/thread-self/net/dev_snmp6/tap0").expect("counters");
    let index = names.split_whitespace().nth(1).expect("an index");
    index.parse().expect("a number")
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status();
    assert!(
        status.expect("ip(8) is installed").success(),
        "ip {words:?}"
    );
}
