//! Runs a built service on a host, step by step, until it answers.

use crate::backtrace;
use crate::client::{Client, DeployRequest, Logs, Selection};
use crate::console::{self, Steps};
use crate::failure::{Failure, Status};
use crate::host::Target;
use crate::interrupt;
use crate::ports::Ports;
use crate::service::Service as Built;
use anyhow::{Context, Result};
use denali_abi::convert::usize_to_u64;
use denali_protocol::{DeployStep, PACKAGE_LEN_MAX, Service, ServiceState, Transport};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a new service may take until it accepts connections.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a new service may take to get an address by DHCP.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(15);

/// Lines of a crashed service's log that are shown.
const TAIL_LINES: usize = 10;

/// A service that answers.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// What the host says of it.
    pub service: Service,
    /// Where its first TCP port answers, if it publishes one.
    pub url: Option<String>,
}

/// Runs `built` on the host, in place of the service of that name if there is one.
///
/// # Errors
///
/// Refused, unreachable, or crashed; up to the host's acceptance nothing is changed.
pub fn deploy(target: &Target, built: &Built, steps: &mut Steps) -> Result<Deployed> {
    try_deploy(target, built, steps).map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) if failure.status() == Status::Crashed => failure
            .reworded(|message| backtrace::named(message, &built.executable))
            .into(),
        Ok(failure) => failure.into(),
        Err(error) => error,
    })
}

fn try_deploy(target: &Target, built: &Built, steps: &mut Steps) -> Result<Deployed> {
    let name = &built.manifest.name;
    check_size(built)?;
    let (client, mut ports) = steps.take("connect", || {
        let client = Client::connect(target)?;
        let mut ports = target.running().map(Ports::of).transpose()?;
        if let Some(ports) = &mut ports {
            let others = client.list(&Selection::published())?;
            ports.check(name, &built.manifest.publish, &others)?;
        }
        Ok(((client, ports), target.access().address()))
    })?;
    let before = client.find(name)?;
    let service = steps.take("deploy", || {
        let mut words = format!("{} sent", console::size(usize_to_u64(built.package.len())));
        let service = client.deploy(name, &built.package, DeployRequest::default(), |step| {
            words.push_str(&describe(step));
        })?;
        Ok((service, words))
    })?;
    let service = steps.take("start", || {
        let service = with_address(&client, service)?;
        if let Some(ports) = &mut ports {
            let before = before.map(|old| old.publish).unwrap_or_default();
            ports.hand_over(&before, &service)?;
        }
        let address = service.address.clone().unwrap_or_default();
        let words = format!("{name} {} at {address}", service.version);
        Ok((service, words))
    })?;
    let url = steps.take("answer", || wait_for_answer(&client, &mut ports, &service))?;
    Ok(Deployed { service, url })
}

/// Makes services of `built` on the host that publish no port: several, or one that is dormant.
/// Returns the last one.
///
/// # Errors
///
/// As [`deploy`]; services made before a refusal stay.
pub fn deploy_unpublished(
    target: &Target,
    built: &Built,
    request: DeployRequest,
    steps: &mut Steps,
) -> Result<Service> {
    check_size(built)?;
    let client = steps.take("connect", || {
        Ok((Client::connect(target)?, target.access().address()))
    })?;
    steps.take("deploy", || {
        let name = &built.manifest.name;
        let mut progress = console::Progress::new();
        let mut last = None;
        let last = client.deploy(name, &built.package, request, |step| {
            if let (&DeployStep::Copied { copies, uptime_ns }, Some(all)) = (step, request.copies) {
                let rate = last.replace((copies, uptime_ns)).map(|(before, then)| {
                    let ns = uptime_ns.saturating_sub(then).max(1);
                    let made = u64::from(copies - before);
                    format!(
                        ", {} a second of the host's time",
                        made * 1_000_000_000 / ns
                    )
                });
                let rate = rate.unwrap_or_default();
                progress.show(&format!("{copies} of {all} copies{rate}"));
            }
        })?;
        progress.end();
        let kind = if request.dormant { ", dormant" } else { "" };
        let copies = request.copies.unwrap_or(1);
        Ok((last, format!("{copies} copies of {name}{kind}")))
    })
}

