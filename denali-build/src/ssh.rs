//! An SSH client for hosts: one user, public keys, pinned host keys.
//!
//! `russh` does the protocol on a single-threaded runtime; the callers block. Every wait ends with
//! an answer, a time-out or Ctrl-C.

use crate::failure::{Failure, Status};
use crate::host::keys::Keys;
use crate::interrupt;
use anyhow::{Context, Result};
use denali_protocol::ADMIN_USER;
use russh::client::{self, AuthResult, Handle, Msg};
use russh::keys::{PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect};
use std::io::Read;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long a host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long keys may take to be exchanged; an emulated host under load needs seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a host may take for a step of a command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a host that is coming up may take to greet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest line of an answer in bytes.
const LINE_MAX: usize = 1 << 20;

/// Where a host is, who logs in, and which host keys are trusted there.
#[derive(Clone, Debug)]
pub struct Access {
    host: String,
    port: u16,
    keys: Keys,
    trusted: Vec<PublicKey>,
}

impl Access {
    /// Puts together how to log in to a host.
    ///
    /// # Errors
    ///
    /// The list of known hosts cannot be read.
    pub fn new(host: String, port: u16, keys: Keys) -> Result<Self> {
        let trusted = keys.trusted_for(&host, port)?;
        Ok(Self {
            host,
            port,
            keys,
            trusted,
        })
    }

    /// Returns `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Returns whether an SSH server greets at the address within a second.
    #[must_use]
    pub fn greets(&self) -> bool {
        let Some(address) = self.resolve().ok().and_then(|found| found.first().copied()) else {
            return false;
        };
        let Ok(mut stream) = TcpStream::connect_timeout(&address, GREETING_TIMEOUT) else {
            return false;
        };
        let mut greeting = [0; 4];
        stream.set_read_timeout(Some(GREETING_TIMEOUT)).is_ok()
            && stream.read_exact(&mut greeting).is_ok()
            && greeting == *b"SSH-"
    }

    fn resolve(&self) -> Result<Vec<SocketAddr>> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found = found.map_err(|error| self.unreachable(&error.to_string()))?;
        Ok(found.collect())
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::new(
            Status::Unreachable,
            format!("no host answers at {}: {why}", self.address()),
        )
        .help("is it up? local hosts: cargo denali host status")
    }

    fn refused_key(&self) -> Failure {
        let path = self.keys.user_public_path();
        Failure::new(
            Status::Unreachable,
            format!("the host at {} does not accept your key", self.address()),
        )
        .help(format!(
            "let its owner add your public key `{}`",
            path.display()
        ))
    }

    fn wrong_host_key(&self, shown: &str) -> Failure {
        Failure::new(
            Status::Unreachable,
            format!(
                "the host at {} shows an unexpected key: {shown}",
                self.address()
            ),
        )
        .help(format!(
            "if this is right, add the line `[{}]:{} {shown}` to {}",
            self.host,
            self.port,
            self.keys.known_hosts_path().display()
        ))
    }
}

/// Checks the host's key and keeps the one shown.
struct Verifier {
    trusted: Vec<PublicKey>,
    shown: Arc<std::sync::Mutex<Option<String>>>,
}

impl client::Handler for Verifier {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        if let Ok(mut last) = self.shown.lock() {
            *last = key.to_openssh().ok();
        }
        Ok(self
            .trusted
            .iter()
            .any(|trusted| trusted.key_data() == key.key_data()))
    }
}

