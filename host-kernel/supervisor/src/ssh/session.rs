//! One connection: from the key exchange to its last command.

use super::executor::block_on;
use super::login::{Identity, Login};
use super::shell;
use super::wire::{IDLE_MAX, Wire};
use crate::commands;
use crate::shared::Shared;
use crate::terminal::{Closed, Flow, Stream, Terminal};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use core::time::Duration;
use denali_rt::net::TcpStream;
use zssh::{Channel, Request, Transport, TransportError};

/// Length of the packet buffer. RFC 4253 §6.1 asks for packets of 35,000 bytes; `zssh` keeps 271
/// bytes for itself, so data comes in pieces of 35 KiB.
const PACKET_LEN: usize = 36 * 1024;

/// How long an upload may stand still: it keeps others from deploying.
const UPLOAD_STALL_MAX: Duration = Duration::from_secs(30);

/// Exit status of a command whose client went away.
const STATUS_CLOSED: u32 = 255;

/// Serves the client `peer` until it goes.
pub(super) fn serve(stream: TcpStream, peer: &str, identity: &Arc<Identity>, shared: &Shared) {
    let wire = match Wire::new(stream) {
        Ok(wire) => Rc::new(wire),
        Err(error) => return log::warn!("{peer}: {error}"),
    };
    let mut buffer = vec![0; PACKET_LEN];
    let login = Login::new(Rc::clone(&wire), Arc::clone(identity));
    let mut transport = Transport::new(&mut buffer, login);
    let error = loop {
        let mut channel = match block_on(transport.accept()) {
            Ok(channel) => channel,
            Err(error) => break error,
        };
        wire.set_logged_in();
        let request = channel.request();
        let mut terminal = Console {
            channel: &mut channel,
            wire: &wire,
        };
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
}

impl Console<'_, '_, '_> {
    /// Reads one byte of standard input; `None` at its end.
    ///
    /// `zssh` wants to be told how much to read before anything is written again, and a line has no
    /// length beforehand.
    pub(super) fn read_byte(&mut self) -> Result<Option<u8>, Closed> {
        let mut byte = [0];
        let read = block_on(self.channel.read_exact_stdin(&mut byte)).map_err(|_| Closed)?;
        Ok((read == 1).then_some(byte[0]))
    }
}

impl Terminal for Console<'_, '_, '_> {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Closed> {
        let written = match stream {
            Stream::Output => block_on(self.channel.write_all_stdout(bytes)),
            Stream::Error => block_on(self.channel.write_all_stderr(bytes)),
        };
        written.map_err(|_| Closed)
    }

    fn receive(&mut self, sink: &mut dyn FnMut(&[u8]) -> Flow) -> Result<(), Closed> {
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
        self.wire.pause(duration)
    }
}
