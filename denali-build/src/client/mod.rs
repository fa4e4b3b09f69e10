//! What a host's supervisor can do, as functions.

mod checkpoints;

use crate::failure::{Failure, Status};
use crate::host::Target;
use crate::image::hexadecimal;
use crate::ssh::{Access, Exit, Patience, Session};
use anyhow::{Context, Result, bail};
use denali_protocol::releases::{Release, Secrets};
use denali_protocol::{DeployStep, Fit, Host, Refusal, Service, SortKey, status};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// What `logs` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// What is there.
    Present,
    /// What is there, and what comes, until Ctrl-C.
    Follow,
}

/// Services asked for at a time.
const PAGE_SERVICES: usize = 500;

/// How a package is deployed, besides as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeployRequest {
    /// So many services of it; `None` makes the one.
    pub copies: Option<u32>,
    /// They begin with the first packet for them.
    pub dormant: bool,
}

/// Which services to list.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// At most so many.
    pub limit: Option<usize>,
    /// Those in this state.
    pub state: Option<String>,
    /// Those whose names begin so.
    pub prefix: Option<String>,
    /// Those that publish ports.
    pub published: bool,
    /// The first by this, and not by name; the host keeps a bounded number of them.
    pub sort: Option<SortKey>,
}

impl Selection {
    /// Selects those that publish ports.
    #[must_use]
    pub fn published() -> Self {
        Self {
            published: true,
            ..Self::default()
        }
    }

    fn command(&self, after: Option<&str>, count: usize) -> String {
        let mut command = format!("ls --json --limit {count}");
        let mut option = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                command.push_str(&format!(" {name} {value}"));
            }
        };
        option("--after", after);
        option("--state", self.state.as_deref());
        option("--prefix", self.prefix.as_deref());
        option("--sort", self.sort.map(SortKey::name));
        if self.published {
            command.push_str(" --published");
        }
        command
    }
}

/// A connection to the supervisor of a host.
#[derive(Debug)]
pub struct Client {
    session: Session,
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// As [`Session::connect`].
    pub fn connect(target: &Target) -> Result<Self> {
        Self::log_in(target.access())
    }

    /// Connects and logs in where no [`Target`] is known.
    ///
    /// # Errors
    ///
    /// As [`Session::connect`].
    pub fn log_in(access: &Access) -> Result<Self> {
        Ok(Self {
            session: Session::connect(access)?,
        })
    }

    /// Returns the state of the host.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should.
    pub fn host(&self) -> Result<Host> {
        self.ask("host --json")
    }

    /// Returns all services in order of name.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should.
    pub fn services(&self) -> Result<Vec<Service>> {
        self.list(&Selection::default())
    }

    /// Returns the selected services in order of name.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should.
    pub fn list(&self, selection: &Selection) -> Result<Vec<Service>> {
        let mut all = Vec::new();
        self.pages(selection, |services| {
            all.extend_from_slice(services);
            Ok(())
        })?;
        Ok(all)
    }

    /// Passes the selected services to `show`, a bounded number at a time, in order of name or as
    /// the selection says.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should, or `show` fails.
    pub fn pages(
        &self,
        selection: &Selection,
        mut show: impl FnMut(&[Service]) -> Result<()>,
    ) -> Result<()> {
        let mut left = selection.limit.unwrap_or(usize::MAX);
        let mut after: Option<String> = None;
        loop {
            let count = left.min(PAGE_SERVICES);
            let mut services: Vec<Service> =
                self.ask(&selection.command(after.as_deref(), count))?;
            if selection.sort.is_none() {
                services.sort_by(|one, other| one.name.cmp(&other.name));
            }
            show(&services)?;
            left -= services.len().min(left);
            let is_short = services.len() < count;
            let last = services.into_iter().next_back().map(|last| last.name);
            if is_short || left == 0 || selection.sort.is_some() {
                return Ok(());
            }
            if last <= after {
                bail!("the host's pages of services do not go on: it lists the same ones again");
            }
            after = last;
        }
    }

    /// Returns the service `name`, if there is one.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should.
    pub fn find(&self, name: &str) -> Result<Option<Service>> {
        check_service_name(name)?;
        let found: Vec<Service> = self.ask(&format!("ls --json --name {name}"))?;
        Ok(found.into_iter().next())
    }

    /// Returns the service `name`.
    ///
    /// # Errors
    ///
    /// There is none, or the host does not answer as it should.
    pub fn service(&self, name: &str) -> Result<Service> {
        self.find(name)?.ok_or_else(|| unknown_service(name).into())
    }

    /// Returns how many more VMs of an image fit.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should.
    pub fn fit(&self, memory: u64, image: u64) -> Result<Fit> {
        self.ask(&format!("fit --json --memory {memory} --image {image}"))
    }

