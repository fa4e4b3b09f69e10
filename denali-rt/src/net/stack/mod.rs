//! The stack: a state machine that knows neither hardware nor threads.
//!
//! Time is an argument, the network is a [`Link`], and whoever waits is told by a [`Signal`], so
//! that two stacks joined back to back in one test process behave as they would in two VMs.
//! Nothing here blocks: what cannot be done yet is [`Poll::Pending`](core::task::Poll).
//!
//! | module         | what it does                                                     |
//! |----------------|------------------------------------------------------------------|
//! | [`header`]     | finds out whom a frame concerns                                   |
//! | [`table`]      | connections by number and by addresses                            |
//! | [`connection`] | one TCP connection                                                |
//! | `ingress`      | hands a frame to its socket, admits new connections               |
//! | `service`      | lets a connection transmit, sees what became of it, sets its timer |
//! | `stale`        | takes the acknowledgement out of a repeated segment               |
//! | `vacating`     | gives the pages of idle transmit buffers back                     |
//! | `operations`   | connect, listen, accept, read, write, close                       |
//! | `options`      | what can be set on a connection                                   |
//! | `readiness`    | what can be done without waiting                                  |
//! | [`time_wait`]  | what is left of a closed connection                               |
//! | [`hash`]       | the keyed hash of the tables                                      |
//! | [`datagram`]   | UDP                                                               |
//! | [`address`]    | the VM's own addresses: given, leased, or made of a prefix        |
//! | `autoconf`     | IPv6 addresses from what routers advertise                        |
//! | `loopback`     | the way to oneself                                                |
//! | `echo`         | asking others for an echo                                         |
//! | `groups`       | multicast groups                                                  |
//! | `ndisc`        | messages of neighbour discovery                                   |
//! | `neighbors`    | asking for hardware addresses                                     |
//! | [`resolver`]   | host names                                                        |
//! | `resume`       | what is left after a restore, and in a clone                      |
//! | [`stats`]      | counters                                                          |

pub(super) mod address;
mod autoconf;
pub(super) mod connection;
mod datagram;
mod echo;
mod groups;
mod hash;
pub(super) mod header;
mod ingress;
mod loopback;
mod ndisc;
mod neighbors;
mod operations;
mod options;
mod readiness;
mod resolver;
mod resume;
mod service;
mod stale;
pub(super) mod stats;
pub(super) mod table;
mod time_wait;
mod vacating;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub(super) use datagram::Take;
pub(super) use echo::PAYLOAD_MAX as ECHO_PAYLOAD_MAX;
pub(super) use operations::Accepted;
pub use operations::Shutdown;
pub(super) use resolver::Family;

use crate::io::ErrorKind;
use crate::time::{Duration, Instant, TimerKey, Wheel};
use address::Address;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use connection::{Buffers, Path};
use core::fmt::Debug;
use core::net::{IpAddr, Ipv6Addr};
use core::task::Poll;
use datagram::Datagrams;
use denali_abi::net::NetworkConfig;
use echo::Echoes;
use groups::Groups;
use hash::HashKey;
use header::Checksum;
use loopback::Loopback;
use neighbors::Neighbors;
use resolver::Resolver;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::Device;
use smoltcp::wire::EthernetAddress;
use stats::Stats;
use table::{ConnectionId, Table};
use time_wait::TimeWait;

/// Frames taken in by one poll before connections get to answer.
const INGRESS_BATCH: usize = 128;

/// Rounds in which sockets of this VM may answer each other in one poll.
const LOOPBACK_ROUNDS: usize = 8;

/// Timers served by one poll.
const TIMER_BATCH: usize = 256;

/// When to look again at something that neither progressed nor said what it waits for: a bound on
/// the damage of a mistake, never reached by design.
const STALL_RETRY: Duration = Duration::from_millis(10);

/// A network device that lets the stack look before it leaps.
pub(crate) trait Link: Device {
    /// Returns the next received frame, without taking it.
    fn peek(&self) -> Option<(&[u8], Checksum)>;

    /// Drops the next received frame.
    fn skip(&mut self);

    /// Returns whether a frame can be sent now.
    fn can_transmit(&mut self) -> bool;

    /// Begins a poll: takes note of what the other side did since the last one.
    fn refresh(&mut self);

    /// Hands over at once what has been transmitted.
    fn flush(&mut self);

    /// Returns how many frames have been transmitted since the beginning, modulo 2^32.
    fn transmitted(&self) -> u32;

    /// Prepares for connections that send up to `len` bytes at once. Returns whether there is memory
    /// for it.
    fn provide_for(&mut self, _len: usize) -> bool {
        true
    }

    /// Gives back what is not needed while nothing arrives.
    fn rest(&mut self) {}
}

