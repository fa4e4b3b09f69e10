//! An SSH server that plays a host: it follows a script instead of running VMs.

use russh::keys::PrivateKey;
use russh::server::{self, Auth, ChannelOpenHandle, Config, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// How the server treats clients.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Whether it accepts the client's key.
    pub(crate) accepts_key: bool,
    /// What it answers to commands that start with a text; the first one counts.
    pub(crate) answers: Vec<(&'static str, Answer)>,
}

/// An answer to a command.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: &'static str,
    /// Exit status; without one the connection is cut.
    pub(crate) status: Option<u32>,
}

/// Starts the server with that host key, and returns its port. It ends with the test's process.
pub(crate) fn start(host_key: PrivateKey, script: Script) -> u16 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime
        .block_on(TcpListener::bind(("127.0.0.1", 0)))
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(Config {
        keys: vec![host_key],
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    });
    thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                let handler = Handler {
                    script: script.clone(),
                };
                if let Ok(session) = server::run_stream(Arc::clone(&config), stream, handler).await
                {
                    tokio::spawn(session);
                }
            }
        });
    });
    port
}

struct Handler {
    script: Script,
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        assert_eq!(user, "admin");
        Ok(if self.script.accepts_key {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let command = String::from_utf8_lossy(command);
        let answers = &self.script.answers;
        let answer = answers.iter().find(|(start, _)| command.starts_with(start));
        let Some((_, answer)) = answer else {
            panic!("the script has no answer to `{command}`");
        };
        session.data(channel, answer.output.clone().into_bytes())?;
        session.extended_data(channel, 1, answer.errors.as_bytes().to_vec())?;
        let Some(status) = answer.status else {
            return Err(russh::Error::Disconnect);
        };
        session.exit_status_request(channel, status)?;
        session.eof(channel)?;
        session.close(channel)
    }
}
