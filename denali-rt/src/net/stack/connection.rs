//! One TCP connection: a smoltcp socket in a set of its own, and what the stack notes beside it.

use super::table::Key;
use super::{Deadline, Signal, earliest};
use crate::heap;
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
/// trip; a writer blocks when the transmit buffer is full. Each costs memory only as far as data has
/// been in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Receive buffer, 1 KiB to 1 MiB, or [`AUTOMATIC`](Self::AUTOMATIC).
    pub receive: usize,
    /// Transmit buffer, 1 KiB to 1 MiB, or [`AUTOMATIC`](Self::AUTOMATIC).
    pub transmit: usize,
}

impl Buffers {
    /// A size that follows from how much of its memory the VM has left when the connection begins:
    /// 2 to 16 KiB to receive, 2 to 64 KiB to transmit.
    pub const AUTOMATIC: usize = 0;

    /// As large as the VM's memory allows: few connections are fast, many find room.
    pub const DEFAULT: Self = Self {
        receive: Self::AUTOMATIC,
        transmit: Self::AUTOMATIC,
    };

    /// For connections that carry much data, however many there are.
    pub const BULK: Self = Self {
        receive: 64 * 1024,
        transmit: 64 * 1024,
    };

    /// Automatic sizes in KiB, by the sixteenths of its memory that the VM must have left.
    const BY_MEMORY: [(usize, usize, usize); 5] =
        [(12, 16, 64), (8, 8, 16), (4, 4, 8), (2, 4, 4), (0, 2, 2)];

    /// Returns the sizes within the permitted range, with `left` of `limit` bytes of memory left.
    pub(super) fn resolved(self, left: usize, limit: usize) -> Self {
        let sixteenth = limit / 16;
        let tiers = Self::BY_MEMORY.into_iter();
        let fitting = tiers
            .rev()
            .take_while(|(share, ..)| share * sixteenth <= left);
        let (_, receive, transmit) = fitting.last().unwrap_or((0, 2, 2));
        let size = |wanted: usize, automatic_kib: usize| match wanted {
            Self::AUTOMATIC => automatic_kib * 1024,
            bytes => bytes.clamp(1024, 1024 * 1024),
        };
        Self {
            receive: size(self.receive, receive),
            transmit: size(self.transmit, transmit),
        }
    }

    /// Returns the bytes of both.
    pub(super) const fn bytes(self) -> usize {
        self.receive + self.transmit
    }
}

/// What keeps a sender from overloading the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// The peer's window alone, and the transmit buffer.
    None,
    /// A window that grows with acknowledgements and shrinks with losses (RFC 5681).
    Reno,
}

impl From<Congestion> for tcp::CongestionControl {
    fn from(congestion: Congestion) -> Self {
        match congestion {
            Congestion::None => Self::None,
            Congestion::Reno => Self::Reno,
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
    /// What may still be written before the initial window has been sent; `None` afterwards.
    opening: Option<usize>,
    /// The sequence number of the peer's SYN.
    pub(super) peer_start: u32,
    /// Bytes read so far, modulo 2³².
    pub(super) consumed: u32,
    /// Bytes written since the transmit buffer was last given back.
    pub(super) soiled: usize,
    /// Whether it stands in the queue of transmit buffers to be given back.
    pub(super) vacates: bool,
    /// When it last sent something.
    pub(super) sent_at: Instant,
}

impl<S: Signal> Connection<S> {
    /// Creates a connection with a closed socket and buffers of these sizes, or a little larger;
    /// `None` without memory for them.
    pub(super) fn new(key: Key, path: Path, owner: Owner, buffers: Buffers) -> Option<Box<Self>> {
        let receive = heap::buffer(buffers.receive)?;
        let transmit = heap::buffer(buffers.transmit)?;
        let buffer_bytes = receive.len() + transmit.len();
        let opening = Some(INITIAL_WINDOW);
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(receive),
            tcp::SocketBuffer::new(transmit),
        );
        // Writes gather in the buffer until the writing thread blocks or yields, which is all that
        // Nagle's algorithm would gain; the delay it costs with a peer's delayed acknowledgements
        // is saved.
        socket.set_nagle_enabled(false);
        socket.set_congestion_control(tcp::CongestionControl::None);
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
            buffer_bytes,
            opening,
            peer_start: 0,
            consumed: 0,
            soiled: 0,
            vacates: false,
            sent_at: Instant::from_ns(0),
        }))
    }

    /// Takes as many bytes to send as there is room for.
    ///
    /// The initial window goes out as a whole (RFC 6928), since smoltcp's own would begin with two
    /// kibibytes; a congestion window starts to grow with its acknowledgements.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, tcp::SendError> {
        let room = self.opening.unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let count = self.socket_mut().send_slice(bytes)?;
        if let Some(left) = &mut self.opening {
            *left -= count;
        }
        self.soiled = self.soiled.saturating_add(count);
        Ok(count)
    }

    /// Returns whether a write would take something, or fail.
    pub(super) fn can_write(&self) -> bool {
        let socket = self.socket();
        socket.can_send() && self.opening != Some(0) || !socket.may_send()
    }

    /// Chooses what keeps us from overloading the path.
    pub(super) fn set_congestion(&mut self, congestion: Congestion) {
        self.opening = None;
        self.socket_mut().set_congestion_control(congestion.into());
    }

    /// Begins to count losses and acknowledgements if the initial window has been sent.
    pub(super) fn end_opening(&mut self) {
        if self.opening == Some(0) {
            self.set_congestion(Congestion::Reno);
        }
    }

    /// Returns the sequence number that smoltcp expects next from the peer (RCV.NXT in RFC 9293).
    pub(super) fn expected(&self) -> u32 {
        let socket = self.socket();
        let is_over = matches!(
            socket.state(),
            tcp::State::CloseWait
                | tcp::State::Closing
                | tcp::State::LastAck
                | tcp::State::TimeWait
        );
        let unread = u32::try_from(socket.recv_queue()).unwrap_or(0);
        self.peer_start
            .wrapping_add(1)
            .wrapping_add(self.consumed)
            .wrapping_add(unread)
            .wrapping_add(u32::from(is_over))
    }

    /// Notes that `count` bytes were taken out of the receive buffer.
    pub(super) fn consume(&mut self, count: usize) {
        self.consumed = self
            .consumed
            .wrapping_add(u32::try_from(count).unwrap_or(0));
    }

    /// Gives the pages of the transmit buffer back if nothing is in it, but for the first, which the
    /// next write needs.
    pub(super) fn vacate(&mut self) {
        const KEPT: usize = 4096;
        let socket = self.socket_mut();
        if socket.send_queue() > 0 {
            return;
        }
        // An empty buffer is one free piece, and begins at its start.
        let vacated = socket.send(|free| {
            heap::vacate(free.get_mut(KEPT..).unwrap_or_default());
            (0, ())
        });
        if vacated.is_ok() {
            self.soiled = 0;
        }
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
        if self.can_write() {
            self.signals.writable.notify();
        }
    }
}
