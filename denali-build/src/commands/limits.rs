//! `cargo denali limits`

use super::ls::HostOption;
use crate::client::Client;
use crate::console;
use anyhow::Result;
use denali_protocol::limits::{parse_cap, parse_rate, parse_weight};

/// Arguments of `limits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the service
    name: String,
    /// Part of a busy CPU in proportion to the weights of others, 1 to 10000 (100 unless set)
    #[arg(long, value_parser = weight)]
    weight: Option<String>,
    /// Most CPU time as a part of one CPU, for example 0.5, or none
    #[arg(long, value_name = "PART", value_parser = cap)]
    cap: Option<String>,
    /// Most packets a second in each direction, for example 10k/s, or none
    #[arg(long, value_name = "RATE", value_parser = rate)]
    packets: Option<String>,
    /// Most bytes a second in each direction, for example 1M/s, or none
    #[arg(long, value_name = "RATE", value_parser = rate)]
    bytes: Option<String>,
    #[command(flatten)]
    host: HostOption,
    /// Print the service as JSON
    #[arg(long)]
    json: bool,
}

/// Shows what a service may take of CPU and network, after changing what the options say.
///
/// # Errors
///
/// There is no such service, or the host cannot be asked.
pub fn exec(args: &Args) -> Result<()> {
    let options = [
        ("--weight", &args.weight),
        ("--cap", &args.cap),
        ("--packets", &args.packets),
        ("--bytes", &args.bytes),
    ];
    let mut words = String::new();
    for (option, value) in options {
        if let Some(value) = value {
            words.push_str(&format!(" {option} {value}"));
        }
    }
    let service = Client::connect(&args.host.target()?)?.limits(&args.name, &words)?;
    if args.json {
        console::json(&service)
    } else {
        console::line(&format!("{}: {}", service.name, service.limits))
    }
}

fn weight(text: &str) -> Result<String, String> {
    checked(
        text,
        parse_weight(text).is_some(),
        "a number from 1 to 10000",
    )
}

fn cap(text: &str) -> Result<String, String> {
    let known = text == "none" || parse_cap(text).is_some();
    checked(text, known, "a part of a CPU such as 0.5, or none")
}

fn rate(text: &str) -> Result<String, String> {
    let known = text == "none" || parse_rate(text).is_some();
    checked(text, known, "a rate such as 10k/s, or none")
}

fn checked(text: &str, known: bool, what: &str) -> Result<String, String> {
    if known {
        Ok(text.to_owned())
    } else {
        Err(format!("not {what}"))
    }
}
