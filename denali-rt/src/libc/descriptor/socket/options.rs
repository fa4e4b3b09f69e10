//! What can be set on a socket, and asked of it: numbers of Linux on x86-64.

use super::{Role, Socket, Type, address};
use crate::libc::errno::{self, EDOM, EINVAL, ENOPROTOOPT, Errno};
use crate::libc::memory::{In, Out};
use crate::libc::time::TimeVal;
use crate::net::{KeepAlive, TcpStream};
use crate::time::{Duration, Instant};
use core::ffi::c_int;

const SOL_SOCKET: c_int = 1;
const IPPROTO_IP: c_int = 0;
const IPPROTO_TCP: c_int = 6;
const IPPROTO_IPV6: c_int = 41;

const SO_REUSEADDR: c_int = 2;
const SO_TYPE: c_int = 3;
const SO_ERROR: c_int = 4;
const SO_BROADCAST: c_int = 6;
const SO_SNDBUF: c_int = 7;
const SO_RCVBUF: c_int = 8;
const SO_KEEPALIVE: c_int = 9;
const SO_LINGER: c_int = 13;
const SO_REUSEPORT: c_int = 15;
const SO_RCVTIMEO: c_int = 20;
const SO_SNDTIMEO: c_int = 21;
const SO_ACCEPTCONN: c_int = 30;
const SO_PROTOCOL: c_int = 38;
const SO_DOMAIN: c_int = 39;

const IP_TOS: c_int = 1;
const IP_TTL: c_int = 2;
const IPV6_V6ONLY: c_int = 26;

const TCP_NODELAY: c_int = 1;
const TCP_KEEPIDLE: c_int = 4;
const TCP_KEEPINTVL: c_int = 5;
const TCP_KEEPCNT: c_int = 6;
const TCP_USER_TIMEOUT: c_int = 18;

/// Settings of a socket, kept until it is a connection and told to that.
#[derive(Clone, Debug)]
pub(in crate::libc) struct Options {
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    nodelay: bool,
    keeps_alive: bool,
    keep_alive: KeepAlive,
    linger: Option<Duration>,
    user_timeout: Option<Duration>,
    ttl: u32,
    /// What was set and changes nothing here.
    reuses_address: c_int,
    broadcasts: c_int,
}

impl Options {
    pub(super) const fn new() -> Self {
        Self {
            read_timeout: None,
            write_timeout: None,
            nodelay: true,
            keeps_alive: false,
            // Linux's values.
            keep_alive: KeepAlive {
                idle: Duration::from_secs(7200),
                interval: Duration::from_secs(75),
                probes: 9,
            },
            linger: None,
            user_timeout: None,
            ttl: 64,
            reuses_address: 0,
            broadcasts: 0,
        }
    }

    /// Returns what a connection takes over from the listener that accepted it.
    pub(super) fn inherited(&self) -> Self {
        self.clone()
    }

    pub(super) fn read_deadline(&self) -> Option<Instant> {
        self.read_timeout.map(|timeout| Instant::now() + timeout)
    }

    pub(super) fn write_deadline(&self) -> Option<Instant> {
        self.write_timeout.map(|timeout| Instant::now() + timeout)
    }

    /// Makes a connection behave so.
    pub(super) fn apply(&self, stream: &TcpStream) -> Result<(), Errno> {
        stream.set_nodelay(self.nodelay)?;
        stream.set_keep_alive(self.keeps_alive.then_some(self.keep_alive))?;
        stream.set_linger(self.linger)?;
        stream.set_user_timeout(self.user_timeout)?;
        stream.set_ttl(self.ttl)?;
        Ok(())
    }
}

/// A value of a caller's.
#[derive(Clone, Copy, Debug)]
pub(in crate::libc) struct Value {
    place: In<u8>,
    len: u32,
}

impl Value {
    pub(in crate::libc) fn new(place: In<u8>, len: u32) -> Self {
        Self { place, len }
    }

    fn read<T: Copy>(self) -> Result<T, Errno> {
        if denali_abi::convert::u32_to_usize(self.len) < size_of::<T>() {
            return Err(Errno(EINVAL));
        }
        self.place.cast().read().ok_or(Errno(errno::EFAULT))
    }

