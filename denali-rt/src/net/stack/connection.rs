//! One TCP connection: a smoltcp socket in a set of its own, and what the stack notes beside it.

use super::table::Key;
use super::{Deadline, Signal, earliest};
use crate::io::ErrorKind;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;

use crate::time::Instant;

/// How long a peer may leave what we sent unanswered before the connection is given up
/// (RFC 9293 §3.8.3 asks for at least 100 seconds).
pub(super) const UNANSWERED_MAX: Duration = Duration::from_secs(120);

/// How long a peer may take to complete a handshake it began.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(15);

/// How long a connection whose stream was dropped may take to close in the background.
pub(super) const LINGER_MAX: Duration = Duration::from_secs(60);

/// What may be in flight before the first acknowledgement (RFC 6928: ten segments).
const INITIAL_WINDOW: usize = 10 * 1460;

/// How to find out whether a silent peer is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// After how much silence the first probe is sent.
    pub idle: Duration,
    /// The time between probes, and from the last to the end.
    pub interval: Duration,
    /// Unanswered probes after which the peer counts as gone.
    pub probes: u32,
}

impl KeepAlive {
    /// Probes after `interval` of silence and then as often; the fourth without an answer is the
    /// last.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self {
            idle: interval,
            interval,
            probes: 4,
        }
    }

    /// Returns how much silence ends a connection.
    fn silence_max(self) -> Duration {
        self.idle
            .saturating_add(self.interval.saturating_mul(self.probes))
    }
}

/// Sizes of a connection's buffers in bytes.
///
/// The receive buffer bounds what a peer can have in flight to us, and so throughput per round
/// trip; a writer blocks when the transmit buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Receive buffer, 1 KiB to 1 MiB.
    pub receive: usize,
    /// Transmit buffer, 1 KiB to 1 MiB.
    pub transmit: usize,
}

impl Buffers {
    /// Five full segments each way: a request and a page without waiting, and 256 connections in
    /// less than 4.5 MiB.
    pub const DEFAULT: Self = Self {
        receive: 8 * 1024,
        transmit: 8 * 1024,
    };

    /// For few connections that carry much data.
    pub const BULK: Self = Self {
        receive: 64 * 1024,
        transmit: 64 * 1024,
    };

    /// Returns the sizes within the permitted range.
    pub(super) fn clamped(self) -> Self {
        let range = |bytes: usize| bytes.clamp(1024, 1024 * 1024);
        Self {
            receive: range(self.receive),
            transmit: range(self.transmit),
        }
    }
}

/// Who is responsible for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The handshake of a listener's port is under way.
    HalfOpen { port: u16 },
    /// It waits in the listener's queue to be accepted.
    Backlog { port: u16 },
    /// A stream.
    Stream,
    /// Nobody: it closes in the background.
    Background,
}

/// Which way the packets of a socket go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// As frames, to others.
    Wire,
    /// To ourselves.
    Loopback,
}

/// The two things a stream waits for.
#[derive(Debug, Default)]
pub(crate) struct Signals<S> {
    /// Data, the peer's end of data, or an error.
    pub(crate) readable: S,
    /// Room in the transmit buffer, the end of the handshake, or an error.
    pub(crate) writable: S,
}

/// One TCP connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(super) key: Key,
    pub(super) path: Path,
    pub(super) owner: Owner,
    pub(super) signals: Arc<Signals<S>>,
    /// Why it failed, once it did.
    pub(super) error: Option<ErrorKind>,
    /// Its state when last looked at.
    pub(super) state: tcp::State,
    /// Its entry in the timer wheel.
    pub(super) timer: Option<Deadline>,
    /// Whether it stands in the queue of connections to be served.
    pub(super) queued: bool,
    /// Whether it waits for a neighbour's hardware address.
    pub(super) wants_neighbor: bool,
    /// Since when the peer owes us an answer.
    pub(super) unanswered_since: Option<Instant>,
    /// How long it may owe us one, if that was set.
    pub(super) user_timeout: Option<Duration>,
    /// How to probe a silent peer.
    pub(super) keep_alive: Option<KeepAlive>,
    /// Whether the peer has been silent long enough for probes.
    is_probing: bool,
    /// When the last frame came.
    heard_at: Instant,
    /// Whether the reader has closed its half.
    pub(super) read_shut: bool,
    /// When the background close ends, one way or the other.
    pub(super) linger_until: Option<Instant>,
    /// Bytes of buffers charged to the memory budget.
    pub(super) buffer_bytes: usize,
}

