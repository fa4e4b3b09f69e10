//! Attacks on a running host, and what must hold after each.
//!
//! One host, one victim that is asked all the time, and the attacks of `denali_attacks`, each a VM
//! from the same image. What does not hold is returned as text, not panicked about: the suite shows
//! all of it, and `sabotage` counts on it.
//!
//! | module       | what it is for                                                     |
//! |--------------|--------------------------------------------------------------------|
//! | `watch`      | asks the victim until told to stop                                  |
//! | `batch`      | which attacks run side by side                                      |
//! | `packages`   | packages that no host may take                                      |
//! | `processor`  | what the running processor says: open ports, the kernel's text      |
//! | [`record`]   | what happened, as one JSON file                                     |
//! | [`virtual_time`] | what the victim's client waits for, counted in instructions      |

mod batch;
mod packages;
mod processor;
pub mod record;
pub mod virtual_time;
mod watch;

use crate::cli::{repository, target_dir};
use crate::home::Home;
use crate::host::{Host, Status, free_port};
use crate::wait;
use anyhow::{Context as _, Result};
use batch::{batches, is_hog};
use denali_attacks::{Attack, End, THEMES, VICTIM};
use denali_build::cargo::BuildRequest;
use denali_build::client::{Client, DeployRequest, Logs};
use denali_build::host::keys::Keys;
use denali_build::image::Image;
use denali_build::manifest::Settings;
use denali_build::package;
use denali_build::qmp::Monitor;
use denali_build::ssh::Access;
use denali_protocol::{Manifest, Service, ServiceState};
use record::{Entry, Record};
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use watch::Watch;

/// Memory of every attacker and of the victim.
const MEMORY: u64 = 2 << 20;

/// Longest run of an attack that ends: emulated, and with a batch of others.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers the victim must give while hogs run.
const ANSWERS_BESIDE_HOGS: u64 = 4;

/// Bytes that the victim may come to use, or give back, between two questions about memory.
const VICTIM_CHANGE_MAX: u64 = 64 << 10;

/// A host under attack.
#[derive(Debug)]
pub struct Arena {
    host: Host,
    client: Client,
    watch: Watch,
    before: denali_protocol::Host,
    /// Bytes then in use by neither supervisor nor victim.
    others_before: u64,
    record: Mutex<Record>,
}

