//! `sys/socket.h`.

use super::descriptor::pair;
use super::descriptor::socket::address::{self, AF_INET, AF_INET6};
use super::descriptor::socket::options::{Answer, Value};
use super::descriptor::socket::{Family, Received, Socket, Type, flag};
use super::descriptor::{self, Description};
use super::errno::{
    self, EAFNOSUPPORT, EINVAL, EMSGSIZE, ENOMEM, ENOTSOCK, EOPNOTSUPP, EPROTONOSUPPORT, Errno,
};
use super::memory::{In, Out};
use super::unistd::{IoVec, PIECES_MAX, count};
use crate::net::{Shutdown, SocketAddr};
use alloc::vec::Vec;
use core::ffi::c_int;

const AF_UNIX: c_int = 1;

const SOCK_STREAM: c_int = 1;
const SOCK_DGRAM: c_int = 2;

/// Flags in a socket's type.
const SOCK_NONBLOCK: c_int = 0o4000;
const SOCK_CLOEXEC: c_int = 0o2_000_000;

const IPPROTO_TCP: c_int = 6;
const IPPROTO_UDP: c_int = 17;

/// Most connections that wait to be accepted, whatever `listen` is told.
const BACKLOG_MAX: c_int = 4096;

/// A message of `sendmsg` and `recvmsg`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MsgHdr {
    /// The peer's address, or null.
    pub msg_name: Out<u8>,
    /// Its length.
    pub msg_namelen: u32,
    /// The pieces of the message.
    pub msg_iov: Out<IoVec>,
    /// How many there are.
    pub msg_iovlen: usize,
    /// Control data: none is sent, and none received.
    pub msg_control: Out<u8>,
    /// Its length.
    pub msg_controllen: usize,
    /// Flags of a message received.
    pub msg_flags: c_int,
}

/// Calls `f` with the socket that a descriptor means.
fn with<R>(
    descriptor: c_int,
    f: impl FnOnce(&Description, &Socket) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let description = descriptor::get(descriptor)?;
    let socket = description.object().as_socket().ok_or(Errno(ENOTSOCK))?;
    f(&description, socket)
}

/// Makes a socket.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int {
    let make = || {
        let family = match family {
            AF_INET => Family::V4,
            AF_INET6 => Family::V6,
            _ => return Err(Errno(EAFNOSUPPORT)),
        };
        let kind_of = match (kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC), protocol) {
            (SOCK_STREAM, 0 | IPPROTO_TCP) => Type::Stream,
            (SOCK_DGRAM, 0 | IPPROTO_UDP) => Type::Datagram,
            (SOCK_STREAM | SOCK_DGRAM, _) => return Err(Errno(EPROTONOSUPPORT)),
            _ => return Err(Errno(EINVAL)),
        };
        descriptor::open(|| Socket::new(family, kind_of), kind & SOCK_NONBLOCK != 0)
    };
    errno::answer(make())
}

/// Makes two sockets that are connected to one another, of the family `AF_UNIX` alone.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn socketpair(
    family: c_int,
    kind: c_int,
    _protocol: c_int,
    ends: Out<[c_int; 2]>,
) -> c_int {
    let make = || {
        if family != AF_UNIX {
            return Err(Errno(EAFNOSUPPORT));
        }
        if kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != SOCK_STREAM {
            return Err(Errno(EPROTONOSUPPORT));
        }
        descriptor::make_room()?;
        let (one, other) = pair::pair();
        let nonblocking = kind & SOCK_NONBLOCK != 0;
        let first = descriptor::open(|| one, nonblocking)?;
        let second = descriptor::open(|| other, nonblocking).inspect_err(|_| {
            // It was opened just now.
            descriptor::close(first).unwrap_or_default();
        })?;
        ends.write([first, second]);
        Ok(0)
    };
    errno::answer(make())
}

/// Names a socket's own address.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn bind(descriptor: c_int, name: In<u8>, len: u32) -> c_int {
    errno::answer(with(descriptor, |_, socket| {
        socket.bind(address::decode(name, len)?)?;
        Ok(0)
    }))
}

/// Accepts connections from now on.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn listen(descriptor: c_int, backlog: c_int) -> c_int {
    let backlog = usize::try_from(backlog.clamp(1, BACKLOG_MAX)).unwrap_or(1);
    errno::answer(with(descriptor, |_, socket| {
        socket.listen(backlog)?;
        Ok(0)
    }))
}

/// Waits for a connection and gives it a descriptor.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn accept(descriptor: c_int, name: Out<u8>, len: Out<u32>) -> c_int {
    accept4(descriptor, name, len, 0)
}

