//! Hickory DNS, a name server, as published: its zones are the files of `include`.

use clap::Parser;
use denali_std as _;
use hickory_dns::DnsServer;

#[tokio::main]
async fn main() -> Result<(), String> {
    DnsServer::parse().run().await
}
