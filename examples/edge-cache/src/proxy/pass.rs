//! What goes to the origin and back without being stored.

use super::answer::{Through, pass_through};
use super::client::{Client, Keep};
use super::fetch::Passing;
use super::get::key;
use super::onward;
use crate::caching::Content;
use crate::http::{Body, Framing, Input, Request, Stream};
use crate::origin::{Connect, Exchange, Outgoing};
use alloc::format;
use denali_rt::io;

impl<C, S> Client<'_, C, S>
where
    C: Connect<Stream: Send> + Send + Sync + 'static,
    S: Stream,
{
    /// Has the origin answer a request.
    pub(super) fn pass(&mut self, request: &Request, framing: Framing) -> io::Result<Keep> {
        self.proxy.count(|counters| counters.passed += 1);
        let head = onward::as_it_is(request, &self.address, framing);
        let outgoing = Outgoing {
            method: &request.method,
            head: &head,
        };
        let mut body = Body::new(framing);
        let exchange = if body.is_done() && request.is_safe() {
            self.proxy.origin.ask(&outgoing)
        } else {
            self.invite_body(request, &body)?;
            let is_chunked = framing == Framing::Chunked;
            let (stream, input) = (&mut self.stream, &mut self.input);
            // What a client does not send is not the origin's failure.
            let mut from_client = Ok(());
            let exchange = self.proxy.origin.ask_with_body(&outgoing, |origin| {
                forward(
                    &mut body,
                    input,
                    stream,
                    origin,
                    is_chunked,
                    &mut from_client,
                )
            });
            from_client?;
            exchange
        };
        let exchange = match exchange {
            Ok(exchange) => exchange,
            Err(failure) => {
                self.proxy.count(|counters| counters.origin_failures += 1);
                self.bad_gateway(request, failure)?;
                // The rest of a body may still be on its way.
                return Ok(if body.is_done() {
                    Keep::Open
                } else {
                    Keep::Close
                });
            }
        };
        if !request.is_safe() && exchange.response.status < 400 {
            // What has changed is no longer what is stored (RFC 9111 §4.4).
            self.proxy.with(|state| state.store.purge(&key(request)));
        }
        let why = if matches!(request.method.as_str(), "GET" | "HEAD") {
            "bypass"
        } else {
            "method"
        };
        let passing = Passing {
            exchange,
            read: Content::default(),
            pending: 0,
        };
        self.pass_on(request, passing, &format!("fwd={why}"))
    }

    /// Answers with a response that comes from the origin meanwhile.
    pub(super) fn pass_on(
        &mut self,
        request: &Request,
        passing: Passing<C::Stream>,
        how: &str,
    ) -> io::Result<Keep> {
        let Passing {
            mut exchange,
            read,
            pending,
        } = passing;
        let Exchange {
            connection,
            response,
            body,
        } = &mut exchange;
        let framing = response
            .framing(&request.method)
            .unwrap_or(Framing::UntilClose);
        let through = Through {
            read: &read,
            pending,
            body,
            framing,
        };
        let how = format!("{how}; fwd-status={}", response.status);
        let when = (&*how, (self.proxy.now)());
        let origin = (&mut connection.stream, &mut connection.input);
        let keep = pass_through(&mut self.stream, request, response, when, origin, through)?;
        self.proxy.origin.keep(exchange);
        Ok(keep)
    }

    /// Has a client send its body that waits to be asked for it (RFC 9110 §10.1.1).
    fn invite_body(&mut self, request: &Request, body: &Body) -> io::Result<()> {
        self.stream
            .set_read_timeout(self.proxy.settings.patience.client)?;
        let waits = request
            .fields
            .list("expect")
            .any(|what| what.eq_ignore_ascii_case("100-continue"));
        if waits && request.is_1_1 && !body.is_done() && self.input.unread().is_empty() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            self.stream.flush()?;
        }
        Ok(())
    }
}

/// Sends a body on, as it comes.
fn forward<S: Stream, O: Stream>(
    body: &mut Body,
    input: &mut Input,
    client: &mut S,
    origin: &mut O,
    is_chunked: bool,
    from_client: &mut io::Result<()>,
) -> io::Result<()> {
    loop {
        let len = match body.next(input, client) {
            Ok(len) => len,
            Err(error) => {
                *from_client = Err(error);
                return Err(error);
            }
        };
        if is_chunked {
            origin.write_all(format!("{len:x}\r\n").as_bytes())?;
        }
        origin.write_all(&input.unread()[..len])?;
        input.consume(len);
        if is_chunked {
            origin.write_all(b"\r\n")?;
        }
        if len == 0 {
            return Ok(());
        }
    }
}
