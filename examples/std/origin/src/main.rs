//! A web server that speaks HTTPS alone, with rustls: its certificate is the file `/cert.pem`, its key
//! `/key.pem`. Each path is answered with a greeting.

use denali_std as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let acceptor = TlsAcceptor::from(Arc::new(tls()?));
    let listener = TcpListener::bind(("0.0.0.0", 443)).await?;
    println!("listening on port 443");
    loop {
        let (stream, address) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &acceptor).await {
                eprintln!("{address}: {error}");
            }
        });
    }
}

fn tls() -> Result<ServerConfig, Box<dyn Error>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter("/cert.pem")?.collect();
    let key = PrivateKeyDer::from_pem_file("/key.pem")?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)?;
    Ok(config)
}

async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = acceptor.accept(stream).await?;
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(greet))
        .await?;
    Ok(())
}

async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("hello from {}\n", request.uri().path());
    Ok(Response::new(Full::from(text)))
}