impl<S: Signal> Connection<S> {
    /// Creates a connection with a closed socket; `None` without memory for its buffers.
    pub(super) fn new(key: Key, path: Path, owner: Owner, buffers: Buffers) -> Option<Box<Self>> {
        let buffers = buffers.clamped();
        let receive = tcp::SocketBuffer::new(zeroed(buffers.receive)?);
        let transmit = tcp::SocketBuffer::new(zeroed(buffers.transmit)?);
        let mut socket = tcp::Socket::new(receive, transmit);
        // Writes gather in the buffer until the writing thread blocks or yields, which is all that
        // Nagle's algorithm would gain; the delay it costs with a peer's delayed acknowledgements
        // is saved.
        socket.set_nagle_enabled(false);
        // Where all that can be in flight fits an initial window, a congestion window has nothing
        // to hold back. Nor may it: when both ends have retransmitted one segment of several that
        // arrived, smoltcp numbers acknowledgements below what the other expects, and each drops
        // them for ever.
        if buffers.transmit <= INITIAL_WINDOW {
            socket.set_congestion_control(tcp::CongestionControl::None);
        }
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Some(Box::new(Self {
            set,
            handle,
            key,
            path,
            owner,
            signals: Arc::default(),
            error: None,
            state: tcp::State::Closed,
            timer: None,
            queued: false,
            wants_neighbor: false,
            unanswered_since: None,
            user_timeout: None,
            keep_alive: None,
            is_probing: false,
            heard_at: Instant::from_ns(0),
            read_shut: false,
            linger_until: None,
            buffer_bytes: buffers.receive + buffers.transmit,
        }))
    }

    /// Returns the socket.
    pub(super) fn socket(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    /// Returns the socket.
    pub(super) fn socket_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Returns the peer's address.
    pub(super) fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.key.remote, self.key.remote_port)
    }

    /// Returns our address, as the handshake fixed it.
    pub(super) fn local(&self) -> SocketAddr {
        let endpoint = self.socket().local_endpoint();
        let unknown = Ipv4Addr::UNSPECIFIED.into();
        let address = endpoint.map_or(unknown, |endpoint| endpoint.addr.into());
        SocketAddr::new(address, self.key.local_port)
    }

    /// Sets whether and how a silent peer is probed.
    pub(super) fn set_keep_alive(&mut self, keep_alive: Option<KeepAlive>) {
        self.keep_alive = keep_alive;
        self.is_probing = false;
        self.set_probe_interval(keep_alive.map(|keep_alive| keep_alive.idle));
    }

    /// Notes that a frame came, so that the silence begins anew.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard_at = now;
        if core::mem::take(&mut self.is_probing) {
            self.set_probe_interval(self.keep_alive.map(|keep_alive| keep_alive.idle));
        }
    }

    /// Makes probes follow each other at their own pace once the first is due.
    pub(super) fn probe_if_silent(&mut self, now: Instant) {
        if let Some(keep_alive) = self.keep_alive
            && !self.is_probing
            && now >= self.heard_at + keep_alive.idle
        {
            self.is_probing = true;
            self.set_probe_interval(Some(keep_alive.interval));
        }
    }

    fn set_probe_interval(&mut self, interval: Option<Duration>) {
        let interval = interval.map(smoltcp::time::Duration::from);
        self.socket_mut().set_keep_alive(interval);
    }

    /// Returns when silence ends the connection.
    fn silent_until(&self) -> Option<Instant> {
        let synchronized = matches!(
            self.socket().state(),
            tcp::State::Established | tcp::State::CloseWait | tcp::State::FinWait2
        );
        let keep_alive = self.keep_alive.filter(|_| synchronized)?;
        Some(self.heard_at + keep_alive.silence_max())
    }

    /// Returns whether the peer owes us an answer: to a SYN, data or FIN.
    pub(super) fn expects_answer(&self) -> bool {
        let socket = self.socket();
        match socket.state() {
            tcp::State::SynSent
            | tcp::State::SynReceived
            | tcp::State::FinWait1
            | tcp::State::Closing
            | tcp::State::LastAck => true,
            tcp::State::Established | tcp::State::CloseWait => socket.send_queue() > 0,
            _ => false,
        }
    }

    /// Returns when the stack gives the connection up, if nothing changes.
    pub(super) fn give_up_at(&self) -> Option<Instant> {
        let limit = match self.owner {
            Owner::HalfOpen { .. } => HANDSHAKE_MAX,
            _ => self.user_timeout.unwrap_or(UNANSWERED_MAX),
        };
        let unanswered = self.unanswered_since.map(|since| since + limit);
        earliest(earliest(unanswered, self.linger_until), self.silent_until())
    }

    /// Wakes whoever waits for the connection, if what they wait for is there.
    pub(super) fn wake(&self) {
        let socket = self.socket();
        if socket.can_recv() || !socket.may_recv() || self.read_shut {
            self.signals.readable.notify();
        }
        if socket.can_send() || !socket.may_send() {
            self.signals.writable.notify();
        }
    }
}

/// Returns `len` zero bytes, or `None` without memory.
fn zeroed(len: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).ok()?;
    bytes.resize(len, 0);
    Some(bytes)
}
