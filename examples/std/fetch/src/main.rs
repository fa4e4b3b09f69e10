//! Fetches pages over HTTPS: each line is a URL, answered with the status, the length of the body in
//! bytes, and the body. The certificates it trusts lie in the file `/ca.pem`; the variable `HOSTS` says
//! where hosts are (`name=address`), as the file `/etc/hosts` does elsewhere.

use denali_std as _;
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::env;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const PORT: u16 = 7013;

/// Longest line, in bytes.
const LINE_MAX: u64 = 4096;

/// Longest time for a page.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = client()?;
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    println!("listening on port {PORT}");
    loop {
        let (stream, address) = listener.accept().await?;
        let client = client.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &client).await {
                eprintln!("{address}: {error}");
            }
        });
    }
}

fn client() -> Result<Client, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter("/ca.pem")? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = Client::builder()
        .use_preconfigured_tls(tls)
        .timeout(PATIENCE);
    for entry in env::var("HOSTS").unwrap_or_default().split_whitespace() {
        let (name, address) = entry.split_once('=').ok_or("HOSTS wants name=address")?;
        let address: IpAddr = address.parse()?;
        // The port is the URL's.
        client = client.resolve(name, SocketAddr::new(address, 0));
    }
    Ok(client.build()?)
}

async fn serve(stream: TcpStream, client: &Client) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while (&mut stream).take(LINE_MAX).read_line(&mut line).await? > 0 {
        match fetch(client, line.trim()).await {
            Ok((status, body)) => {
                let head = format!("{status} {}\n", body.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&body).await?;
            }
            Err(error) => {
                let text = format!("error: {}\n", chain(&error));
                stream.write_all(text.as_bytes()).await?;
            }
        }
        line.clear();
    }
    Ok(())
}

async fn fetch(client: &Client, url: &str) -> reqwest::Result<(u16, Vec<u8>)> {
    let response = client.get(url).send().await?;
    let status = response.status().as_u16();
    Ok((status, response.bytes().await?.into()))
}

/// Returns an error with all its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
