//! Health: whether a release does what it is for.

#[cfg(test)]
pub mod fake;
pub mod probe;

use crate::deploy::Begun;
use crate::kernel::{Kernel, VmId};
use crate::service::{self, Service, has_ended};
use crate::shared::Shared;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use denali_abi::control::{READY_LINE, VmStatus};
use denali_abi::convert::usize_to_u64;
use denali_protocol::{Check, Manifest, ServiceState, Transport};

/// How long a release may take until it is healthy.
const PATIENCE_NS: u64 = 20_000_000_000;

/// How long a release without a check has to live until it counts as healthy.
const PROOF_NS: u64 = 500_000_000;

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of a log that are looked at for its last lines, and how many of those are shown.
const TAIL_BYTES: usize = 2048;
const TAIL_LINES: usize = 10;

/// Bytes of a console that are looked at for the word of a guest at once.
const PIECE_LEN: usize = 4096;

/// Returns how the health of a service is checked: as its manifest says, else by a connection to
/// the first TCP port it publishes. `None` if there is nothing to check but that it lives.
#[must_use]
pub fn check_of(manifest: &Manifest) -> Option<Check> {
    let mut published = manifest.publish.iter();
    let first = published.find(|port| port.protocol == Transport::Tcp);
    let by_port = || first.map(|port| Check::Tcp { port: port.guest });
    manifest.health.clone().or_else(by_port)
}

/// Returns how the health of a service that runs is checked, by the same rule.
#[must_use]
pub fn check_of_service(service: &Service) -> Option<Check> {
    let origin = service.origin.as_ref()?;
    let mut published = origin.publish.iter();
    let first = published.find(|port| port.protocol == Transport::Tcp);
    let by_port = || first.map(|port| Check::Tcp { port: port.guest });
    origin.health.clone().or_else(by_port)
}

/// Waits until a release is healthy.
///
/// # Errors
///
/// Why it is not, with the last lines of its log.
pub fn wait(shared: &Shared, begun: &Begun, check: Option<&Check>) -> Result<(), String> {
    let now_ns = || shared.with(|supervisor| supervisor.kernel().host_status().now_ns);
    let begun_ns = now_ns();
    let mut examination = Examination::default();
    loop {
        let Some(status) = shared.with(|supervisor| supervisor.status_of(begun)) else {
            return Err("is gone".into());
        };
        let age_ns = now_ns().saturating_sub(begun_ns);
        let examined = match check {
            _ if has_ended(&status) => {
                let (state, why) = service::end_of(&status);
                if check.is_none() && state == ServiceState::Exited {
                    return Ok(());
                }
                return Err(format!("{why}{}", tail(shared, begun.vm())));
            }
            Some(check) => examination.try_once(shared, begun.vm(), &status, check),
            None if age_ns < PROOF_NS => Err("has only just begun".into()),
            None => Ok(()),
        };
        let status_now = || shared.with(|supervisor| supervisor.status_of(begun));
        match examined {
            // When it is gone its predecessor answers at its address.
            Ok(()) if check.is_some() && status_now().is_none_or(|it| has_ended(&it)) => {}
            Ok(()) => return Ok(()),
            Err(why) if age_ns > PATIENCE_NS => {
                let seconds = PATIENCE_NS / 1_000_000_000;
                let lines = tail(shared, begun.vm());
                return Err(format!("is not healthy after {seconds} s: {why}{lines}"));
            }
            Err(_) => shared.probe().pause(PAUSE),
        }
    }
}

/// What is known of a VM that is examined again and again.
#[derive(Debug, Default)]
pub(crate) struct Examination {
    /// How much of its console was looked at.
    position: u64,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    is_ready: bool,
}