impl Arena {
    /// Boots a host for `home`, with a victim on it.
    ///
    /// # Panics
    ///
    /// If host or victim do not come up.
    #[must_use]
    pub fn boot(home: Home) -> Self {
        // Built before anybody waits for it.
        let _image = image();
        let host = Host::up_as(home, &["--memory", "256M"]);
        let status = host.status();
        let client = log_in(&host, &status).expect("the supervisor takes our key");
        let watch = start_victim(&client, &status).expect("the victim comes up");
        let before = client.host().expect("the supervisor answers");
        let others_before = in_use_by_others(&client).expect("the supervisor answers");
        Self {
            host,
            client,
            watch,
            before,
            others_before,
            record: Mutex::default(),
        }
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Runs all attacks of a theme, or those of them that are named, and returns what went wrong.
    ///
    /// # Errors
    ///
    /// The host does not do as it is told.
    pub fn run(&self, theme: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let attacks = THEMES.iter().find(|(name, _)| *name == theme);
        let attacks = attacks
            .with_context(|| format!("there is no theme `{theme}`"))?
            .1;
        let chosen = attacks.iter().filter(|attack| wanted(attack.name));
        let mut wrong = Vec::new();
        for batch in batches(chosen) {
            let found = if batch.iter().any(|attack| is_hog(attack)) {
                self.run_hogs(theme, &batch)
            } else {
                self.run_batch(theme, &batch)
            };
            wrong.extend(found?);
            wrong.extend(self.inspect_processor()?);
        }
        Ok(wrong)
    }

    /// Runs attacks side by side to their ends.
    fn run_batch(&self, theme: &str, attacks: &[&Attack]) -> Result<Vec<String>> {
        for attack in attacks {
            self.deploy(attack.name)?;
        }
        let mut services = Vec::new();
        wait::within(TIMEOUT, || {
            services = self.client.services().unwrap_or_default();
            let runs = |service: &&Service| service.name != VICTIM && !has_ended(service);
            services.iter().find(runs).is_none().then_some(())
        });
        let mut wrong = Vec::new();
        for attack in attacks {
            let service = services.iter().find(|service| service.name == attack.name);
            let service = service.with_context(|| format!("`{}` is gone", attack.name))?;
            let verdict = judge(attack, service);
            wrong.extend(self.keep(theme, attack, service, verdict)?);
            self.client.remove(attack.name)?;
        }
        wrong.extend(self.victim());
        wrong.extend(self.audit());
        Ok(wrong)
    }

    /// Runs attacks that never end, until the victim has answered a few times beside them.
    fn run_hogs(&self, theme: &str, attacks: &[&Attack]) -> Result<Vec<String>> {
        for attack in attacks {
            self.deploy(attack.name)?;
        }
        let answers = self.watch.answers();
        let answered = wait::within(TIMEOUT, || {
            (self.watch.answers() >= answers + ANSWERS_BESIDE_HOGS).then_some(())
        });
        let mut wrong = Vec::new();
        if answered.is_none() {
            wrong.push(format!("the victim starves beside {attacks:?}"));
        }
        for attack in attacks {
            let service = self.client.service(attack.name)?;
            let verdict = judge(attack, &service);
            wrong.extend(self.keep(theme, attack, &service, verdict)?);
            self.client.remove(attack.name)?;
        }
        wrong.extend(self.victim());
        wrong.extend(self.audit());
        Ok(wrong)
    }

    /// Starts one crashing service again and again; returns what went wrong.
    ///
    /// # Errors
    ///
    /// The host does not do as it is told.
    pub fn run_fault_storm(&self, name: &str, times: usize) -> Result<Vec<String>> {
        let attack = denali_attacks::find(name).with_context(|| format!("no attack `{name}`"))?;
        self.deploy(name)?;
        let mut wrong = Vec::new();
        for _ in 0..times {
            let mut last = None;
            wait::within(TIMEOUT, || {
                last = self.client.service(name).ok().filter(has_ended);
                last.as_ref().map(|_| ())
            });
            let verdict = last.map(|service| judge(attack, &service));
            wrong.extend(verdict.unwrap_or_else(|| Some(format!("`{name}` does not end"))));
            self.client.start(name)?;
        }
        self.client.remove(name)?;
        wrong.extend(self.victim());
        Ok(wrong)
    }

    /// Deploys packages that no host may take, and returns those it took.
    ///
    /// # Errors
    ///
    /// The host cannot be asked what it has.
    pub fn run_packages(&self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (name, package) in packages::malformed(image(), &manifest("package")) {
            let answer = self
                .client
                .deploy("package", &package, DeployRequest::default(), |_| {});
            let refusal = match answer {
                Ok(_) => {
                    wrong.push(format!("the package `{name}` was taken"));
                    self.client.remove("package")?;
                    String::from("taken")
                }
                Err(error) => error.to_string(),
            };
            self.note(|record| record.packages.push((name.to_owned(), refusal)));
            if self.client.services()?.len() != 1 {
                wrong.push(format!("the package `{name}` left something behind"));
            }
        }
        wrong.extend(self.victim());
        Ok(wrong)
    }

    /// Returns what is wrong with the processor's own account of the machine.
    ///
    /// # Errors
    ///
    /// QEMU does not answer.
    pub fn inspect_processor(&self) -> Result<Vec<String>> {
        let status = self.host.status();
        let mut monitor = Monitor::connect(&monitor_of(&status))?;
        let mut wrong = processor::open_ports(&mut monitor)?;
        wrong.extend(processor::missing_protections(&mut monitor)?);
        let scratch = self.host.home().path().join("text");
        wrong.extend(processor::changed_text(
            &mut monitor,
            &kernel_of(&status)?,
            &scratch,
        )?);
        Ok(wrong)
    }

    /// Measures what a client of the victim waits for beside each batch of attacks, in virtual time,
    /// on a host of its own with the same kernel; returns where that is too long.
    ///
    /// # Errors
    ///
    /// The victim answers wrong or not at all.
    pub fn measure_latency(&self) -> Result<Vec<String>> {
        let kernel = kernel_of(&self.host.status())?;
        let scenes = virtual_time::every_batch();
        let figures =
            virtual_time::measure(&kernel, "", virtual_time::ANSWERS_BESIDE_A_BATCH, &scenes)?;
        let wrong = figures.too_slow();
        self.note(|record| record.latency = figures.latencies);
        Ok(wrong)
    }

    /// Returns what is not as it was before the first attack.
    ///
    /// # Errors
    ///
    /// The host cannot be asked.
    pub fn compare(&self) -> Result<Vec<String>> {
        let mut wrong = self.victim();
        let left: Vec<_> = self
            .client
            .services()?
            .into_iter()
            .map(|it| it.name)
            .collect();
        if left != [VICTIM] {
            wrong.push(format!("services are left: {left:?}"));
        }
        let after = self.client.host()?;
        let before = &self.before;
        if after.memory_available != before.memory_available || after.vms != before.vms {
            wrong.push(format!(
                "promises leaked: {before:?} before, {after:?} after"
            ));
        }
        let (others, others_before) = (in_use_by_others(&self.client)?, self.others_before);
        if others > others_before + VICTIM_CHANGE_MAX {
            wrong.push(format!(
                "frames leaked: {others} bytes are nobody's, before {others_before}"
            ));
        }
        let log = std::fs::read(self.host.status().serial_log).context("the kernel's log")?;
        let log = String::from_utf8_lossy(&log);
        wrong.extend(
            log.lines()
                .filter(|line| line.contains("panic"))
                .map(str::to_owned),
        );
        self.note(|record| {
            record.victim = self.watch.report();
            record.memory_free = [before.memory_free, after.memory_free];
            record.memory_available = [before.memory_available, after.memory_available];
        });
        Ok(wrong)
    }

    /// Writes the containment record, and returns where.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write_record(&self) -> Result<std::path::PathBuf> {
        let path = target_dir().join("harness/containment.json");
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(&path)?;
        Ok(path)
    }