/// Like [`accept`], with `SOCK_NONBLOCK` for the connection if so flagged.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn accept4(descriptor: c_int, name: Out<u8>, len: Out<u32>, flags: c_int) -> c_int {
    errno::answer(with(descriptor, |description, socket| {
        let deadline = description.object().read_deadline();
        let (accepted, peer) = description.block(deadline, || socket.try_accept())?;
        address::store(accepted.seen(peer), name, len);
        descriptor::open(|| accepted, flags & SOCK_NONBLOCK != 0)
    }))
}

/// Connects to a peer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn connect(descriptor: c_int, name: In<u8>, len: u32) -> c_int {
    errno::answer(with(descriptor, |description, socket| {
        socket.connect(description, address::decode(name, len)?)?;
        Ok(0)
    }))
}

/// Sends bytes to the peer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn send(descriptor: c_int, from: In<u8>, len: usize, flags: c_int) -> isize {
    sendto(descriptor, from, len, flags, In::NULL, 0)
}

/// Sends bytes to a peer.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sendto(
    descriptor: c_int,
    from: In<u8>,
    len: usize,
    flags: c_int,
    name: In<u8>,
    name_len: u32,
) -> isize {
    let peer = match name.is_null() {
        true => Ok(None),
        false => address::decode(name, name_len).map(Some),
    };
    count(peer.and_then(|peer| send_bytes(descriptor, from.slice(len), flags, peer)))
}

/// Sends a message of several pieces.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn sendmsg(descriptor: c_int, message: In<MsgHdr>, flags: c_int) -> isize {
    let send = || {
        let message = message.read().ok_or(Errno(EINVAL))?;
        let peer = match message.msg_name.is_null() {
            true => None,
            false => Some(address::decode(
                message.msg_name.readable(),
                message.msg_namelen,
            )?),
        };
        let pieces = pieces(&message)?;
        if let [piece] = pieces.as_slice() {
            return send_bytes(
                descriptor,
                piece.base.readable().slice(piece.len),
                flags,
                peer,
            );
        }
        let mut whole = Vec::new();
        for piece in &pieces {
            whole
                .try_reserve(piece.len)
                .map_err(|_| Errno(errno::ENOBUFS))?;
            whole.extend_from_slice(piece.base.readable().slice(piece.len));
        }
        send_bytes(descriptor, &whole, flags, peer)
    };
    count(send())
}

fn send_bytes(
    descriptor: c_int,
    bytes: &[u8],
    flags: c_int,
    peer: Option<SocketAddr>,
) -> Result<usize, Errno> {
    let description = descriptor::get(descriptor)?;
    if description.object().is_pair() {
        let attempt = || description.object().try_write(bytes);
        return match flags & flag::DONTWAIT {
            0 => description.block(None, attempt),
            _ => attempt(),
        };
    }
    with(descriptor, |description, socket| {
        let attempt = || socket.try_send(bytes, peer);
        let sent = if flags & flag::DONTWAIT != 0 {
            attempt()
        } else {
            description.block(description.object().write_deadline(), attempt)
        };
        sent.map_err(|error| match (error, socket.kind_of()) {
            (Errno(EINVAL), Type::Datagram) => Errno(EMSGSIZE),
            (error, _) => error,
        })
    })
}

/// Receives bytes, waiting for some; 0 at the end.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn recv(descriptor: c_int, to: Out<u8>, len: usize, flags: c_int) -> isize {
    recvfrom(descriptor, to, len, flags, Out::NULL, Out::NULL)
}

/// Receives bytes and tells who sent them.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn recvfrom(
    descriptor: c_int,
    mut to: Out<u8>,
    len: usize,
    flags: c_int,
    name: Out<u8>,
    name_len: Out<u32>,
) -> isize {
    let received = receive(descriptor, &mut [to.slice(len)], flags);
    count(received.map(|received| {
        match received.from {
            Some(from) => address::store(from, name, name_len),
            None => name_len.write(0),
        }
        told_length(&received, flags)
    }))
}

/// Receives a message into several pieces.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn recvmsg(descriptor: c_int, message: Out<MsgHdr>, flags: c_int) -> isize {
    let receive = || {
        let mut header = message.read().ok_or(Errno(EINVAL))?;
        let mut pieces = pieces(&header)?;
        let mut buffers: Vec<&mut [u8]> = pieces
            .iter_mut()
            .map(|piece| piece.base.slice(piece.len))
            .collect();
        let received = receive(descriptor, &mut buffers, flags)?;
        match received.from {
            Some(from) => {
                let mut len = header.msg_namelen;
                let place = Out::from_raw(&raw mut len);
                address::store(from, header.msg_name, place);
                header.msg_namelen = len;
            }
            None => header.msg_namelen = 0,
        }
        header.msg_controllen = 0;
        header.msg_flags = if received.whole > received.count {
            flag::TRUNC
        } else {
            0
        };
        message.write(header);
        Ok(told_length(&received, flags))
    };
    count(receive())
}