/// Tells somebody who waits that it may be over.
pub(crate) trait Signal: Debug + Default {
    /// Wakes all who wait; they look for themselves.
    fn notify(&self);
}

/// What a stack is told when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// The VM's network as the kernel describes it.
    pub(crate) network: NetworkConfig,
    /// Unpredictable numbers, different for every VM: sequence numbers and ports follow from them.
    pub(crate) seed: [u64; 2],
    /// Returns how many bytes of memory the VM may still take.
    pub(crate) memory_left: fn() -> usize,
    /// How many bytes it may take in all.
    pub(crate) memory_limit: usize,
}

/// A timer that is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    key: TimerKey,
}

/// A port that accepts connections.
#[derive(Debug)]
struct Listening<S> {
    /// The address of ours it is for; see [`accepts`].
    address: IpAddr,
    backlog: usize,
    half_open: usize,
    buffers: Buffers,
    queue: VecDeque<ConnectionId>,
    signal: Arc<S>,
}

/// The network of one VM.
pub(crate) struct Stack<L: Link, S> {
    interface: Interface,
    link: L,
    /// The way to ourselves, from the first packet on.
    loopback: Option<Box<Loopback>>,
    /// A set without sockets, for frames that concern none.
    nobody: SocketSet<'static>,
    table: Table<S>,
    listeners: BTreeMap<u16, Listening<S>>,
    timers: Wheel<ConnectionId>,
    /// Connections that may have something to send.
    ready: VecDeque<ConnectionId>,
    /// Connections that wait for a neighbour's hardware address.
    awaiting_neighbor: Vec<ConnectionId>,
    neighbors: Neighbors,
    time_wait: TimeWait,
    datagrams: Datagrams<S>,
    echoes: Echoes<S>,
    groups: Groups,
    address: Address<S>,
    resolver: Resolver<S>,
    port_state: u64,
    buffer_bytes: usize,
    buffer_bytes_peak: usize,
    memory_left: fn() -> usize,
    memory_limit: usize,
    /// Connections whose transmit buffers are to be given back, and when.
    vacating: VecDeque<(Instant, ConnectionId)>,
    stats: Stats,
}

