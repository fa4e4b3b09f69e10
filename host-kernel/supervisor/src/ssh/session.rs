//! One connection: from the key exchange to its last command.

use super::executor::block_on;
use super::login::{Identity, Login};
use super::shell;
use super::wire::{IDLE_MAX, Wire};
use crate::commands;
use crate::shared::Shared;
use crate::terminal::{Closed, Flow, Stream, Terminal};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use denali_rt::net::TcpStream;
use denali_shell::editor::COLUMNS;
use zssh::{Channel, Request, Transport, TransportError};

/// Length of the packet buffer. RFC 4253 §6.1 asks for packets of 35,000 bytes; `zssh` keeps 271
/// bytes for itself, so data comes in pieces of 35 KiB.
pub(super) const PACKET_LEN: usize = 36 * 1024;

/// How long an upload may stand still: it keeps others from deploying.
const UPLOAD_STALL_MAX: Duration = Duration::from_secs(30);

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// How often to look whether it came.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// Bytes that may be typed ahead of a command that runs.
const AHEAD_MAX: usize = 256;

/// Exit status of a command whose client went away.
const STATUS_CLOSED: u32 = 255;

/// Serves the client `peer` until it goes.
pub(super) fn serve(stream: TcpStream, peer: &str, identity: &Arc<Identity>, shared: &Arc<Shared>) {
    let wire = match Wire::new(stream) {
        Ok(wire) => Rc::new(wire),
        Err(error) => return log::warn!("{peer}: {error}"),
    };
    let mut buffer = vec![0; PACKET_LEN];
    let login = Login::new(Rc::clone(&wire), Arc::clone(identity), Arc::clone(shared));
    let mut transport = Transport::new(&mut buffer, login);
    let error = loop {
        let mut channel = match block_on(transport.accept()) {
            Ok(channel) => channel,
            Err(error) => break error,
        };
        wire.set_logged_in();
        let request = channel.request();
        let mut terminal = Console::new(&mut channel, &wire);
        let status = match request {
            Request::Exec(line) => run(&line, peer, shared, &mut terminal),
            Request::Shell => shell::run(peer, shared, &mut terminal),
        };
        if let Err(error) = block_on(channel.exit(status.unwrap_or(STATUS_CLOSED))) {
            break error;
        }
    };
    log::debug!("{peer}: {}", describe(&error));
}

/// Runs one command line and logs what changes something.
pub(super) fn run(
    line: &str,
    peer: &str,
    shared: &Shared,
    terminal: &mut dyn Terminal,
) -> Result<u32, Closed> {
    let status = commands::run(line, shared, terminal);
    let shown = line.escape_debug();
    match status {
        Ok(status) => log::info!("{peer}: {shown}: status {status}"),
        Err(Closed) => log::info!("{peer}: {shown}: client went away"),
    }
    status
}

fn describe(error: &TransportError<Login>) -> String {
    match error {
        zssh::Error::UnexpectedEof => "disconnected".into(),
        other => alloc::format!("{other:?}"),
    }
}

/// The standard streams of one SSH channel.
pub(super) struct Console<'c, 'a, 'b> {
    channel: &'c mut Channel<'a, 'b, Login>,
    wire: &'c Wire,
    /// The columns of the client's terminal, if it has one and wants it served.
    columns: Option<usize>,
    /// Whether the client may send a byte already.
    is_invited: bool,
    /// Whether standard input was read to its end.
    is_committed: bool,
    /// Bytes that came while a command ran.
    ahead: VecDeque<u8>,
    interrupted: bool,
}

impl<'c, 'a, 'b> Console<'c, 'a, 'b> {
    fn new(channel: &'c mut Channel<'a, 'b, Login>, wire: &'c Wire) -> Self {
        let terminal = channel.terminal();
        let columns = terminal.map(|it| usize::try_from(it.columns).unwrap_or(COLUMNS));
        Self {
            columns: columns.map(|columns| if columns == 0 { COLUMNS } else { columns }),
            channel,
            wire,
            is_invited: false,
            is_committed: false,
            ahead: VecDeque::new(),
            interrupted: false,
        }
    }

