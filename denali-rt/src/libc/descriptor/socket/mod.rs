//! Sockets over [`crate::net`].
//!
//! | file         | what                                              |
//! |--------------|---------------------------------------------------|
//! | `address.rs` | `struct sockaddr` and its kin                     |
//! | `options.rs` | what can be set on a socket                       |
//! | `transfer.rs`| sending and receiving                             |
//!
//! A socket is a listener, a stream or a datagram socket of the network once it is told which: by
//! `listen`, `connect` or `bind`. Until then it is a note of what it was told.

pub(in crate::libc) mod address;
pub(in crate::libc) mod options;
mod transfer;

pub(in crate::libc) use transfer::{Received, flag};

use super::watch::{Changes, Watch};
use super::{Description, Kind, Object, make_room};
use crate::libc::errno::{
    EADDRINUSE, EAGAIN, EALREADY, EINPROGRESS, EINVAL, EISCONN, ENOTCONN, EOPNOTSUPP, Errno,
};
use crate::net::{
    self, Buffers, Pollable, Readiness, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use crate::sync::{Arc, GuestCell};
use crate::time::{Duration, Instant};
use alloc::task::Wake;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::task::Waker;
use options::Options;

/// How long a connect waits for the VM to get an address.
const CONFIGURE_MAX: Duration = Duration::from_secs(15);

/// The address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::libc) enum Family {
    V4,
    /// Which includes IPv4 addresses, mapped (RFC 3493 §3.7).
    V6,
}

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::libc) enum Type {
    Stream,
    Datagram,
}

/// A socket.
pub(in crate::libc) struct Socket {
    family: Family,
    kind: Type,
    role: GuestCell<Role>,
    options: GuestCell<Options>,
    changes: Changes,
}

/// What a socket has become.
#[derive(Clone, Debug)]
enum Role {
    /// Nothing yet; maybe bound.
    Idle(Option<SocketAddr>),
    Listener(Arc<Watched<TcpListener>>),
    Stream(Arc<Watched<TcpStream>>),
    Datagram(Arc<Watched<UdpSocket>>),
}

/// A thing of the network whose changes are passed on to the watchers of its socket.
#[derive(Debug)]
struct Watched<T> {
    inner: T,
    _watch: net::Watch,
}

/// Passes changes on.
struct Forward(Changes);

impl Wake for Forward {
    fn wake(self: Arc<Self>) {
        self.0.tell();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.tell();
    }
}

impl Socket {
    pub(in crate::libc) fn new(family: Family, kind: Type) -> Self {
        Self {
            family,
            kind,
            role: GuestCell::new(Role::Idle(None)),
            options: GuestCell::new(Options::new()),
            changes: Changes::default(),
        }
    }

    pub(in crate::libc) fn kind_of(&self) -> Type {
        self.kind
    }

    fn role(&self) -> Role {
        self.role.with(|role| role.clone())
    }

    /// Wraps what the socket becomes, so that its watchers learn of changes.
    fn watched<T: Pollable>(&self, inner: T) -> Arc<Watched<T>> {
        let waker = Waker::from(Arc::new(Forward(self.changes.clone())));
        let watch = inner.watch(&waker);
        Arc::new(Watched {
            inner,
            _watch: watch,
        })
    }

    fn become_(&self, role: Role) {
        // The old role is dropped outside, where closing may do what it likes.
        let _old = self.role.with(|present| core::mem::replace(present, role));
        self.changes.tell();
    }

    /// Notes an address of ours, or takes the port of a datagram socket.
    pub(in crate::libc) fn bind(&self, address: SocketAddr) -> Result<(), Errno> {
        make_room()?;
        match (self.role(), self.kind) {
            (Role::Idle(None), Type::Stream) => {
                self.role
                    .with(|role| *role = Role::Idle(Some(canonical(address))));
                Ok(())
            }
            (Role::Idle(None), Type::Datagram) => {
                let socket = UdpSocket::bind(canonical(address))?;
                self.become_(Role::Datagram(self.watched(socket)));
                Ok(())
            }
            _ => Err(Errno(EINVAL)),
        }
    }