/// A logged-in connection.
pub struct Session {
    runtime: Runtime,
    handle: Handle<Verifier>,
    address: String,
    /// The key the host showed, as OpenSSH prints it.
    host_key: String,
    keys: Keys,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// [`Status::Unreachable`]: nobody answers, the host's key is not the pinned one, or the host
    /// does not accept ours.
    pub fn connect(access: &Access) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the network runtime")?;
        let (handle, host_key) = runtime.block_on(log_in(access))?;
        Ok(Self {
            runtime,
            handle,
            address: access.address(),
            host_key,
            keys: access.keys.clone(),
        })
    }

    /// Signs with your key that a package is to run on this host, which says it is `host`.
    ///
    /// # Errors
    ///
    /// The host says it is another than the one that showed its key here.
    pub fn sign_deployment(
        &self,
        host: &str,
        service: &str,
        release: u32,
        package: &str,
    ) -> Result<Vec<u8>> {
        let words = |line: &str| -> Vec<String> {
            line.split_whitespace().take(2).map(str::to_owned).collect()
        };
        if words(host) != words(&self.host_key) {
            anyhow::bail!(
                "the host at {} says it is another one: {host}",
                self.address
            );
        }
        let message = denali_protocol::signing::message(host, service, release, package);
        self.keys.sign(&message)
    }

    /// Starts a command.
    ///
    /// # Errors
    ///
    /// The host does not take it.
    pub fn exec(&self, command: &str) -> Result<Process<'_>> {
        let open = async {
            let channel = self.handle.channel_open_session().await?;
            channel.exec(true, command).await?;
            Ok::<_, russh::Error>(channel)
        };
        let channel = self
            .wait(open, Patience::Limited)?
            .map_err(|error| self.lost(&error))?;
        Ok(Process {
            session: self,
            channel,
            output: Vec::new(),
            errors: Vec::new(),
            status: None,
            ended: false,
        })
    }

    /// Runs `future` until it is done, the time is up, or Ctrl-C.
    fn wait<T>(&self, future: impl Future<Output = T>, patience: Patience) -> Result<T> {
        self.runtime.block_on(async {
            let limit = async {
                match patience {
                    Patience::Limited => tokio::time::sleep(ANSWER_TIMEOUT).await,
                    Patience::Endless => std::future::pending().await,
                }
            };
            tokio::select! {
                value = future => Ok(value),
                () = interrupt::interrupted() => {
                    interrupt::check()?;
                    Err(self.lost(&"interrupted").into())
                }
                () = limit => Err(self.lost(&"it does not answer any more").into()),
            }
        })
    }

    fn lost(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::new(
            Status::Unreachable,
            format!(
                "the connection to the host at {} is lost: {why}",
                self.address
            ),
        )
        .help("is it up? local hosts: cargo denali host status")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let goodbye = self
            .handle
            .disconnect(Disconnect::ByApplication, "done", "en");
        let goodbye = async {
            // The server notices the end of the connection as well.
            tokio::time::timeout(Duration::from_millis(200), goodbye)
                .await
                .ok();
        };
        self.runtime.block_on(goodbye);
    }
}

async fn log_in(access: &Access) -> Result<(Handle<Verifier>, String)> {
    tokio::select! {
        handle = connect_and_authenticate(access) => handle,
        () = interrupt::interrupted() => {
            interrupt::check()?;
            Err(access.unreachable("interrupted").into())
        }
    }
}

async fn connect_and_authenticate(access: &Access) -> Result<(Handle<Verifier>, String)> {
    let addresses = access.resolve()?;
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::TcpStream::connect(&*addresses))
        .await
        .map_err(|_| access.unreachable("time-out"))?
        .map_err(|error| access.unreachable(&error.to_string()))?;
    stream
        .set_nodelay(true)
        .context("setting up the connection")?;
    let shown: Arc<std::sync::Mutex<Option<String>>> = Arc::default();
    let verifier = Verifier {
        trusted: access.trusted.clone(),
        shown: Arc::clone(&shown),
    };
    let config = Arc::new(client::Config {
        nodelay: true,
        ..client::Config::default()
    });
    let connect = client::connect_stream(config, stream, verifier);
    let connected = tokio::time::timeout(HANDSHAKE_TIMEOUT, connect).await;
    let mut handle = match connected {
        Ok(Ok(handle)) => handle,
        Ok(Err(russh::Error::UnknownKey)) => {
            let shown = shown.lock().ok().and_then(|shown| shown.clone());
            return Err(access.wrong_host_key(&shown.unwrap_or_default()).into());
        }
        Ok(Err(error)) => return Err(access.unreachable(&error.to_string()).into()),
        Err(_) => return Err(access.unreachable("it accepts but does not greet").into()),
    };
    let key = PrivateKeyWithHashAlg::new(Arc::new(access.keys.user.clone()), None);
    let login = handle.authenticate_publickey(ADMIN_USER, key);
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, login).await {
        Ok(Ok(AuthResult::Success)) => {
            let shown = shown.lock().ok().and_then(|shown| shown.clone());
            Ok((handle, shown.unwrap_or_default()))
        }
        // A server may hang up instead of answering.
        Ok(Ok(AuthResult::Failure { .. }) | Err(_)) => Err(access.refused_key().into()),
        Err(_) => Err(access.unreachable("it does not answer any more").into()),
    }
}

