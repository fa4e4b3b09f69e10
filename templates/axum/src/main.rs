//! A web service with a JSON API in ordinary Rust: axum on tokio.
//!
//! `cargo run` runs it on this machine, `cargo denali run` in a VM.

mod notes;

use axum::Router;
use denali_std as _;
use std::env;
use std::io::{Error, ErrorKind, Result};
use std::net::Ipv6Addr;
use tokio::net::TcpListener;

/// Where it listens without a variable `PORT`; a VM is given one by the manifest.
const PORT: u16 = 8080;

#[tokio::main]
async fn main() -> Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port()?)).await?;
    println!("listening on port {}", listener.local_addr()?.port());
    axum::serve(listener, app()).await
}

fn port() -> Result<u16> {
    let wrong = |_| Error::new(ErrorKind::InvalidInput, "PORT is no number of a port");
    env::var("PORT").map_or(Ok(PORT), |port| port.parse().map_err(wrong))
}

fn app() -> Router {
    Router::new().nest("/notes", notes::routes())
}