    /// Accepts connections from now on.
    pub(in crate::libc) fn listen(&self, backlog: usize) -> Result<(), Errno> {
        make_room()?;
        match (self.role(), self.kind) {
            (Role::Listener(listener), _) => Ok(listener.inner.set_backlog(backlog)?),
            (Role::Idle(bound), Type::Stream) => {
                let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                let listener = TcpListener::bind(bound.unwrap_or(any))?;
                listener.set_backlog(backlog)?;
                self.become_(Role::Listener(self.watched(listener)));
                Ok(())
            }
            (Role::Stream(_), _) => Err(Errno(EINVAL)),
            _ => Err(Errno(EOPNOTSUPP)),
        }
    }

    /// Returns a connection that waits to be accepted, and its peer.
    pub(in crate::libc) fn try_accept(&self) -> Result<(Self, SocketAddr), Errno> {
        make_room()?;
        let Role::Listener(listener) = self.role() else {
            let errno = match self.kind {
                Type::Stream => EINVAL,
                Type::Datagram => EOPNOTSUPP,
            };
            return Err(Errno(errno));
        };
        let (stream, peer) = listener.inner.try_accept()?;
        let accepted = Self::new(self.family, Type::Stream);
        let options = self.options.with(|options| options.inherited());
        options.apply(&stream)?;
        accepted.options.with(|place| *place = options);
        let role = Role::Stream(accepted.watched(stream));
        accepted.role.with(|place| *place = role);
        Ok((accepted, peer))
    }

    /// Connects to a peer; waits for it unless the description says not to.
    pub(in crate::libc) fn connect(
        &self,
        description: &Description,
        peer: SocketAddr,
    ) -> Result<(), Errno> {
        make_room()?;
        let peer = reachable(peer);
        match (self.role(), self.kind) {
            (_, Type::Datagram) => Ok(self.datagram()?.inner.connect(peer)?),
            (Role::Idle(bound), Type::Stream) => {
                if net::config().is_none() {
                    // A VM that has just started gets its address soon.
                    net::wait_until_configured(CONFIGURE_MAX)?;
                }
                let local_port = bound.map_or(0, |bound| bound.port());
                let stream = TcpStream::begin(peer, local_port, Buffers::DEFAULT)?;
                self.options.with(|options| options.apply(&stream))?;
                self.become_(Role::Stream(self.watched(stream)));
                self.complete(description)
            }
            (Role::Stream(stream), _) if stream.inner.readiness()?.writable => {
                match stream.inner.take_error()? {
                    Some(error) => Err(error.into()),
                    None => Err(Errno(EISCONN)),
                }
            }
            (Role::Stream(_), _) => Err(Errno(EALREADY)),
            _ => Err(Errno(EOPNOTSUPP)),
        }
    }

    /// Waits for the end of a connect, unless told not to.
    fn complete(&self, description: &Description) -> Result<(), Errno> {
        let deadline = self.options.with(|options| options.write_deadline());
        let result = description.block(deadline, || {
            let Role::Stream(stream) = self.role() else {
                return Err(Errno(ENOTCONN));
            };
            if !stream.inner.readiness()?.writable {
                return Err(Errno(EAGAIN));
            }
            match stream.inner.take_error()? {
                Some(error) => Err(error.into()),
                None => Ok(()),
            }
        });
        result.map_err(|error| match error {
            Errno(EAGAIN) => Errno(EINPROGRESS),
            error => error,
        })
    }