/// How long to wait for the next piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For a minute.
    Limited,
    /// Until the end of the connection, or Ctrl-C.
    Endless,
}

/// A command that runs on a host.
pub struct Process<'s> {
    session: &'s Session,
    channel: Channel<Msg>,
    output: Vec<u8>,
    errors: Vec<u8>,
    status: Option<u32>,
    ended: bool,
}

impl std::fmt::Debug for Process<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status.
    pub status: u32,
    /// What it wrote to standard error.
    pub errors: String,
}

impl Process<'_> {
    /// Sends the command's standard input, and its end.
    ///
    /// # Errors
    ///
    /// The connection is lost. A command that ended without reading everything is no error.
    pub fn send(&mut self, input: &[u8]) -> Result<()> {
        let channel = &self.channel;
        let send = async {
            channel.data(input).await?;
            channel.eof().await
        };
        match self.session.wait(send, Patience::Limited)? {
            Ok(()) | Err(russh::Error::SendError) => Ok(()),
            Err(error) => Err(self.session.lost(&error).into()),
        }
    }

    /// Returns the next line of standard output, or `None` at its end.
    ///
    /// # Errors
    ///
    /// The connection is lost, or a line is too long.
    pub fn next_line(&mut self, patience: Patience) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.output.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.output.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.ended || self.output.len() > LINE_MAX {
                let rest = std::mem::take(&mut self.output);
                let rest = String::from_utf8_lossy(&rest).into_owned();
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            self.receive(patience)?;
        }
    }

    /// Returns all of standard output.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub fn read_all(&mut self) -> Result<String> {
        let bytes = self.read_bytes()?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns all of standard output, which may be anything.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub fn read_bytes(&mut self) -> Result<Vec<u8>> {
        while !self.ended {
            self.receive(Patience::Limited)?;
        }
        Ok(std::mem::take(&mut self.output))
    }

    /// Waits for the end of the command.
    ///
    /// # Errors
    ///
    /// The connection is lost before the command's status is known.
    pub fn finish(mut self) -> Result<Exit> {
        while !self.ended {
            self.receive(Patience::Limited)?;
        }
        let status = self
            .status
            .ok_or_else(|| self.session.lost(&"the command was cut off"))?;
        Ok(Exit {
            status,
            errors: String::from_utf8_lossy(&self.errors).trim().to_owned(),
        })
    }

    /// Receives one message of the channel.
    fn receive(&mut self, patience: Patience) -> Result<()> {
        match self.session.wait(self.channel.wait(), patience)? {
            Some(ChannelMsg::Data { data }) => self.output.extend_from_slice(&data),
            Some(ChannelMsg::ExtendedData { data, .. }) => self.errors.extend_from_slice(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
            Some(ChannelMsg::Failure) => {
                return Err(self.session.lost(&"it refuses to run commands").into());
            }
            Some(ChannelMsg::Close) | None => self.ended = true,
            Some(_) => {}
        }
        Ok(())
    }
}
