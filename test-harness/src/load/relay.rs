//! Connections of this machine that go on inside the host's Ethernet.

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::Socket;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

/// The connections.
#[derive(Debug)]
pub(super) struct Relays {
    listener: TcpListener,
    relays: Vec<Relay>,
}

#[derive(Debug)]
struct Relay {
    stream: TcpStream,
    socket: SocketHandle,
    /// Whether this machine's side has said all.
    is_told: bool,
}

impl Relays {
    /// Listens at a port of this machine.
    pub(super) fn listen(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            relays: Vec::new(),
        })
    }

    /// Returns the next connection that waits.
    pub(super) fn accept(&self) -> io::Result<Option<TcpStream>> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                Ok(Some(stream))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Joins a connection to a socket that connects.
    pub(super) fn add(&mut self, stream: TcpStream, socket: SocketHandle) {
        self.relays.push(Relay {
            stream,
            socket,
            is_told: false,
        });
    }

    /// Moves bytes both ways. Returns whether there were any.
    pub(super) fn turn(&mut self, sockets: &mut SocketSet<'static>) -> bool {
        let mut moved = false;
        self.relays.retain_mut(|relay| {
            let goes_on = relay.turn(sockets, &mut moved);
            if !goes_on {
                // It may be gone already.
                relay.stream.shutdown(Shutdown::Both).ok();
                sockets.get_mut::<Socket<'_>>(relay.socket).abort();
                sockets.remove(relay.socket);
            }
            goes_on
        });
        moved
    }
}

impl Relay {
    /// Moves bytes; `false` when the connection is over.
    fn turn(&mut self, sockets: &mut SocketSet<'static>, moved: &mut bool) -> bool {
        let socket = sockets.get_mut::<Socket<'_>>(self.socket);
        while socket.can_recv() {
            let stream = &mut self.stream;
            let sent = socket.recv(|bytes| match stream.write(bytes) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error.kind())),
            });
            match sent {
                Ok(Ok(count)) if count > 0 => *moved = true,
                Ok(Err(ErrorKind::WouldBlock)) => break,
                _ => return false,
            }
        }
        while !self.is_told && socket.can_send() {
            let stream = &mut self.stream;
            let read = socket.send(|room| match stream.read(room) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error.kind())),
            });
            match read {
                Ok(Ok(0)) => {
                    self.is_told = true;
                    socket.close();
                }
                Ok(Ok(_)) => *moved = true,
                Ok(Err(ErrorKind::WouldBlock)) => break,
                _ => return false,
            }
        }
        socket.is_active()
            && (socket.may_recv()
                || socket.can_recv()
                || !self.is_told && socket.may_send()
                || is_opening(socket))
    }
}

fn is_opening(socket: &Socket<'_>) -> bool {
    use smoltcp::socket::tcp::State;
    matches!(socket.state(), State::SynSent | State::SynReceived)
}
