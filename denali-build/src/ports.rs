//! Published ports of a local host.
//!
//! QEMU's user networking forwards them from 127.0.0.1 to the services. Its list of forwards is
//! the only record there is, so it cannot disagree with what happens.

use crate::console;
use crate::failure::{Failure, Status};
use crate::host::Running;
use crate::qemu::{Internet, NETDEV};
use crate::qmp::Monitor;
use anyhow::Result;
use denali_protocol::{PublishedPort, Service, Transport};
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};

/// The forwards of one host.
#[derive(Debug)]
pub struct Ports {
    monitor: Monitor,
    internet: Internet,
}

/// A forward as QEMU lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Forward {
    protocol: Transport,
    host: u16,
    address: String,
    guest: u16,
}

impl Forward {
    /// Returns whether the port is forwarded by this.
    fn is_of(&self, port: &PublishedPort) -> bool {
        (self.host, self.protocol) == (port.host, port.protocol)
    }
}

impl Ports {
    /// Connects to the host's QEMU.
    ///
    /// # Errors
    ///
    /// QEMU does not answer.
    pub fn of(running: &Running) -> Result<Self> {
        Ok(Self {
            monitor: Monitor::connect(&running.monitor())?,
            internet: running.state.internet,
        })
    }

    /// Checks that `name` can publish `wanted`: no other service and no other program has the
    /// ports.
    ///
    /// # Errors
    ///
    /// [`Status::Refused`] names the port and who has it.
    pub fn check(
        &mut self,
        name: &str,
        wanted: &[PublishedPort],
        services: &[Service],
    ) -> Result<()> {
        let forwards = self.forwards()?;
        for port in wanted {
            let other = services.iter().find(|service| {
                service.name != name && service.publish.iter().any(|theirs| conflict(theirs, port))
            });
            if let Some(other) = other {
                return Err(taken(port, &format!("by the service `{}`", other.name)).into());
            }
            if !forwards.iter().any(|forward| forward.is_of(port)) {
                check_free(port)?;
            }
        }
        Ok(())
    }

    /// Leads what was led to the last release of a service to its present one: drops forwards of
    /// ports it does not publish any more, and publishes the others.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn hand_over(&mut self, before: &[PublishedPort], service: &Service) -> Result<()> {
        let stays = |old: &&PublishedPort| service.publish.iter().any(|new| conflict(old, new));
        let gone: Vec<PublishedPort> = before.iter().filter(|old| !stays(old)).copied().collect();
        if !gone.is_empty() {
            self.withdraw(&gone)?;
        }
        self.publish(service)
    }

    /// Forwards the service's ports to its address, and drops older forwards of these ports that lead
    /// elsewhere. QEMU cannot change a forward: it listens anew, without waiting for us in between.
    ///
    /// # Errors
    ///
    /// The service has no address yet, or QEMU refuses.
    pub fn publish(&mut self, service: &Service) -> Result<()> {
        let Some(address) = &service.address else {
            anyhow::bail!("the service `{}` has no address", service.name);
        };
        let forwards = self.forwards()?;
        for port in &service.publish {
            let present = forwards.iter().find(|forward| forward.is_of(port));
            if !present.is_some_and(|it| it.address == *address && it.guest == port.guest) {
                self.forward(port, address, present.is_some())?;
            }
            if port.protocol == Transport::Udp && self.internet == Internet::Closed {
                let host = port.host;
                console::note(&format!(
                    "warning: no answers will come from port {host}/udp: QEMU passes them on only \
                     on a host made by: cargo denali host up --internet"
                ));
            }
        }
        Ok(())
    }

    /// Forwards a port to `address`, instead of to where it leads if it `is_forwarded`.
    fn forward(&mut self, port: &PublishedPort, address: &str, is_forwarded: bool) -> Result<()> {
        let (protocol, host, guest) = (name_of(port.protocol), port.host, port.guest);
        let add = format!("hostfwd_add {NETDEV} {protocol}:127.0.0.1:{host}-{address}:{guest}");
        let answer = if is_forwarded {
            let remove = format!("hostfwd_remove {NETDEV} {protocol}:127.0.0.1:{host}");
            let [_, answer] = self.monitor.human_both([&remove, &add])?;
            answer
        } else {
            self.monitor.human(&add)?
        };
        if answer.trim().is_empty() {
            Ok(())
        } else {
            Err(taken(port, &format!("({})", answer.trim())).into())
        }
    }

    /// Drops the forwards of these ports, as far as there are any.
    ///
    /// # Errors
    ///
    /// QEMU does not answer.
    pub fn withdraw(&mut self, ports: &[PublishedPort]) -> Result<()> {
        for forward in self.forwards()? {
            if ports.iter().any(|port| forward.is_of(port)) {
                let (protocol, host) = (name_of(forward.protocol), forward.host);
                self.monitor.human(&format!(
                    "hostfwd_remove {NETDEV} {protocol}:127.0.0.1:{host}"
                ))?;
            }
        }
        Ok(())
    }

    /// Returns whether a forwarded connection to `address:port` is established at this moment.
    ///
    /// QEMU accepts on this machine before it asks the service; only its list tells the two apart.
    ///
    /// # Errors
    ///
    /// QEMU does not answer.
    pub fn is_established(&mut self, address: &str, port: u16) -> Result<bool> {
        let list = self.monitor.human("info usernet")?;
        Ok(list.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&"TCP[ESTABLISHED]")
                && words.get(4) == Some(&address)
                && words.get(5) == Some(&port.to_string().as_str())
        }))
    }

    fn forwards(&mut self) -> Result<Vec<Forward>> {
        Ok(self
            .monitor
            .human("info usernet")?
            .lines()
            .filter_map(parse_forward)
            .collect())
    }
}

