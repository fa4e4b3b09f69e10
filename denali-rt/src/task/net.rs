//! The network for tasks: what waits in [`crate::net`], awaited.
//!
//! A read or write has no timeout of its own; [`timeout`](super::timeout) gives it one. Dropping one
//! that has not ended loses nothing.

use crate::io::{self, Error, Result};
use crate::net;
use crate::net::{BindAddress, IpAddr, Shutdown, SocketAddr};
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};

/// Returns the addresses of `host`: a name, or an address in figures.
///
/// # Errors
///
/// As [`net::lookup`].
pub async fn lookup(host: &str) -> Result<Vec<IpAddr>> {
    net::lookup_async(host).await
}

/// A port that accepts TCP connections, until dropped.
#[derive(Debug)]
pub struct TcpListener {
    inner: net::TcpListener,
}

impl TcpListener {
    /// Starts to accept connections on a port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`net::TcpListener::bind`].
    pub fn bind(address: impl BindAddress) -> Result<Self> {
        net::TcpListener::bind(address).map(Self::from)
    }

    /// Waits for a connection. Returns it and the peer's address.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.inner.accept_async().await?;
        Ok((stream.into(), peer))
    }

    /// Returns the listener for threads, whose settings are this one's, too.
    #[must_use]
    pub fn get_ref(&self) -> &net::TcpListener {
        &self.inner
    }
}

impl From<net::TcpListener> for TcpListener {
    fn from(inner: net::TcpListener) -> Self {
        Self { inner }
    }
}

/// A TCP connection. Dropping it sends what has been written, then ends it, in the background.
///
/// Several tasks may share a stream: `&TcpStream` reads and writes as well.
#[derive(Debug)]
pub struct TcpStream {
    inner: net::TcpStream,
}

impl TcpStream {
    /// Connects to a peer, waiting up to a minute for it.
    ///
    /// # Errors
    ///
    /// As [`net::TcpStream::connect`].
    pub async fn connect(address: impl Into<SocketAddr>) -> Result<Self> {
        let inner = net::TcpStream::connect_async(address.into()).await?;
        Ok(inner.into())
    }

    /// Waits for data and reads what is there. Returns 0 once the peer has sent its last.
    ///
    /// # Errors
    ///
    /// As [`net::TcpStream::read`].
    pub async fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.inner.read_async(buffer).await
    }

    /// Writes some of `bytes`, waiting for room. Returns how many.
    ///
    /// # Errors
    ///
    /// As [`net::TcpStream::write`].
    pub async fn write(&self, bytes: &[u8]) -> Result<usize> {
        self.inner.write_async(bytes).await
    }

    /// Sends at once what has been written, as far as the peer's window allows.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn flush(&self) -> Result<()> {
        self.inner.flush()
    }

    /// Ends the write half with what has been written so far.
    ///
    /// # Errors
    ///
    /// As [`net::TcpStream::shutdown`].
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.inner.shutdown(how)
    }

    /// Returns the peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.inner.peer_addr()
    }

    /// Returns the stream for threads, whose settings are this one's, too.
    #[must_use]
    pub fn get_ref(&self) -> &net::TcpStream {
        &self.inner
    }

    /// Returns the stream for threads, for one that goes on where a task leaves off.
    #[must_use]
    pub fn into_inner(self) -> net::TcpStream {
        self.inner
    }
}

impl From<net::TcpStream> for TcpStream {
    fn from(inner: net::TcpStream) -> Self {
        Self { inner }
    }
}

impl io::ErrorType for TcpStream {
    type Error = Error;
}

impl io::ErrorType for &TcpStream {
    type Error = Error;
}

impl Read for TcpStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Self::read(self, buffer).await
    }
}

impl Read for &TcpStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        TcpStream::read(self, buffer).await
    }
}

impl Write for TcpStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Self::write(self, bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        Self::flush(self)
    }
}

impl Write for &TcpStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        TcpStream::write(self, bytes).await
    }

    async fn flush(&mut self) -> Result<()> {
        TcpStream::flush(self)
    }
}

/// A UDP port, until dropped.
#[derive(Debug)]
pub struct UdpSocket {
    inner: net::UdpSocket,
}

impl UdpSocket {
    /// Takes a port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`net::UdpSocket::bind`].
    pub fn bind(address: impl BindAddress) -> Result<Self> {
        let inner = net::UdpSocket::bind(address)?;
        Ok(Self { inner })
    }

    /// Sends a datagram, waiting for room in the buffer. Returns its length.
    ///
    /// # Errors
    ///
    /// As [`net::UdpSocket::send_to`].
    pub async fn send_to(&self, payload: &[u8], to: impl Into<SocketAddr>) -> Result<usize> {
        self.inner.send_to_async(payload, to.into()).await
    }

    /// Waits for a datagram. Returns its length and where it came from; what does not fit `buffer`
    /// is lost.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.inner.recv_from_async(buffer).await
    }

    /// Makes `peer` the one that [`send`](Self::send) sends to; datagrams of others are dropped from
    /// now on.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub fn connect(&self, peer: impl Into<SocketAddr>) -> Result<()> {
        self.inner.connect(peer.into())
    }

    /// Sends a datagram to the peer set by [`connect`](Self::connect). Returns its length.
    ///
    /// # Errors
    ///
    /// As [`net::UdpSocket::send`].
    pub async fn send(&self, payload: &[u8]) -> Result<usize> {
        self.send_to(payload, self.inner.peer_addr()?).await
    }

    /// Waits for a datagram and returns its length; what does not fit `buffer` is lost.
    ///
    /// # Errors
    ///
    /// Without a network.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        let (count, _) = self.recv_from(buffer).await?;
        Ok(count)
    }

    /// Returns where it is bound; the address is unspecified before the VM has one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// Returns the socket for threads, whose settings are this one's, too.
    #[must_use]
    pub fn get_ref(&self) -> &net::UdpSocket {
        &self.inner
    }
}
