//! Load on very many services: HTTP requests to each at its own address, many at once, and what came
//! of them.

mod link;
mod relay;
mod zipf;

pub use link::Link;
pub use zipf::Zipf;

use relay::Relays;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as Time;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Our address: the last but one of a local host's network, far from where its pool begins.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 91, 255, 254);

/// Length of the network's prefix.
const PREFIX_LEN: u8 = 15;

/// The supervisor's address.
const SUPERVISOR: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 15);

/// Bytes of the buffers of a connection to it.
const RELAY_BUFFER: usize = 64 * 1024;

/// How long an answer may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a connection's buffers.
const BUFFER: usize = 8192;

/// Local ports are used one after the other from here.
const PORT_FIRST: u16 = 10_000;

/// How long to rest when nothing happened.
const REST: Duration = Duration::from_micros(200);

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer that was expected.
    Answered {
        /// From the first packet to the first byte of the answer.
        first_byte: Duration,
        /// To its end.
        whole: Duration,
    },
    /// Another answer.
    Wrong,
    /// The connection was refused, or broken off before the first byte.
    Refused,
    /// None in time.
    Silent,
}

/// A client of very many services.
pub struct Load {
    link: Link,
    interface: Interface,
    sockets: SocketSet<'static>,
    started: Instant,
    next_port: u16,
    relays: Relays,
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

/// A request under way.
struct Request {
    address: Ipv4Addr,
    socket: SocketHandle,
    begun: Instant,
    first_byte: Option<Duration>,
    asked: bool,
    answer: Vec<u8>,
}

impl Load {
    /// Makes a client on the Ethernet whose sockets are in `folder`, which leads `port` of this
    /// machine to the supervisor.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    ///
    /// # Panics
    ///
    /// Never: an interface has room for one address.
    pub fn new(folder: &Path, port: u16) -> io::Result<Self> {
        let mut link = Link::bind(folder, ADDRESS)?;
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut link, Time::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses
                .push(IpCidr::new(IpAddress::Ipv4(ADDRESS), PREFIX_LEN))
                .expect("room for one");
        });
        Ok(Self {
            link,
            interface,
            sockets: SocketSet::new(Vec::new()),
            started: Instant::now(),
            next_port: PORT_FIRST,
            relays: Relays::listen(port)?,
        })
    }

    /// Moves what is there to move. Returns whether connections to the supervisor went on.
    ///
    /// # Errors
    ///
    /// The link fails.
    pub fn turn(&mut self) -> io::Result<bool> {
        self.link.turn()?;
        let now = self.now();
        self.interface.poll(now, &mut self.link, &mut self.sockets);
        let moved = self.relay()?;
        self.interface.poll(now, &mut self.link, &mut self.sockets);
        Ok(moved)
    }

    /// Accepts and serves connections to the supervisor.
    fn relay(&mut self) -> io::Result<bool> {
        while let Some(stream) = self.relays.accept()? {
            let socket = self.connect(SUPERVISOR, 22, RELAY_BUFFER);
            self.relays.add(stream, socket);
        }
        Ok(self.relays.turn(&mut self.sockets))
    }

    /// Asks the services whose addresses `next` names for `/` at port 80, `clients` at once, until it
    /// names no more. Passes address and outcome to `done`.
    ///
    /// An answer is right if it ends with `expected`.
    ///
    /// # Errors
    ///
    /// The link fails.
    pub fn run(
        &mut self,
        clients: usize,
        expected: &[u8],
        mut next: impl FnMut() -> Option<Ipv4Addr>,
        mut done: impl FnMut(Ipv4Addr, Outcome),
    ) -> io::Result<()> {
        let mut running: Vec<Request> = Vec::new();
        let mut more = true;
        while more || !running.is_empty() {
            while more && running.len() < clients {
                match next() {
                    Some(address) => running.push(self.begin(address)),
                    None => more = false,
                }
            }
            let mut progress = self.turn()?;
            let mut index = 0;
            while index < running.len() {
                match self.step(&mut running[index], expected) {
                    None => index += 1,
                    Some(outcome) => {
                        progress = true;
                        let request = running.swap_remove(index);
                        self.sockets.remove(request.socket);
                        done(request.address, outcome);
                    }
                }
            }
            if !progress {
                thread::sleep(REST);
            }
        }
        Ok(())
    }

    fn connect(&mut self, address: Ipv4Addr, port: u16, bytes: usize) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; bytes]);
        let mut socket = Socket::new(buffer(), buffer());
        let ours = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(PORT_FIRST);
        let remote = (IpAddress::Ipv4(address), port);
        socket
            .connect(self.interface.context(), remote, ours)
            .expect("a new socket has a port and somebody to connect to");
        self.sockets.add(socket)
    }

    fn now(&self) -> Time {
        let micros = self.started.elapsed().as_micros();
        Time::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn begin(&mut self, address: Ipv4Addr) -> Request {
        Request {
            address,
            socket: self.connect(address, 80, BUFFER),
            begun: Instant::now(),
            first_byte: None,
            asked: false,
            answer: Vec::new(),
        }
    }

    /// Goes on with a request; returns what came of it when it is over.
    fn step(&mut self, request: &mut Request, expected: &[u8]) -> Option<Outcome> {
        const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n";
        let socket = self.sockets.get_mut::<Socket<'_>>(request.socket);
        let elapsed = request.begun.elapsed();
        if !request.asked && socket.can_send() {
            request.asked = socket.send_slice(QUESTION) == Ok(QUESTION.len());
        }
        if socket.can_recv() {
            request.first_byte.get_or_insert(elapsed);
            let answer = &mut request.answer;
            // A socket that can receive does.
            let taken = socket.recv(|bytes| {
                answer.extend_from_slice(bytes);
                (bytes.len(), ())
            });
            taken.ok();
        }
        let over = matches!(
            socket.state(),
            State::CloseWait | State::Closed | State::TimeWait
        );
        if over && !socket.can_recv() {
            socket.abort();
            let right = request.answer.starts_with(b"HTTP/1.1 200 ")
                && request.answer.ends_with(expected)
                && !expected.is_empty();
            return Some(match request.first_byte {
                Some(first_byte) if right => Outcome::Answered {
                    first_byte,
                    whole: elapsed,
                },
                Some(_) => Outcome::Wrong,
                None => Outcome::Refused,
            });
        }
        if elapsed > PATIENCE {
            socket.abort();
            return Some(Outcome::Silent);
        }
        None
    }
}
