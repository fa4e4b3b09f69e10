//! One client's connection: requests in, one after the other.

use super::{Proxy, answer};
use crate::http::{Framing, HEAD_MAX, Input, Malformed, Request, Stream};
use crate::origin::Connect;
use alloc::string::String;
use alloc::sync::Arc;
use denali_rt::io::{self, ErrorKind};
use denali_rt::time::Instant;

/// Whether another request may come on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Open,
    Close,
}

/// What comes of waiting for a request.
enum Incoming {
    Request(Request),
    Malformed(Malformed),
    /// The head took too long.
    TooSlow,
    /// The client has no more requests.
    Done,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client<'p, C: Connect, S> {
    pub(super) proxy: &'p Arc<Proxy<C>>,
    pub(super) stream: S,
    pub(super) input: Input,
    /// The client's address.
    pub(super) address: String,
}

impl<'p, C, S> Client<'p, C, S>
where
    C: Connect<Stream: Send> + Send + Sync + 'static,
    S: Stream,
{
    pub(crate) fn new(proxy: &'p Arc<Proxy<C>>, stream: S, address: String) -> Self {
        Self {
            proxy,
            stream,
            input: Input::default(),
            address,
        }
    }

    /// Answers requests until either side has had enough.
    ///
    /// # Errors
    ///
    /// What reading or writing returns.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        loop {
            let request = match self.receive()? {
                Incoming::Done => return Ok(()),
                Incoming::TooSlow => return self.refuse(408),
                Incoming::Malformed(malformed) => return self.refuse(status_of(malformed)),
                Incoming::Request(request) => request,
            };
            self.proxy.count(|counters| counters.requests += 1);
            let framing = match request.framing() {
                Ok(framing) => framing,
                Err(malformed) => return self.refuse(status_of(malformed)),
            };
            let keep = self.handle(&request, framing)?;
            self.stream.flush()?;
            if keep == Keep::Close || !request.keeps_alive() {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, request: &Request, framing: Framing) -> io::Result<Keep> {
        let has_body = framing != Framing::Length(0);
        if super::onward::goes_round(request) {
            self.refuse(508)?;
            return Ok(Keep::Close);
        }
        if !has_body && let Some(answered) = self.operate(request)? {
            return Ok(answered);
        }
        match request.method.as_str() {
            "TRACE" | "CONNECT" => {
                self.refuse(405)?;
                Ok(Keep::Close)
            }
            "GET" | "HEAD" if !has_body && !is_conditional_on_state(request) => self.get(request),
            _ => self.pass(request, framing),
        }
    }

    /// Waits for a request.
    fn receive(&mut self) -> io::Result<Incoming> {
        let patience = self.proxy.settings.patience;
        let mut deadline = None;
        loop {
            match Request::parse(self.input.unread()) {
                Ok(Some((request, len))) => {
                    self.input.consume(len);
                    return Ok(Incoming::Request(request));
                }
                Ok(None) if self.input.unread().len() < HEAD_MAX => {}
                Ok(None) => return Ok(Incoming::Malformed(Malformed::TooLarge)),
                Err(malformed) => return Ok(Incoming::Malformed(malformed)),
            }
            // A head that has begun has to end soon, however many bytes it comes in.
            let has_begun = !self.input.unread().is_empty();
            if has_begun && deadline.is_none() {
                deadline = Some(Instant::now() + patience.head);
            }
            let wait = match deadline {
                Some(deadline) => deadline - Instant::now(),
                None => patience.idle,
            };
            if wait.is_zero() {
                return Ok(Incoming::TooSlow);
            }
            self.stream.set_read_timeout(wait)?;
            match self.input.fill(&mut self.stream) {
                Ok(0) => return Ok(Incoming::Done),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut && has_begun => {
                    return Ok(Incoming::TooSlow);
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(Incoming::Done),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says why there is no answer; the connection ends.
    pub(super) fn refuse(&mut self, status: u16) -> io::Result<()> {
        self.proxy.count(|counters| counters.refused += 1);
        answer::refuse(&mut self.stream, status)
    }
}

fn status_of(malformed: Malformed) -> u16 {
    match malformed {
        Malformed::BadRequest => 400,
        Malformed::TooLarge => 431,
        Malformed::NotImplemented => 501,
        Malformed::Version => 505,
    }
}

/// Returns whether the origin has to judge a request's conditions.
fn is_conditional_on_state(request: &Request) -> bool {
    request.fields.has("if-match") || request.fields.has("if-unmodified-since")
}