    /// Ends a direction of a connection, or both.
    pub(in crate::libc) fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        match self.role() {
            Role::Stream(stream) => Ok(stream.inner.shutdown(how)?),
            Role::Datagram(_) => Ok(()),
            Role::Listener(_) => {
                // Wakes who waits to accept, as on Linux.
                self.become_(Role::Idle(None));
                Ok(())
            }
            Role::Idle(_) => Err(Errno(ENOTCONN)),
        }
    }

    /// Returns our address.
    pub(in crate::libc) fn local_address(&self) -> Result<SocketAddr, Errno> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let address = match self.role() {
            Role::Idle(bound) => bound.unwrap_or(any),
            Role::Listener(listener) => listener.inner.local_addr(),
            Role::Stream(stream) => stream.inner.local_addr()?,
            Role::Datagram(socket) => socket.inner.local_addr(),
        };
        Ok(self.seen(address))
    }

    /// Returns the peer's address.
    pub(in crate::libc) fn peer_address(&self) -> Result<SocketAddr, Errno> {
        let address = match self.role() {
            Role::Stream(stream) if stream.inner.readiness()?.writable => stream.inner.peer_addr(),
            Role::Datagram(socket) => socket.inner.peer_addr()?,
            _ => return Err(Errno(ENOTCONN)),
        };
        Ok(self.seen(address))
    }

    /// Returns an address as programs see it on a socket of this family.
    pub(in crate::libc) fn seen(&self, address: SocketAddr) -> SocketAddr {
        match (self.family, address) {
            (Family::V6, SocketAddr::V4(address)) if address.ip().is_unspecified() => {
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()))
            }
            (Family::V6, SocketAddr::V4(address)) => {
                SocketAddr::from((address.ip().to_ipv6_mapped(), address.port()))
            }
            (_, address) => address,
        }
    }

    /// Returns the datagram socket, which takes a free port if it has none.
    fn datagram(&self) -> Result<Arc<Watched<UdpSocket>>, Errno> {
        if let Role::Idle(_) = self.role() {
            let socket = UdpSocket::bind(0_u16).map_err(|error| match Errno::from(error) {
                // All ports are taken, which for a caller that named none is another trouble.
                Errno(EADDRINUSE) => Errno(EAGAIN),
                errno => errno,
            })?;
            self.become_(Role::Datagram(self.watched(socket)));
        }
        match self.role() {
            Role::Datagram(socket) => Ok(socket),
            _ => Err(Errno(EOPNOTSUPP)),
        }
    }

    fn stream(&self) -> Result<Arc<Watched<TcpStream>>, Errno> {
        match self.role() {
            Role::Stream(stream) => Ok(stream),
            _ => Err(Errno(ENOTCONN)),
        }
    }
}

/// Returns an address in the form the network takes: IPv4 addresses are not mapped.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Returns a peer's address in the form the network takes; no address means this VM.
fn reachable(address: SocketAddr) -> SocketAddr {
    match canonical(address) {
        SocketAddr::V4(four) if four.ip().is_unspecified() => {
            SocketAddr::from((Ipv4Addr::LOCALHOST, four.port()))
        }
        SocketAddr::V6(six) if six.ip().is_unspecified() => {
            SocketAddr::from((Ipv6Addr::LOCALHOST, six.port()))
        }
        address => address,
    }
}

impl Object for Socket {
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.try_receive(&mut [buffer], 0)
            .map(|received| received.count)
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.try_send(bytes, None)
    }

    fn readiness(&self) -> Readiness {
        let readiness = match self.role() {
            Role::Idle(_) => Ok(Readiness {
                writable: self.kind == Type::Datagram,
                closed: self.kind == Type::Stream,
                ..Readiness::default()
            }),
            Role::Listener(listener) => listener.inner.readiness(),
            Role::Stream(stream) => stream.inner.readiness(),
            Role::Datagram(socket) => socket.inner.readiness(),
        };
        readiness.unwrap_or(Readiness {
            error: true,
            ..Readiness::default()
        })
    }

    fn watch(&self, waker: &Waker) -> Option<Watch> {
        Some(self.changes.watch(waker))
    }

    fn available(&self) -> Result<usize, Errno> {
        self.waiting_bytes()
    }

    fn read_deadline(&self) -> Option<Instant> {
        self.options.with(|options| options.read_deadline())
    }

    fn write_deadline(&self) -> Option<Instant> {
        self.options.with(|options| options.write_deadline())
    }

    fn as_socket(&self) -> Option<&Socket> {
        Some(self)
    }

    fn kind(&self) -> Kind {
        Kind::Socket
    }
}