impl<L: Link, S: Signal> Stack<L, S> {
    /// Creates the stack of a VM; with DHCP, it has no address yet.
    pub(crate) fn new(mut link: L, setup: &Setup, now: Instant) -> Self {
        let mut config = Config::new(EthernetAddress(setup.network.mac).into());
        config.random_seed = setup.seed[0];
        let mut interface = Interface::new(config, &mut link, smol(now));
        let hash = HashKey([setup.seed[1], setup.seed[0].rotate_left(32)]);
        let address = Address::new(&setup.network, &mut interface, now);
        Self {
            interface,
            link,
            loopback: None,
            nobody: SocketSet::new(Vec::new()),
            table: Table::new(hash),
            listeners: BTreeMap::new(),
            timers: Wheel::new(),
            ready: VecDeque::new(),
            awaiting_neighbor: Vec::new(),
            neighbors: Neighbors::default(),
            time_wait: TimeWait::new(hash),
            datagrams: Datagrams::new(),
            echoes: Echoes::new(),
            groups: Groups::default(),
            address,
            resolver: Resolver::new(),
            port_state: setup.seed[1],
            buffer_bytes: 0,
            buffer_bytes_peak: 0,
            memory_left: setup.memory_left,
            memory_limit: setup.memory_limit,
            vacating: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Moves frames and timers. Returns when to poll again if no frame arrives before.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Instant> {
        self.link.refresh();
        let mut frames = 0;
        while frames < INGRESS_BATCH && self.receive_one(now) {
            frames += 1;
        }
        for _ in 0..TIMER_BATCH {
            let Some(id) = self.timers.expire(now) else {
                break;
            };
            self.stats.timers += 1;
            self.on_timer(id, now);
        }
        let auxiliary = self.poll_auxiliary(now);
        self.serve_ready(now);
        let looped = self.poll_loopback(now);
        self.time_wait.prune(now);

        let ready = !self.ready.is_empty() && self.link.can_transmit();
        let more = frames == INGRESS_BATCH || ready || looped == Looped::More;
        let next = [
            self.timers.next_deadline(),
            self.time_wait.next_deadline(),
            self.vacate_idle(now),
        ]
        .into_iter()
        .fold(auxiliary, earliest);
        if more { Some(now) } else { next }
    }

    /// Carries packets to ourselves, as long as sockets answer each other.
    fn poll_loopback(&mut self, now: Instant) -> Looped {
        for _ in 0..LOOPBACK_ROUNDS {
            let Some(loopback) = self.loopback.as_mut() else {
                return Looped::All;
            };
            if loopback.queue.is_at_rest() {
                return Looped::All;
            }
            let mut packets = 0;
            while packets < INGRESS_BATCH && self.receive_looped(now) {
                packets += 1;
            }
            self.serve_ready(now);
        }
        Looped::More
    }

    /// Serves what is not a TCP connection. Returns its next deadline.
    fn poll_auxiliary(&mut self, now: Instant) -> Option<Instant> {
        let address = self.address.poll(&mut self.interface, &mut self.link, now);
        if self.address.take_change() {
            self.groups.change();
        }
        let mut awaited = Vec::new();
        let (interface, link) = (&mut self.interface, &mut self.link);
        let datagrams = self.datagrams.poll(interface, link, &mut awaited, now);
        let servers = self.address.name_servers();
        let resolver = self
            .resolver
            .poll(interface, link, servers, &mut awaited, now);
        let echoes = self.echoes.poll(interface, link, &mut awaited, now);
        for neighbor in awaited {
            self.ask_for_neighbor(neighbor, now);
        }
        let groups = self.poll_groups(now);
        [address, datagrams, resolver, echoes, groups]
            .into_iter()
            .fold(None, earliest)
    }

    /// Returns which way packets to `remote` go.
    fn path_to(&self, remote: IpAddr) -> Path {
        let is_own = loopback::is_everybodys_own(remote) || self.interface.has_ip_addr(remote);
        if is_own { Path::Loopback } else { Path::Wire }
    }

    /// Returns the way to ourselves, with the addresses of now.
    fn loopback(&mut self, now: Instant) -> &mut Loopback {
        let seed = self.port_state.rotate_left(17);
        let loopback = self
            .loopback
            .get_or_insert_with(|| Loopback::new(seed, now));
        loopback.update(self.interface.ip_addrs());
        loopback
    }

    /// Returns whether a packet to `remote` would have a source: yes, not yet, or never.
    pub(crate) fn reach(&self, remote: IpAddr) -> Poll<Result<(), ErrorKind>> {
        match self.path_to(remote) {
            Path::Loopback => Poll::Ready(Ok(())),
            Path::Wire => self.address.reach(remote),
        }
    }

    /// Returns whether an address is one of ours, or everybody's own.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.path_to(address) == Path::Loopback
    }

    /// Gives the VM an address in an IPv6 network with a 64-bit prefix.
    pub(crate) fn configure_ipv6(
        &mut self,
        prefix: Ipv6Addr,
        router: Option<Ipv6Addr>,
        now: Instant,
    ) {
        self.address
            .configure_ipv6(prefix, router, &mut self.interface, now);
    }

    /// Sends at once what connections have gathered.
    pub(crate) fn push(&mut self, now: Instant) {
        self.serve_ready(now);
        self.link.flush();
    }

    /// Gives back what is not needed while nothing arrives.
    pub(crate) fn rest(&mut self) {
        self.link.rest();
    }

    /// Returns what the VM knows of its network.
    pub(crate) fn address(&self) -> &Address<S> {
        &self.address
    }

    /// Returns the counters.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            connections: self.table.len(),
            time_wait: self.time_wait.len(),
            buffer_bytes: self.buffer_bytes,
            ..self.stats
        }
    }

    /// Returns the link, for tests to look at.
    #[cfg(test)]
    fn link_mut(&mut self) -> &mut L {
        &mut self.link
    }
}

impl<L: Link, S> Debug for Stack<L, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stack")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Whether there is more to carry to ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looped {
    All,
    More,
}

/// Returns whether a socket bound to `bound` is for what arrives at `local`: an unspecified address
/// of IPv6 is for all, one of IPv4 for all of IPv4, as in POSIX.
fn accepts(bound: IpAddr, local: IpAddr) -> bool {
    match bound {
        IpAddr::V6(any) if any.is_unspecified() => true,
        IpAddr::V4(any) if any.is_unspecified() => local.is_ipv4(),
        bound => bound == local,
    }
}

/// Returns when smoltcp wants to go on. What is due at once found the link full, which tells of room
/// by itself; to wait a moment costs nothing then.
fn due(at: smoltcp::time::Instant, now: Instant) -> Instant {
    let at = from_smol(at);
    if at > now { at } else { now + STALL_RETRY }
}

/// Returns the earlier of two deadlines.
fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Returns a point in time as smoltcp counts it.
fn smol(time: Instant) -> smoltcp::time::Instant {
    let micros = i64::try_from(time.as_ns() / 1000).unwrap_or(i64::MAX);
    smoltcp::time::Instant::from_micros(micros)
}

/// Returns a point in smoltcp's time as we count it.
fn from_smol(time: smoltcp::time::Instant) -> Instant {
    Instant::from_ns(
        u64::try_from(time.total_micros())
            .unwrap_or(0)
            .saturating_mul(1000),
    )
}
