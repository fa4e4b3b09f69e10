//! `cargo denali new`

use crate::failure::{Failure, Status};
use crate::{console, template};
use anyhow::{Context, Result};

/// Arguments of `new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the project, and so of the service
    name: Option<String>,
    /// Template to start from
    #[arg(short, long, default_value = template::DEFAULT)]
    template: String,
    /// List the templates
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

/// Makes a project, or lists the templates.
///
/// # Errors
///
/// As [`template::instantiate`].
pub fn exec(args: &Args) -> Result<()> {
    if args.list {
        for (name, description) in template::list()? {
            console::line(&format!("{name:<12} {description}"))?;
        }
        return Ok(());
    }
    let Some(name) = &args.name else {
        return Err(Failure::new(Status::Usage, "the project needs a name")
            .help("for example: cargo denali new hello --template web-server")
            .into());
    };
    let here = std::env::current_dir().context("finding the current folder")?;
    template::instantiate(name, &args.template, &here)?;
    console::status(
        "Created",
        &format!("service `{name}` from template `{}`", args.template),
    );
    console::note(&format!("        next: cd {name} && cargo denali build"));
    Ok(())
}