    fn int(self) -> Result<c_int, Errno> {
        self.read()
    }

    fn flag(self) -> Result<bool, Errno> {
        Ok(self.int()? != 0)
    }

    /// Reads a `struct timeval`; zero means none.
    fn timeout(self) -> Result<Option<Duration>, Errno> {
        let time: TimeVal = self.read()?;
        let timeout = time.duration().map_err(|_| Errno(EDOM))?;
        Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
    }

    fn seconds(self) -> Result<Duration, Errno> {
        let seconds = u64::try_from(self.int()?).map_err(|_| Errno(EINVAL))?;
        match seconds {
            1..=32_767 => Ok(Duration::from_secs(seconds)),
            _ => Err(Errno(EINVAL)),
        }
    }
}

/// Room for a value.
#[derive(Clone, Copy, Debug)]
pub(in crate::libc) struct Answer {
    place: Out<u8>,
    len: Out<u32>,
}

impl Answer {
    pub(in crate::libc) fn new(place: Out<u8>, len: Out<u32>) -> Self {
        Self { place, len }
    }

    /// Stores a value, cut to the room there is.
    fn write(mut self, bytes: &[u8]) -> Result<(), Errno> {
        let room = self.len.read().ok_or(Errno(errno::EFAULT))?;
        let count = bytes.len().min(denali_abi::convert::u32_to_usize(room));
        self.place.slice(count).copy_from_slice(&bytes[..count]);
        self.len.write(u32::try_from(count).unwrap_or(0));
        Ok(())
    }

    fn int(self, value: c_int) -> Result<(), Errno> {
        self.write(&value.to_le_bytes())
    }

    fn seconds(self, duration: Duration) -> Result<(), Errno> {
        self.int(c_int::try_from(duration.as_secs()).unwrap_or(c_int::MAX))
    }

    fn timeout(self, timeout: Option<Duration>) -> Result<(), Errno> {
        let time = TimeVal::from(timeout.unwrap_or_default());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&time.tv_sec.to_le_bytes());
        bytes[8..].copy_from_slice(&time.tv_usec.to_le_bytes());
        self.write(&bytes)
    }
}

