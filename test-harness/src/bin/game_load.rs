//! Lets 32 players play on each of some game servers, and prints jitter and latency as JSON:
//! `game_load SECONDS ADDRESS:PORT…`.

use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::time::Duration;
use test_harness::game_load;

/// Players on each server: all it takes.
const PLAYERS: u32 = 32;

#[expect(clippy::print_stdout, reason = "a command-line tool talks to its user")]
fn main() -> Result<()> {
    let usage = "usage: game_load SECONDS ADDRESS:PORT…";
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().context(usage)?.parse().context(usage)?;
    let servers = arguments.map(|server| server.parse().context(usage));
    let servers: Vec<SocketAddr> = servers.collect::<Result<_>>()?;
    let report = game_load::run(&servers, PLAYERS, Duration::from_secs(seconds))?;
    println!("{}", report.to_json());
    Ok(())
}