    fn deploy(&self, name: &str) -> Result<Service> {
        deploy(&self.client, name)
    }

    /// Has the running kernel audit itself, and returns what it finds.
    fn audit(&self) -> Vec<String> {
        let verdict = self.host.audit();
        self.note(|record| record.audits += 1);
        let is_fine = verdict.contains("every invariant holds");
        if is_fine { Vec::new() } else { vec![verdict] }
    }

    /// Waits for another answer of the victim, and returns what was wrong with its answers so far.
    fn victim(&self) -> Vec<String> {
        let answers = self.watch.answers();
        let answered = wait::within(TIMEOUT, || (self.watch.answers() > answers).then_some(()));
        let mut wrong = self.watch.take_wrong();
        if answered.is_none() {
            wrong.push(String::from("the victim does not answer"));
        }
        wrong
    }

    /// Keeps what became of an attack; a wrong end comes with the attacker's own words.
    fn keep(
        &self,
        theme: &str,
        attack: &Attack,
        service: &Service,
        verdict: Option<String>,
    ) -> Result<Option<String>> {
        let wrong = match verdict {
            None => None,
            Some(what) => {
                let mut log = String::new();
                self.client.logs(attack.name, Logs::Present, |line| {
                    log = format!(
                        "{log}\n        {}",
                        line.chars().take(200).collect::<String>()
                    );
                    Ok(())
                })?;
                let tail: String = log.chars().take(1000).collect();
                Some(format!("{theme}/{}: {what}{tail}", attack.name))
            }
        };
        self.note(|record| {
            record
                .attacks
                .push(Entry::new(theme, attack, service, wrong.clone()));
        });
        Ok(wrong)
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Returns how much memory neither the supervisor nor a service has: images, and what was lost.
fn in_use_by_others(client: &Client) -> Result<u64> {
    let host = client.host()?;
    let services: u64 = client.services()?.iter().map(|it| it.resident).sum();
    let in_use = host.memory_total - host.memory_free;
    Ok(in_use.saturating_sub(host.memory_supervisor + services))
}

/// Returns what is wrong with the end of an attack.
fn judge(attack: &Attack, service: &Service) -> Option<String> {
    let reason = service.reason.as_deref().unwrap_or_default();
    let went_through = service.state == ServiceState::Exited && service.exit_code == Some(0);
    let right = match attack.end {
        End::Killed(reasons) => {
            let named = reasons
                .iter()
                .any(|expected| reason.starts_with(expected.name()));
            service.state == ServiceState::Crashed && named
        }
        End::Refused(_) | End::Harmless => went_through,
        End::Either => has_ended(service),
        End::Silenced => went_through && service.tx_frames == 0,
        End::Throttled => service.state.is_alive(),
    };
    let sent = service.tx_frames;
    let state = service.state;
    let end = attack.end;
    (!right).then(|| format!("{state:?}, {reason:?}, {sent} frames sent, instead of {end:?}"))
}

fn has_ended(service: &Service) -> bool {
    !service.state.is_alive()
}

fn log_in(host: &Host, status: &Status) -> Result<Client> {
    let keys = Keys::load_from(host.home().path().join("config/denali"))?;
    let (address, port) = status.address.split_once(':').context("HOST:PORT")?;
    Client::log_in(&Access::new(address.to_owned(), port.parse()?, keys)?)
}

fn start_victim(client: &Client, status: &Status) -> Result<Watch> {
    let service = deploy(client, VICTIM)?;
    let address = service.address.context("the victim has an address")?;
    let port = free_port();
    let forward = format!("hostfwd_add net0 tcp:127.0.0.1:{port}-{address}:80");
    Monitor::connect(&monitor_of(status))?.human(&forward)?;
    let watch = Watch::start(port);
    wait::until("the victim's first answer", || {
        (watch.answers() > 0).then_some(())
    });
    // Connections that came before it listened are no answers of its.
    drop(watch.take_wrong());
    thread::sleep(Duration::from_millis(500));
    Ok(watch)
}

fn deploy(client: &Client, name: &str) -> Result<Service> {
    let packed = package::pack(&manifest(name), image())?;
    client
        .deploy(name, &packed, DeployRequest::default(), |_| {})
        .with_context(|| format!("deploying `{name}`"))
}

/// Returns the manifest of the image with the argument `name`, which is the service's name, too.
fn manifest(name: &str) -> Manifest {
    let settings = Settings {
        memory: MEMORY,
        publish: Vec::new(),
        arguments: vec![name.to_owned()],
        environment: BTreeMap::new(),
        include: Vec::new(),
        address: None,
        limits: denali_protocol::Limits::default(),
        volumes: Vec::new(),
        health: None,
        restart: denali_protocol::Restart::Never,
    };
    package::manifest(name, "0.1.0", &settings, image())
}

/// Returns the image of `denali_attacks`, built on the first call.
///
/// # Panics
///
/// If it does not build.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let request = BuildRequest {
            manifest_path: Some(repository().join("test-harness/attacks/Cargo.toml")),
            ..BuildRequest::default()
        };
        denali_build::service::build(&request)
            .expect("the attacks build")
            .image
    })
}

/// Returns the socket of the monitor of a host's QEMU.
#[must_use]
pub fn monitor_of(status: &Status) -> std::path::PathBuf {
    status.serial_log.with_file_name("monitor.socket")
}

/// Returns the kernel that a host runs, from QEMU's command line.
///
/// # Errors
///
/// Its QEMU is gone.
pub fn kernel_of(status: &Status) -> Result<std::path::PathBuf> {
    let line = std::fs::read(format!("/proc/{}/cmdline", status.pid)).context("QEMU runs")?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let mut words = line.split('\0').skip_while(|word| *word != "-kernel");
    words.nth(1).map(Into::into).context("QEMU has a kernel")
}
