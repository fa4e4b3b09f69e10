//! `cargo denali releases`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use anyhow::Result;
use denali_protocol::releases::{Outcome, Release};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Arguments of `releases`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Lists what was deployed as a service, newest first.
///
/// # Errors
///
/// There is no such service, the host keeps nothing, or it cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let releases = Client::connect(&args.host.target()?)?.releases(&args.name)?;
    if args.json {
        return console::json(&releases);
    }
    for release in &releases {
        console::line(&describe(release, SystemTime::now()))?;
    }
    Ok(())
}

fn describe(release: &Release, now: SystemTime) -> String {
    let outcome = match &release.outcome {
        Outcome::Begun => "not finished".to_owned(),
        Outcome::Current => "current".to_owned(),
        Outcome::Replaced => "replaced".to_owned(),
        Outcome::Failed(why) => format!("failed: {why}"),
    };
    let of = release.of.map(|of| format!(" of {of}"));
    let at = UNIX_EPOCH + Duration::from_secs(release.at);
    let ago = now.duration_since(at).unwrap_or_default();
    format!(
        "{:>4} {:<6} {:<10} {:>10} ago  {}  {outcome}",
        release.number,
        of.unwrap_or_default(),
        release.version,
        console::seconds(ago),
        release.by,
    )
}