/// Returns the length a caller is told: with `MSG_TRUNC` that of the whole datagram.
fn told_length(received: &Received, flags: c_int) -> usize {
    if flags & flag::TRUNC != 0 && received.from.is_some() {
        received.whole
    } else {
        received.count
    }
}

fn receive(descriptor: c_int, buffers: &mut [&mut [u8]], flags: c_int) -> Result<Received, Errno> {
    let description = descriptor::get(descriptor)?;
    if description.object().is_pair() {
        return receive_from_pair(&description, buffers, flags);
    }
    with(descriptor, |description, socket| {
        let deadline = description.object().read_deadline();
        if flags & flag::DONTWAIT != 0 {
            return socket.try_receive(buffers, flags);
        }
        if flags & flag::WAITALL != 0 && socket.kind_of() == Type::Stream {
            return receive_all(description, socket, buffers, flags);
        }
        description.block(deadline, || socket.try_receive(buffers, flags))
    })
}

/// Receives from one end of a pair into the first buffer that has room.
fn receive_from_pair(
    description: &Description,
    buffers: &mut [&mut [u8]],
    flags: c_int,
) -> Result<Received, Errno> {
    if flags & flag::PEEK != 0 {
        return Err(Errno(EOPNOTSUPP));
    }
    let mut rest = buffers.iter_mut().filter(|buffer| !buffer.is_empty());
    let Some(buffer) = rest.next() else {
        return Ok(Received::default());
    };
    let mut attempt = || description.object().try_read(buffer);
    let count = match flags & flag::DONTWAIT {
        0 => description.block(None, attempt)?,
        _ => attempt()?,
    };
    Ok(Received {
        count,
        ..Received::default()
    })
}

/// Receives until the first buffer is full, the peer has sent its last, or an error.
fn receive_all(
    description: &Description,
    socket: &Socket,
    buffers: &mut [&mut [u8]],
    flags: c_int,
) -> Result<Received, Errno> {
    let deadline = description.object().read_deadline();
    let mut total = Received {
        count: 0,
        whole: 0,
        from: None,
    };
    for buffer in buffers {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let more = description.block(deadline, || socket.try_receive(&mut [rest], flags));
            match more {
                Ok(Received { count: 0, .. }) => return Ok(total),
                Ok(Received { count, .. }) => {
                    filled += count;
                    total.count += count;
                    total.whole = total.count;
                }
                Err(error) if total.count == 0 => return Err(error),
                Err(_) => return Ok(total),
            }
            if flags & flag::PEEK != 0 {
                return Ok(total);
            }
        }
    }
    Ok(total)
}

/// Returns the pieces of a message.
fn pieces(message: &MsgHdr) -> Result<Vec<IoVec>, Errno> {
    if message.msg_iovlen > PIECES_MAX {
        return Err(Errno(EMSGSIZE));
    }
    let given = message.msg_iov.readable();
    let given = given.slice(message.msg_iovlen);
    let mut pieces = Vec::new();
    pieces
        .try_reserve_exact(given.len())
        .map_err(|_| Errno(ENOMEM))?;
    pieces.extend_from_slice(given);
    Ok(pieces)
}

/// Ends what is received (0), what is sent (1), or both (2).
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn shutdown(descriptor: c_int, how: c_int) -> c_int {
    let how = match how {
        0 => Ok(Shutdown::Read),
        1 => Ok(Shutdown::Write),
        2 => Ok(Shutdown::Both),
        _ => Err(Errno(EINVAL)),
    };
    let shut = how.and_then(|how| with(descriptor, |_, socket| socket.shutdown(how)));
    errno::answer(shut.map(|()| 0))
}

/// Tells our address.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getsockname(descriptor: c_int, name: Out<u8>, len: Out<u32>) -> c_int {
    errno::answer(with(descriptor, |_, socket| {
        address::store(socket.local_address()?, name, len);
        Ok(0)
    }))
}

/// Tells the peer's address.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getpeername(descriptor: c_int, name: Out<u8>, len: Out<u32>) -> c_int {
    errno::answer(with(descriptor, |_, socket| {
        address::store(socket.peer_address()?, name, len);
        Ok(0)
    }))
}

/// Sets an option.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn setsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    value: In<u8>,
    len: u32,
) -> c_int {
    errno::answer(with(descriptor, |_, socket| {
        socket.set_option(level, name, Value::new(value, len))?;
        Ok(0)
    }))
}

/// Tells what an option is set to.
#[cfg_attr(denali, unsafe(no_mangle))]
pub extern "C" fn getsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    value: Out<u8>,
    len: Out<u32>,
) -> c_int {
    errno::answer(with(descriptor, |_, socket| {
        socket.option(level, name, Answer::new(value, len))?;
        Ok(0)
    }))
}
