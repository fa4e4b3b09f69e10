//! mini-redis, the tokio project's server with Redis's protocol, as published.

use denali_std as _;
use mini_redis::{DEFAULT_PORT, Result, server};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", DEFAULT_PORT.parse()?)).await?;
    println!("listening on port {DEFAULT_PORT}");
    // A VM is stopped from outside.
    server::run(listener, std::future::pending::<()>()).await
}
