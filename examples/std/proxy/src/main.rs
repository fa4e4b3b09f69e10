//! A reverse proxy: passes requests on to the server that the variable `UPSTREAM` names, over
//! connections that it keeps, and says in `Via` and `X-Forwarded-For` that it did.

use denali_std as _;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE, VIA};
use hyper::http::uri::{Authority, InvalidUri, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An answer: the upstream's, or one of the proxy's own.
type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// Where requests go.
struct Upstream {
    authority: Authority,
    client: Client<HttpConnector, Incoming>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let authority = env::var("UPSTREAM").map_err(|_| "UPSTREAM names no host")?;
    let upstream = Arc::new(Upstream {
        authority: authority
            .parse()
            .map_err(|error: InvalidUri| error.to_string())?,
        client: Client::builder(TokioExecutor::new()).build_http(),
    });
    let listener = TcpListener::bind(("0.0.0.0", 80)).await?;
    println!("listening on port 80 for {}", upstream.authority);
    loop {
        let (stream, address) = listener.accept().await?;
        let upstream = Arc::clone(&upstream);
        tokio::spawn(async move {
            let service = service_fn(|request| pass(&upstream, request, address.ip()));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("{address}: {error}");
            }
        });
    }
}

/// Passes a request on and returns what the upstream answers.
async fn pass(
    upstream: &Upstream,
    mut request: Request<Incoming>,
    client: IpAddr,
) -> Result<Answer, Infallible> {
    let path = request.uri().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(upstream.authority.clone())
        .path_and_query(path.unwrap_or_else(|| "/".parse().expect("a path")))
        .build();
    let Ok(uri) = uri else {
        return Ok(own(StatusCode::BAD_REQUEST));
    };
    *request.uri_mut() = uri;
    remove_hop_by_hop(request.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&client.to_string()) {
        request.headers_mut().append(FORWARDED_FOR, value);
    }
    match upstream.client.request(request).await {
        Ok(mut answer) => {
            remove_hop_by_hop(answer.headers_mut());
            let via = HeaderValue::from_static("1.1 denali");
            answer.headers_mut().append(VIA, via);
            Ok(answer.map(Either::Left))
        }
        Err(error) => {
            eprintln!("{}: {error}", upstream.authority);
            Ok(own(StatusCode::BAD_GATEWAY))
        }
    }
}

/// Removes what is between two neighbours alone (RFC 9110 §7.6.1).
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named
        .iter()
        .chain(&[CONNECTION, TRANSFER_ENCODING, UPGRADE])
    {
        headers.remove(name);
    }
}

fn own(status: StatusCode) -> Answer {
    let text = format!("{status}\n");
    let mut answer = Response::new(Either::Right(Full::from(text)));
    *answer.status_mut() = status;
    answer
}
