//! Services that go on from where they were, or where another is.

use super::{Client, check_service_name, succeed};
use anyhow::{Context as _, Result};
use denali_protocol::{Scaled, Service};

impl Client {
    /// Returns the state of a running service, as its host sealed it.
    ///
    /// # Errors
    ///
    /// There is none of that name, or the host refuses.
    pub fn checkpoint(&self, name: &str) -> Result<Vec<u8>> {
        check_service_name(name)?;
        let mut process = self.session.exec(&format!("checkpoint {name}"))?;
        let file = process.read_bytes()?;
        succeed(&process.finish()?, name)?;
        Ok(file)
    }

    /// Lets a service go on from a checkpoint.
    ///
    /// # Errors
    ///
    /// The host refuses.
    pub fn restore(&self, name: &str, file: &[u8]) -> Result<Service> {
        check_service_name(name)?;
        let mut process = self.session.exec(&format!("restore {name} --json"))?;
        process.send(file)?;
        let answer = process.read_all()?;
        succeed(&process.finish()?, name)?;
        serde_json::from_str(&answer)
            .context("the host's answer to `restore` is of another version of Denali")
    }

    /// Makes services that go on from where one is.
    ///
    /// # Errors
    ///
    /// There is none of that name, or the host refuses.
    pub fn clone_service(&self, name: &str, count: u32) -> Result<Scaled> {
        check_service_name(name)?;
        self.ask_of(name, &format!("clone {name} --count {count} --json"))
    }
}
