//! Health: whether a release that was just begun does what it is for.

use crate::deploy::Begun;
use crate::kernel::{Kernel, VmId};
use crate::service::{self, has_ended};
use crate::shared::Shared;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use denali_abi::control::VmStatus;
use denali_protocol::{Check, Manifest, Transport};
use denali_rt::io::Write as _;
use denali_rt::net::TcpStream;
use denali_rt::thread;
use denali_rt::time::Instant;

/// How long a release may take until it is healthy.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one try may take, and how long to wait between two.
const TRY_MAX: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of a log that are looked at for its last lines, and how many of those are shown.
const TAIL_BYTES: u64 = 2048;
const TAIL_LINES: usize = 10;

/// Returns how the health of a service is checked: as its manifest says, else by a connection to
/// the first TCP port it publishes. `None` if there is nothing to check but that it lives.
#[must_use]
pub fn check_of(manifest: &Manifest) -> Option<Check> {
    let mut published = manifest.publish.iter();
    let first = published.find(|port| port.protocol == Transport::Tcp);
    let by_port = || first.map(|port| Check::Tcp { port: port.guest });
    manifest.health.clone().or_else(by_port)
}

/// Waits until a release is healthy.
///
/// # Errors
///
/// Why it is not, with the last lines of its log.
pub fn wait(shared: &Shared, begun: &Begun, check: Option<&Check>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(status) = shared.with(|supervisor| supervisor.status_of(begun)) else {
            return Err("its VM is gone".into());
        };
        if has_ended(&status) {
            let why = service::reason_of(&status);
            return Err(format!("{why}{}", tail(shared, begun.vm())));
        }
        let tried = check.map_or(Ok(()), |check| try_once(&status, check));
        match tried {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() > deadline => {
                let seconds = PATIENCE.as_secs();
                let lines = tail(shared, begun.vm());
                return Err(format!("is not healthy after {seconds} s: {why}{lines}"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn try_once(status: &VmStatus, check: &Check) -> Result<(), String> {
    let address = Ipv4Addr::from(status.network.address);
    if address.is_unspecified() {
        return Err("it has no address".into());
    }
    let (Check::Tcp { port } | Check::Http { port, .. }) = *check;
    let connected = TcpStream::connect_timeout((address, port), TRY_MAX);
    let stream = connected.map_err(|error| format!("port {port}: {error}"))?;
    match check {
        Check::Tcp { .. } => Ok(()),
        Check::Http { path, .. } => ask(stream, path).map_err(|why| format!("GET {path}: {why}")),
    }
}

/// Asks for a path; any status from 200 to 399 is healthy.
fn ask(mut stream: TcpStream, path: &str) -> Result<(), String> {
    let failed = |error: denali_rt::io::Error| error.to_string();
    stream.set_read_timeout(Some(TRY_MAX)).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: health\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut head = [0; 12];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest).map_err(failed)? {
            0 => return Err("the connection ended".into()),
            length => filled += length,
        }
    }
    match head {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            _,
            b' ',
            b'2' | b'3',
            _,
            _,
        ] => Ok(()),
        _ => Err(String::from_utf8_lossy(&head).escape_debug().to_string()),
    }
}

/// Returns the last lines of a VM's console, each on a line of its own.
fn tail(shared: &Shared, vm: Option<VmId>) -> String {
    let Some(vm) = vm else {
        return String::new();
    };
    let bytes = shared.with(|supervisor| last_bytes(supervisor.kernel(), vm));
    let text = String::from_utf8_lossy(&bytes);
    let lines: vec::Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..);
    last.unwrap_or_default()
        .iter()
        .map(|line| format!("\n    {}", line.escape_debug()))
        .collect()
}

fn last_bytes(kernel: &mut dyn Kernel, vm: VmId) -> vec::Vec<u8> {
    let written = kernel
        .vm_status(vm)
        .map_or(0, |status| status.console_written);
    let mut buffer = vec![0; 2048];
    let from = written.saturating_sub(TAIL_BYTES);
    let read = kernel.console_read(vm, from, &mut buffer);
    buffer.truncate(read.map_or(0, |piece| piece.len));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::manifest;

    #[test]
    fn the_first_published_tcp_port_is_asked_unless_the_manifest_says_otherwise() {
        let mut manifest = manifest("web");
        assert_eq!(check_of(&manifest), Some(Check::Tcp { port: 80 }));
        manifest.publish.clear();
        assert_eq!(check_of(&manifest), None);
        let check = Check::Http {
            port: 8080,
            path: "/health".into(),
        };
        manifest.health = Some(check.clone());
        assert_eq!(check_of(&manifest), Some(check));
    }
}
