//! `cargo denali secret`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use anyhow::{Context, Result};
use clap::Subcommand;
use std::io::Read as _;

/// Arguments of `secret`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep a secret, read from standard input; the next release finds it in its environment
    Set(Key),
    /// List the keys of a service's secrets
    Ls(Ls),
    /// Forget a secret
    Rm(Key),
}

#[derive(Debug, clap::Args)]
struct Key {
    /// Name of the service
    name: String,
    /// Key in its environment
    key: String,
    #[command(flatten)]
    host: HostOption,
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Name of the service
    name: String,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostOption,
}

/// Does what the command line says.
///
/// # Errors
///
/// The host keeps nothing, or cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    match &args.verb {
        Verb::Set(Key { name, key, host }) => {
            let mut value = Vec::new();
            std::io::stdin()
                .read_to_end(&mut value)
                .context("reading the secret")?;
            Client::connect(&host.target()?)?.set_secret(name, key, &value)?;
            console::status("Kept", &format!("{key} of {name}, for its next release"));
        }
        Verb::Rm(Key { name, key, host }) => {
            Client::connect(&host.target()?)?.remove_secret(name, key)?;
            console::status("Forgotten", &format!("{key} of {name}"));
        }
        Verb::Ls(Ls { name, json, host }) => {
            let secrets = Client::connect(&host.target()?)?.secrets(name)?;
            if *json {
                return console::json(&secrets);
            }
            for key in &secrets.keys {
                console::line(key)?;
            }
        }
    }
    Ok(())
}