    /// Returns the columns of the client's terminal; `None` if standard input is a file or a pipe.
    pub(super) const fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Returns whether the client pressed Ctrl-C since the last time.
    pub(super) const fn take_interrupt(&mut self) -> bool {
        core::mem::replace(&mut self.interrupted, false)
    }

    /// Writes to standard output as it is.
    pub(super) fn write_raw(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        block_on(self.channel.write_all_stdout(bytes)).map_err(|_| Closed)
    }

    /// Reads one byte of standard input; `None` at its end.
    pub(super) fn read_byte(&mut self) -> Result<Option<u8>, Closed> {
        if let Some(byte) = self.ahead.pop_front() {
            return Ok(Some(byte));
        }
        self.invite()?;
        let mut reader = self.channel.resume();
        let read = block_on(reader.read()).map_err(|_| Closed)?;
        let byte = read.and_then(|bytes| bytes.first().copied());
        self.is_invited = false;
        Ok(byte)
    }

    /// Lets the client send a byte. A line has no length beforehand, so it is one at a time.
    fn invite(&mut self) -> Result<(), Closed> {
        if !self.is_invited {
            block_on(self.channel.reader(Some(1))).map_err(|_| Closed)?;
            self.is_invited = true;
        }
        Ok(())
    }

    /// Takes what was typed while a command runs; Ctrl-C ends the command.
    fn listen(&mut self) -> Result<(), Closed> {
        while self.wire.has_ahead() {
            let typed = block_on(self.channel.poll_stdin()).map_err(|_| Closed)?;
            let Some(byte) = typed.and_then(|bytes| bytes.first().copied()) else {
                continue;
            };
            self.is_invited = false;
            if byte == INTERRUPT {
                self.interrupted = true;
                return Err(Closed);
            }
            if self.ahead.len() < AHEAD_MAX {
                self.ahead.push_back(byte);
                self.invite()?;
            }
        }
        Ok(())
    }
}

/// Returns text for a terminal whose lines end as it is told to, not by themselves.
fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for byte in bytes {
        if *byte == b'\n' {
            text.push(b'\r');
        }
        text.push(*byte);
    }
    text
}

impl Terminal for Console<'_, '_, '_> {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Closed> {
        let returned;
        let bytes = if self.columns.is_some() {
            returned = with_returns(bytes);
            &returned[..]
        } else {
            bytes
        };
        let written = match stream {
            Stream::Output => block_on(self.channel.write_all_stdout(bytes)),
            Stream::Error => block_on(self.channel.write_all_stderr(bytes)),
        };
        written.map_err(|_| Closed)
    }

    fn receive(&mut self, sink: &mut dyn FnMut(&[u8]) -> Flow) -> Result<(), Closed> {
        if self.is_invited {
            // A person types there, and sends no file.
            return Err(Closed);
        }
        self.is_committed = true;
        self.wire.set_patience(UPLOAD_STALL_MAX);
        let mut reader = block_on(self.channel.reader(None)).map_err(|_| Closed)?;
        while let Some(piece) = block_on(reader.read()).map_err(|_| Closed)? {
            if sink(piece) == Flow::Enough {
                break;
            }
        }
        self.wire.set_patience(IDLE_MAX);
        Ok(())
    }

    fn who(&self) -> String {
        self.channel.user()
    }

    fn pause(&mut self, duration: Duration) -> Result<(), Closed> {
        if self.columns.is_none() || self.is_committed {
            return self.wire.pause(duration);
        }
        let mut left = duration;
        loop {
            self.invite()?;
            self.listen()?;
            let piece = left.min(LISTEN_EVERY);
            self.wire.pause(piece)?;
            left -= piece;
            if left.is_zero() {
                return self.listen();
            }
        }
    }
}