impl Examination {
    /// Checks a VM once.
    pub(crate) fn try_once(
        &mut self,
        shared: &Shared,
        vm: VmId,
        status: &VmStatus,
        check: &Check,
    ) -> Result<(), String> {
        if *check == Check::Ready {
            shared.with(|supervisor| self.read(supervisor.kernel(), vm));
            let not_yet = || String::from("it did not say that it is ready");
            return self.is_ready.then_some(()).ok_or_else(not_yet);
        }
        let address = Ipv4Addr::from(status.network.address);
        if address.is_unspecified() {
            return Err("it has no address".into());
        }
        shared.probe().ask(address, check)
    }

    /// Looks for the guest's word in what came since the last time.
    fn read(&mut self, kernel: &mut dyn Kernel, vm: VmId) {
        let mut buffer = vec![0; PIECE_LEN];
        while let Ok(piece) = kernel.console_read(vm, self.position, &mut buffer) {
            let bytes = buffer.get(..piece.len).unwrap_or_default();
            if bytes.is_empty() || self.is_ready {
                return;
            }
            self.position = piece.position.saturating_add(usize_to_u64(piece.len));
            for byte in bytes {
                match byte {
                    b'\n' => {
                        self.is_ready |= self.line.trim_ascii_end() == READY_LINE.as_bytes();
                        self.line.clear();
                    }
                    // A longer line cannot be the word, whatever comes.
                    _ if self.line.len() <= READY_LINE.len() + 1 => self.line.push(*byte),
                    _ => {}
                }
            }
        }
    }
}

/// Returns the last lines of a VM's console, each on a line of its own.
fn tail(shared: &Shared, vm: VmId) -> String {
    let bytes = shared.with(|supervisor| last_bytes(supervisor.kernel(), vm));
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..);
    let line = |line: &&str| format!("\n    {}", shown(line));
    last.unwrap_or_default().iter().map(line).collect()
}

/// Returns a line of a guest's as a terminal can show it: escaped, but for quotation marks.
fn shown(line: &str) -> String {
    let mut shown = String::new();
    for character in line.chars() {
        match character {
            '\'' | '"' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

/// Returns the last bytes of a VM's console.
pub(crate) fn last_bytes(kernel: &mut dyn Kernel, vm: VmId) -> Vec<u8> {
    let status = kernel.vm_status(vm);
    let written = status.map_or(0, |status| status.console_written);
    let mut buffer = vec![0; TAIL_BYTES];
    let from = written.saturating_sub(usize_to_u64(TAIL_BYTES));
    let read = kernel.console_read(vm, from, &mut buffer);
    buffer.truncate(read.map_or(0, |piece| piece.len));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::manifest;
    use crate::kernel::fake::FakeKernel;
    use denali_abi::control::VmConfig;
    use denali_abi::image::ImageHeader;
    use zerocopy::FromZeros as _;

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

    #[test]
    fn a_line_is_shown_as_it_was_written_unless_a_terminal_would_obey_it() {
        let line = "thread 'main' panicked: \"no\" \u{1b}[2J\u{202e}";
        let expected = "thread 'main' panicked: \"no\" \\u{1b}[2J\\u{202e}";
        assert_eq!(shown(line), expected);
    }

    #[test]
    fn the_word_of_a_guest_is_found_in_whatever_pieces_it_comes() {
        let mut kernel = FakeKernel::new(1000);
        let image = kernel.image_create(&ImageHeader::new_zeroed()).unwrap();
        let config = VmConfig {
            image: image.0,
            ..VmConfig::default()
        };
        let vm = kernel.vm_create(config, &[], &[]).unwrap();
        let mut examination = Examination::default();
        for text in [
            "noise ",
            READY_LINE,
            "\n",
            READY_LINE,
            "!\n",
            &READY_LINE[..5],
        ] {
            kernel.print(vm, text);
            examination.read(&mut kernel, vm);
            assert!(!examination.is_ready, "{text}");
        }
        kernel.print(vm, &READY_LINE[5..]);
        kernel.print(vm, "\r\nmore");
        examination.read(&mut kernel, vm);
        assert!(examination.is_ready);
    }
}