fn check_size(built: &Built) -> Result<(), Failure> {
    let length = usize_to_u64(built.package.len());
    if length <= PACKAGE_LEN_MAX {
        return Ok(());
    }
    Err(Failure::new(
        Status::Refused,
        format!(
            "the package is too large: {}, a host takes {}",
            console::size(length),
            console::size(PACKAGE_LEN_MAX)
        ),
    )
    .help("embed less in the service"))
}

fn describe(step: &DeployStep) -> String {
    match step {
        DeployStep::Verified { .. } => ", digest right".to_owned(),
        DeployStep::Admitted { memory, available } => {
            format!(
                ", {} promised, {} left",
                console::size(*memory),
                console::size(*available)
            )
        }
        _ => String::new(),
    }
}

/// Waits until the service has its address from DHCP.
pub(crate) fn with_address(client: &Client, service: Service) -> Result<Service> {
    if service.address.is_some() {
        return Ok(service);
    }
    let found = interrupt::wait_for(ADDRESS_TIMEOUT, || {
        let service = client.service(&service.name)?;
        check_alive(client, &service)?;
        Ok(service.address.is_some().then_some(service))
    })?;
    found.with_context(|| format!("the service `{}` gets no address by DHCP", service.name))
}

/// Waits until the first TCP port accepts; a service without one just has to live.
fn wait_for_answer(
    client: &Client,
    ports: &mut Option<Ports>,
    service: &Service,
) -> Result<(Option<String>, String)> {
    let first = service
        .publish
        .iter()
        .find(|port| port.protocol == Transport::Tcp);
    let (Some(port), Some(address)) = (first, &service.address) else {
        check_alive(client, &client.service(&service.name)?)?;
        return Ok((None, "publishes no TCP port".to_owned()));
    };
    let here = if ports.is_some() {
        format!("127.0.0.1:{}", port.host)
    } else {
        format!("{address}:{}", port.guest)
    };
    let socket: SocketAddr = here
        .parse()
        .with_context(|| format!("the address `{here}`"))?;
    let answered = interrupt::wait_for(ANSWER_TIMEOUT, || {
        check_alive(client, &client.service(&service.name)?)?;
        let Ok(connection) = TcpStream::connect_timeout(&socket, Duration::from_secs(1)) else {
            return Ok(None);
        };
        let accepted = match ports {
            Some(ports) => is_accepted(ports, address, port.guest)?,
            None => true,
        };
        drop(connection);
        Ok(accepted.then_some(()))
    })?;
    if answered.is_none() {
        return Err(Failure::new(
            Status::Failed,
            format!(
                "`{}` runs, but does not accept connections on port {}",
                service.name, port.guest
            ),
        )
        .help(format!(
            "see what it says: cargo denali logs {}",
            service.name
        ))
        .into());
    }
    Ok((Some(format!("http://{here}/")), here))
}

/// Looks a few times whether the service has taken the connection QEMU forwards.
fn is_accepted(ports: &mut Ports, address: &str, port: u16) -> Result<bool> {
    let accepted = interrupt::wait_for(Duration::from_millis(300), || {
        Ok(ports.is_established(address, port)?.then_some(()))
    });
    Ok(accepted?.is_some())
}

/// Fails with reason and last log lines if the service has ended.
///
/// # Errors
///
/// [`Status::Crashed`].
pub fn check_alive(client: &Client, service: &Service) -> Result<()> {
    if service.state.is_alive() {
        return Ok(());
    }
    let how = match service.state {
        ServiceState::Stopped => "was stopped".to_owned(),
        ServiceState::Exited => "ended by itself".to_owned(),
        _ => {
            format!(
                "crashed: {}",
                service.reason.as_deref().unwrap_or("for an unknown reason")
            )
        }
    };
    let mut lines = Vec::new();
    client.logs(&service.name, Logs::Present, |line| {
        lines.push(line.to_owned());
        Ok(())
    })?;
    let mut message = format!("`{}` {how}", service.name);
    for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
        message.push_str("\n    ");
        message.push_str(line);
    }
    Err(Failure::new(Status::Crashed, message)
        .help(format!(
            "see the whole log: cargo denali logs {}",
            service.name
        ))
        .into())
}