    /// Stops a service: asks it to end by itself, and ends it when the deadline has passed.
    ///
    /// # Errors
    ///
    /// There is none of that name, or the host refuses.
    pub fn stop(&self, name: &str, deadline: Duration) -> Result<()> {
        check_service_name(name)?;
        let seconds = deadline.as_secs();
        let command = format!("stop {name} --deadline {seconds}");
        let mut process = self.session.exec(&command)?;
        while process.next_line(Patience::Endless)?.is_some() {}
        Ok(succeed(&process.finish()?, name)?)
    }

    /// Starts a service that was stopped or ended.
    ///
    /// # Errors
    ///
    /// There is none of that name, or the host refuses.
    pub fn start(&self, name: &str) -> Result<()> {
        self.order("start", name)
    }

    /// Stops a service and removes it.
    ///
    /// # Errors
    ///
    /// There is none of that name, or the host refuses.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.order("rm", name)
    }

    /// Passes the lines of a service's log to `show`.
    ///
    /// # Errors
    ///
    /// There is no such service, the connection is lost, or `show` fails.
    pub fn logs(
        &self,
        name: &str,
        logs: Logs,
        mut show: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        check_service_name(name)?;
        let (command, patience) = match logs {
            Logs::Present => (format!("logs {name}"), Patience::Limited),
            Logs::Follow => (format!("logs {name} -f"), Patience::Endless),
        };
        let mut process = self.session.exec(&command)?;
        while let Some(line) = process.next_line(patience)? {
            show(&line)?;
        }
        Ok(succeed(&process.finish()?, name)?)
    }

    /// Runs a package as the service `name`, in place of the service of that name if there is one;
    /// `report` learns of each step before the last.
    ///
    /// # Errors
    ///
    /// The host refuses ([`Status::Refused`]) and has changed nothing, or the connection is lost.
    pub fn deploy(
        &self,
        name: &str,
        package: &[u8],
        request: DeployRequest,
        mut report: impl FnMut(&DeployStep),
    ) -> Result<Service> {
        check_service_name(name)?;
        let digest = hexadecimal(&Sha256::digest(package));
        let mut command = format!(
            "deploy {name} --json --signed --sha256 {digest} --length {}",
            package.len()
        );
        if let Some(copies) = request.copies {
            command.push_str(&format!(" --copies {copies}"));
        }
        if request.dormant {
            command.push_str(" --dormant");
        }
        let patience = || match request.copies {
            None => Patience::Limited,
            Some(_) => Patience::Endless,
        };
        let mut process = self.session.exec(&command)?;
        while let Some(line) = process.next_line(patience())? {
            let step: DeployStep = serde_json::from_str(&line)
                .with_context(|| format!("the host's answer `{line}` is no step of a deploy"))?;
            match step {
                DeployStep::Done { service, .. } => return Ok(service),
                DeployStep::Refused { kind, message } => return Err(refused(kind, message).into()),
                DeployStep::Ready { ref host, release } => {
                    let signature = self.session.sign_deployment(host, name, release, &digest)?;
                    process.send(&[package, &signature[..]].concat())?;
                }
                DeployStep::Verified { .. }
                | DeployStep::Copied { .. }
                | DeployStep::Admitted { .. } => {}
            }
            report(&step);
        }
        let exit = process.finish()?;
        succeed(&exit, "")?;
        anyhow::bail!("the host did not say how the deploy went")
    }

    /// Shows what a service may take, after changing it by `options` of the host's command.
    ///
    /// # Errors
    ///
    /// There is none of that name, or the host refuses.
    pub fn limits(&self, name: &str, options: &str) -> Result<Service> {
        check_service_name(name)?;
        let mut process = self
            .session
            .exec(&format!("limits {name} --json{options}"))?;
        let answer = process.read_all()?;
        succeed(&process.finish()?, name)?;
        serde_json::from_str(&answer)
            .context("the host's answer to `limits` is of another version of Denali")
    }

    /// Returns the releases of a service, newest first.
    ///
    /// # Errors
    ///
    /// There is none of that name, or the host keeps none.
    pub fn releases(&self, name: &str) -> Result<Vec<Release>> {
        check_service_name(name)?;
        self.ask_of(name, &format!("releases {name} --json"))
    }

    /// Runs an earlier release again: the one named, or the one before the current.
    ///
    /// # Errors
    ///
    /// There is none, or the host refuses.
    pub fn rollback(&self, name: &str, number: Option<u32>) -> Result<Service> {
        check_service_name(name)?;
        let to = number.map(|number| format!(" --to {number}"));
        let to = to.unwrap_or_default();
        self.ask_of(name, &format!("rollback {name} --json{to}"))
    }

    /// Keeps a secret of a service.
    ///
    /// # Errors
    ///
    /// The host keeps nothing, or refuses.
    pub fn set_secret(&self, name: &str, key: &str, value: &[u8]) -> Result<()> {
        check_service_name(name)?;
        check_key(key)?;
        let command = format!("secret set {name} --key {key}");
        let mut process = self.session.exec(&command)?;
        process.send(value)?;
        process.read_all()?;
        Ok(succeed(&process.finish()?, name)?)
    }

    /// Forgets a secret of a service.
    ///
    /// # Errors
    ///
    /// There is none, or the host refuses.
    pub fn remove_secret(&self, name: &str, key: &str) -> Result<()> {
        check_service_name(name)?;
        check_key(key)?;
        let command = format!("secret rm {name} --key {key}");
        self.output_of(name, &command).map(drop)
    }

    /// Returns the keys of a service's secrets.
    ///
    /// # Errors
    ///
    /// The host keeps nothing.
    pub fn secrets(&self, name: &str) -> Result<Secrets> {
        check_service_name(name)?;
        self.ask_of(name, &format!("secret ls {name} --json"))
    }

    fn ask_of<T: DeserializeOwned>(&self, name: &str, command: &str) -> Result<T> {
        let answer = self.output_of(name, command)?;
        serde_json::from_str(&answer).with_context(|| {
            format!("the host's answer to `{command}` is of another version of Denali")
        })
    }

    fn order(&self, verb: &str, name: &str) -> Result<()> {
        check_service_name(name)?;
        self.output_of(name, &format!("{verb} {name}")).map(drop)
    }

    /// Runs a command about the service `name` to its end and returns what it said.
    fn output_of(&self, name: &str, command: &str) -> Result<String> {
        let mut process = self.session.exec(command)?;
        let answer = process.read_all()?;
        succeed(&process.finish()?, name)?;
        Ok(answer)
    }

    /// Returns what the host says of itself, for people.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should.
    pub fn host_text(&self) -> Result<String> {
        self.output_of("", "host")
    }

    /// Returns what the host's kernel said while booting.
    ///
    /// # Errors
    ///
    /// The host does not answer as it should.
    pub fn boot_report(&self) -> Result<String> {
        self.output_of("", "host --boot")
    }

    fn ask<T: DeserializeOwned>(&self, command: &str) -> Result<T> {
        self.ask_of("", command)
    }
}