impl Socket {
    /// Sets an option.
    pub(in crate::libc) fn set_option(
        &self,
        level: c_int,
        name: c_int,
        value: Value,
    ) -> Result<(), Errno> {
        self.options.with(|options| match (level, name) {
            (SOL_SOCKET, SO_RCVTIMEO) => value.timeout().map(|time| options.read_timeout = time),
            (SOL_SOCKET, SO_SNDTIMEO) => value.timeout().map(|time| options.write_timeout = time),
            (SOL_SOCKET, SO_KEEPALIVE) => value.flag().map(|flag| options.keeps_alive = flag),
            (SOL_SOCKET, SO_REUSEADDR | SO_REUSEPORT) => {
                value.int().map(|int| options.reuses_address = int)
            }
            (SOL_SOCKET, SO_BROADCAST) => value.int().map(|int| options.broadcasts = int),
            // Buffers grow with use.
            (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => value.int().map(|_| ()),
            (SOL_SOCKET, SO_LINGER) => {
                let [is_on, seconds]: [c_int; 2] = value.read()?;
                let seconds = u64::try_from(seconds).map_err(|_| Errno(EINVAL))?;
                options.linger = (is_on != 0).then_some(Duration::from_secs(seconds));
                Ok(())
            }
            (IPPROTO_TCP, TCP_NODELAY) => value.flag().map(|flag| options.nodelay = flag),
            (IPPROTO_TCP, TCP_KEEPIDLE) => {
                value.seconds().map(|time| options.keep_alive.idle = time)
            }
            (IPPROTO_TCP, TCP_KEEPINTVL) => value
                .seconds()
                .map(|time| options.keep_alive.interval = time),
            (IPPROTO_TCP, TCP_KEEPCNT) => {
                let probes = u32::try_from(value.int()?)
                    .ok()
                    .filter(|probes| *probes > 0);
                options.keep_alive.probes = probes.ok_or(Errno(EINVAL))?;
                Ok(())
            }
            (IPPROTO_TCP, TCP_USER_TIMEOUT) => {
                let ms = u64::try_from(value.int()?).map_err(|_| Errno(EINVAL))?;
                options.user_timeout = (ms > 0).then_some(Duration::from_millis(ms));
                Ok(())
            }
            (IPPROTO_IP, IP_TTL) => {
                let ttl = u32::try_from(value.int()?).ok();
                let ttl = ttl.filter(|ttl| (1..=255).contains(ttl));
                options.ttl = ttl.ok_or(Errno(EINVAL))?;
                Ok(())
            }
            (IPPROTO_IP, IP_TOS) | (IPPROTO_IPV6, IPV6_V6ONLY) => value.int().map(|_| ()),
            _ => Err(Errno(ENOPROTOOPT)),
        })?;
        if let Role::Stream(stream) = self.role() {
            self.options
                .with(|options| options.clone())
                .apply(&stream.inner)?;
        }
        Ok(())
    }

    /// Tells what an option is set to.
    pub(in crate::libc) fn option(
        &self,
        level: c_int,
        name: c_int,
        answer: Answer,
    ) -> Result<(), Errno> {
        let options = self.options.with(|options| options.clone());
        match (level, name) {
            (SOL_SOCKET, SO_TYPE) => answer.int(match self.kind {
                Type::Stream => 1,
                Type::Datagram => 2,
            }),
            (SOL_SOCKET, SO_DOMAIN) => answer.int(address::number(self.family)),
            (SOL_SOCKET, SO_PROTOCOL) => answer.int(match self.kind {
                Type::Stream => IPPROTO_TCP,
                Type::Datagram => 17,
            }),
            (SOL_SOCKET, SO_ERROR) => answer.int(self.take_error()?),
            (SOL_SOCKET, SO_ACCEPTCONN) => {
                answer.int(matches!(self.role(), Role::Listener(_)).into())
            }
            (SOL_SOCKET, SO_RCVTIMEO) => answer.timeout(options.read_timeout),
            (SOL_SOCKET, SO_SNDTIMEO) => answer.timeout(options.write_timeout),
            (SOL_SOCKET, SO_KEEPALIVE) => answer.int(options.keeps_alive.into()),
            (SOL_SOCKET, SO_REUSEADDR | SO_REUSEPORT) => answer.int(options.reuses_address),
            (SOL_SOCKET, SO_BROADCAST) => answer.int(options.broadcasts),
            (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => answer.int(65_536),
            (SOL_SOCKET, SO_LINGER) => {
                let seconds = options.linger.unwrap_or_default().as_secs();
                let seconds = c_int::try_from(seconds).unwrap_or(c_int::MAX);
                let mut bytes = [0; 8];
                bytes[0] = options.linger.is_some().into();
                bytes[4..].copy_from_slice(&seconds.to_le_bytes());
                answer.write(&bytes)
            }
            (IPPROTO_TCP, TCP_NODELAY) => answer.int(options.nodelay.into()),
            (IPPROTO_TCP, TCP_KEEPIDLE) => answer.seconds(options.keep_alive.idle),
            (IPPROTO_TCP, TCP_KEEPINTVL) => answer.seconds(options.keep_alive.interval),
            (IPPROTO_TCP, TCP_KEEPCNT) => {
                answer.int(c_int::try_from(options.keep_alive.probes).unwrap_or(c_int::MAX))
            }
            (IPPROTO_TCP, TCP_USER_TIMEOUT) => {
                let ms = options.user_timeout.unwrap_or_default().as_millis();
                answer.int(c_int::try_from(ms).unwrap_or(c_int::MAX))
            }
            (IPPROTO_IP, IP_TTL) => answer.int(options.ttl.try_into().unwrap_or(64)),
            (IPPROTO_IP, IP_TOS) | (IPPROTO_IPV6, IPV6_V6ONLY) => answer.int(0),
            _ => Err(Errno(ENOPROTOOPT)),
        }
    }

    /// Takes the error that ended a connection, 0 without one.
    fn take_error(&self) -> Result<c_int, Errno> {
        let Role::Stream(stream) = self.role() else {
            return Ok(0);
        };
        let error = stream.inner.take_error()?.map(Errno::from);
        Ok(error.map_or(0, |Errno(number)| number))
    }
}
