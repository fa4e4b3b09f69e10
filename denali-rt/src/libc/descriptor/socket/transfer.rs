//! Sending and receiving.

use super::{Socket, Type, reachable};
use crate::heap;
use crate::libc::errno::{EINVAL, EISCONN, ENOMEM, Errno};
use crate::net::SocketAddr;
use core::ffi::c_int;

/// Flags of `send`, `recv` and their kin.
pub(in crate::libc) mod flag {
    use core::ffi::c_int;

    /// Out-of-band data, which does not exist here.
    pub(in crate::libc) const OOB: c_int = 1;
    /// Read, but leave to be read again.
    pub(in crate::libc) const PEEK: c_int = 2;
    /// The datagram was longer than the buffer.
    pub(in crate::libc) const TRUNC: c_int = 0x20;
    /// Do not wait.
    pub(in crate::libc) const DONTWAIT: c_int = 0x40;
    /// Wait for all that was asked for.
    pub(in crate::libc) const WAITALL: c_int = 0x100;
}

/// Bytes asked of a datagram socket, to see whether one is longer than a caller's buffer.
const DATAGRAM_MAX: usize = 2048;

/// Bytes looked at to tell how many wait.
const PROBE_LEN: usize = 64 * 1024;

/// What was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::libc) struct Received {
    /// Bytes in the buffers.
    pub(in crate::libc) count: usize,
    /// Length of the datagram.
    pub(in crate::libc) whole: usize,
    /// Who sent the datagram; nothing on a stream.
    pub(in crate::libc) from: Option<SocketAddr>,
}

impl Socket {
    /// Sends bytes, to a peer if it is named.
    pub(in crate::libc) fn try_send(
        &self,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        match (self.kind_of(), to) {
            (Type::Stream, _) => {
                let stream = self.stream()?;
                let count = stream.inner.try_write(bytes)?;
                Ok(count)
            }
            (Type::Datagram, Some(to)) => {
                let socket = self.datagram()?;
                if socket
                    .inner
                    .peer_addr()
                    .is_ok_and(|peer| peer != reachable(to))
                {
                    return Err(Errno(EISCONN));
                }
                Ok(socket.inner.try_send_to(bytes, reachable(to))?)
            }
            (Type::Datagram, None) => {
                let socket = self.datagram()?;
                let peer = socket
                    .inner
                    .peer_addr()
                    .map_err(|_| Errno(crate::libc::errno::EDESTADDRREQ))?;
                Ok(socket.inner.try_send_to(bytes, peer)?)
            }
        }
    }

    /// Receives into buffers, the first one first.
    pub(in crate::libc) fn try_receive(
        &self,
        buffers: &mut [&mut [u8]],
        flags: c_int,
    ) -> Result<Received, Errno> {
        if flags & flag::OOB != 0 {
            return Err(Errno(EINVAL));
        }
        let peeks = flags & flag::PEEK != 0;
        match self.kind_of() {
            Type::Stream => self.receive_stream(buffers, peeks),
            Type::Datagram => self.receive_datagram(buffers, peeks),
        }
    }

    fn receive_stream(&self, buffers: &mut [&mut [u8]], peeks: bool) -> Result<Received, Errno> {
        let stream = self.stream()?;
        let mut count = 0;
        for buffer in buffers.iter_mut().filter(|buffer| !buffer.is_empty()) {
            let read = if peeks {
                stream.inner.try_peek(buffer)
            } else {
                stream.inner.try_read(buffer)
            };
            match read {
                Ok(more) => {
                    count += more;
                    if more < buffer.len() || peeks {
                        break;
                    }
                }
                Err(error) if count == 0 => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok(Received {
            count,
            whole: count,
            from: None,
        })
    }

    fn receive_datagram(&self, buffers: &mut [&mut [u8]], peeks: bool) -> Result<Received, Errno> {
        let socket = self.datagram()?;
        let mut datagram = heap::buffer(DATAGRAM_MAX).ok_or(Errno(ENOMEM))?;
        let (whole, from) = if peeks {
            socket.inner.try_peek_from(&mut datagram)?
        } else {
            socket.inner.try_recv_from(&mut datagram)?
        };
        let mut rest = &datagram[..whole];
        let mut count = 0;
        for buffer in buffers {
            let (now, later) = rest.split_at(rest.len().min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            count += now.len();
            rest = later;
        }
        Ok(Received {
            count,
            whole,
            from: Some(self.seen(from)),
        })
    }

    /// Returns how many bytes the next receive could give.
    pub(super) fn waiting_bytes(&self) -> Result<usize, Errno> {
        let mut probe = heap::buffer(PROBE_LEN).ok_or(Errno(ENOMEM))?;
        let peeked = self.try_receive(&mut [&mut probe], flag::PEEK);
        match peeked {
            Ok(received) => Ok(received.whole),
            Err(Errno(crate::libc::errno::EAGAIN)) => Ok(0),
            Err(error) => Err(error),
        }
    }
}