fn refused(kind: Refusal, message: String) -> Failure {
    match kind {
        Refusal::Admission => Failure::new(Status::Refused, message)
            .help("see who holds the memory: cargo denali ls; or ask for less in Cargo.toml"),
        Refusal::Conflict => Failure::new(Status::Refused, message)
            .help("change [package.metadata.denali] in Cargo.toml, or: cargo denali rm NAME"),
        Refusal::Unhealthy => {
            Failure::new(Status::Crashed, message).help("mend it and deploy again")
        }
        Refusal::Package => Failure::new(Status::Failed, message).help("deploy again"),
        Refusal::Usage => Failure::new(Status::Failed, message)
            .help("host and cargo denali are of different versions: start the host anew"),
    }
}

fn unknown_service(name: &str) -> Failure {
    Failure::new(Status::Failed, format!("the host has no service `{name}`"))
        .help("list them: cargo denali ls")
}

fn succeed(exit: &Exit, name: &str) -> Result<(), Failure> {
    let message = || match exit.errors.strip_prefix("error: ").unwrap_or(&exit.errors) {
        "" => format!("the host answers with status {}", exit.status),
        text => text.to_owned(),
    };
    match exit.status {
        status::OK => Ok(()),
        status::NOT_FOUND => Err(unknown_service(name)),
        status::REFUSED => Err(Failure::new(Status::Refused, message())),
        status::UNHEALTHY => Err(refused(Refusal::Unhealthy, message())),
        status::USAGE => Err(refused(Refusal::Usage, message())),
        _ => Err(Failure::new(Status::Failed, message())),
    }
}

/// Refuses names the supervisor's command line could not tell from something else.
fn check_service_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        return Ok(());
    }
    Err(Failure::new(
        Status::Usage,
        format!("`{name}` is not the name of a service"),
    )
    .help("list them: cargo denali ls"))
}

/// Refuses keys the supervisor's command line could not tell from something else.
fn check_key(key: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !key.is_empty() && key.chars().all(plain) {
        return Ok(());
    }
    let what = format!("`{key}` is not the key of a secret: letters, digits and `_`");
    Err(Failure::new(Status::Usage, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisors_status_decides_ours() {
        let exit = |status| Exit {
            status,
            errors: "error: because".to_owned(),
        };
        let ours = |status| succeed(&exit(status), "web").unwrap_err().status();
        assert!(succeed(&exit(status::OK), "web").is_ok());
        assert_eq!(ours(status::FAILED), Status::Failed);
        assert_eq!(ours(status::NOT_FOUND), Status::Failed);
        assert_eq!(ours(status::REFUSED), Status::Refused);
        assert_eq!(
            succeed(&exit(status::REFUSED), "").unwrap_err().to_string(),
            "because"
        );
    }

    #[test]
    fn names_cannot_carry_commands() {
        for name in ["", "-f", "a b", "a;b", "a\nb"] {
            assert!(check_service_name(name).is_err(), "{name}");
        }
        assert!(check_service_name("web-server_2").is_ok());
    }
}