/// Parses a line of `info usernet`:
/// `  TCP[HOST_FORWARD]  12  127.0.0.1  8080  10.90.1.1  80  0  0`.
fn parse_forward(line: &str) -> Option<Forward> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let protocol = match *words.first()? {
        "TCP[HOST_FORWARD]" => Transport::Tcp,
        "UDP[HOST_FORWARD]" => Transport::Udp,
        _ => return None,
    };
    Some(Forward {
        protocol,
        host: words.get(3)?.parse().ok()?,
        address: (*words.get(4)?).to_owned(),
        guest: words.get(5)?.parse().ok()?,
    })
}

fn conflict(one: &PublishedPort, other: &PublishedPort) -> bool {
    (one.host, one.protocol) == (other.host, other.protocol)
}

const fn name_of(protocol: Transport) -> &'static str {
    match protocol {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn taken(port: &PublishedPort, by: &str) -> Failure {
    let protocol = name_of(port.protocol);
    Failure::new(
        Status::Refused,
        format!(
            "port {}/{protocol} of this machine is taken {by}",
            port.host
        ),
    )
    .help("choose another in `publish` of [package.metadata.denali]")
}

/// Checks that no program of this machine has the port.
fn check_free(port: &PublishedPort) -> Result<(), Failure> {
    let address = ("127.0.0.1", port.host);
    let bound = match port.protocol {
        Transport::Tcp => TcpListener::bind(address).map(drop),
        Transport::Udp => UdpSocket::bind(address).map(drop),
    };
    match bound {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(taken(port, "by another program"))
        }
        Err(error) => Err(taken(port, &format!("({error})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_told_from_connections() {
        let forward =
            parse_forward("  TCP[HOST_FORWARD]  12  127.0.0.1  8080  10.90.1.1  80  0  0");
        let expected = Forward {
            protocol: Transport::Tcp,
            host: 8080,
            address: "10.90.1.1".to_owned(),
            guest: 80,
        };
        assert_eq!(forward, Some(expected));
        for line in [
            "Hub -1 (net0):",
            "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ",
            "  TCP[ESTABLISHED]  14  127.0.0.1  8080  10.90.1.1  80  0  0",
            "",
        ] {
            assert_eq!(parse_forward(line), None, "{line}");
        }
    }

    #[test]
    fn a_port_of_another_program_is_taken() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let host = listener.local_addr().unwrap().port();
        let failure = check_free(&PublishedPort {
            host,
            guest: 80,
            protocol: Transport::Tcp,
        })
        .unwrap_err();
        assert_eq!(failure.status(), Status::Refused);
        assert!(
            failure.to_string().contains(&format!("port {host}/tcp")),
            "{failure}"
        );
    }
}
