//! A service: what is known of it, and how it looks to a reader.

use crate::hex;
use crate::kernel::{ImageId, VmId};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use denali_abi::block::VolumeConfig;
use denali_abi::control::{VmConfig, VmState, VmStatus};
use denali_abi::end::{EndReason, EndRecord};
use denali_abi::layout::PAGE_SIZE;
use denali_abi::net::{NetworkConfig, addressing};
use denali_abi::registers::NAME_MAX;
use denali_protocol::{self as protocol, Check, Limits, PublishedPort, Restart, ServiceState};

/// What the supervisor knows of one service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: Arc<str>,
    /// Its image, which services of the same bytes share.
    pub image: ImageId,
    /// Its VM; `None` after a VM could not be created again.
    pub vm: Option<VmId>,
    /// The network its VM was created with.
    pub network: NetworkConfig,
    /// Memory limit in pages.
    pub memory_pages: u32,
    /// What it may take of CPU and network.
    pub limits: Limits,
    /// Whether its VM was asked to end by itself.
    pub asked_to_stop: bool,
    /// What came with the package, which copies share; `None` if the supervisor restarted since.
    pub origin: Option<Arc<Origin>>,
}

/// What only the package says.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Version of its crate.
    pub version: String,
    /// Its published ports.
    pub publish: Vec<PublishedPort>,
    /// Its arguments, encoded.
    pub arguments: Vec<u8>,
    /// Its volumes.
    pub volumes: Vec<VolumeConfig>,
    /// The image's build-id.
    pub build_id: [u8; denali_abi::image::BUILD_ID_LEN],
    /// The digest of the image.
    pub digest: [u8; 32],
    /// The check in its manifest.
    pub health: Option<Check>,
    /// What happens when it ends though nobody asked it to.
    pub restart: Restart,
}

impl Service {
    /// Returns the service of a VM that was there before the supervisor was.
    #[must_use]
    pub fn from_status(status: &VmStatus) -> Self {
        let mut network = status.network;
        if network.addressing == addressing::DHCP {
            // What the server gave belongs to this VM, not to the next one.
            network.address = [0; 4];
        }
        Self {
            name: name_of(status).into(),
            image: ImageId(status.image),
            vm: Some(VmId(status.vm)),
            network,
            memory_pages: status.memory_pages,
            limits: Limits::from_abi(&status.limits),
            asked_to_stop: false,
            origin: None,
        }
    }

    /// Returns the configuration of a VM for this service.
    #[must_use]
    pub fn vm_config(&self) -> VmConfig {
        let mut name = [0; NAME_MAX];
        for (to, from) in name.iter_mut().zip(self.name.bytes()) {
            *to = from;
        }
        VmConfig {
            image: self.image.0,
            memory_pages: self.memory_pages,
            network: self.network,
            limits: self.limits.to_abi(),
            name,
            ..VmConfig::default()
        }
    }

    /// Returns the ports it publishes, as far as known.
    #[must_use]
    pub fn publish(&self) -> &[PublishedPort] {
        self.origin.as_ref().map_or(&[], |origin| &origin.publish)
    }

    /// Returns the digest of its image, if it is known.
    #[must_use]
    pub fn digest(&self) -> Option<&[u8; 32]> {
        self.origin.as_ref().map(|origin| &origin.digest)
    }

    /// Returns what happens when it ends though nobody asked it to.
    #[must_use]
    pub fn restart(&self) -> Restart {
        let origin = self.origin.as_ref();
        origin.map_or(Restart::Never, |origin| origin.restart)
    }

    /// Returns whether somebody has to look after it.
    #[must_use]
    pub fn wants_watching(&self) -> bool {
        let origin = self.origin.as_ref();
        origin.is_some_and(|it| it.restart != Restart::Never || it.health.is_some())
    }

    /// Returns its static address, if it has one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        known_address(self.network.address)
    }

    /// Returns the service as clients see it; `status` is that of its VM.
    #[must_use]
    pub fn view(&self, status: Option<&VmStatus>, now_ns: u64) -> protocol::Service {
        let fallback = VmStatus {
            state: VmState::Ended.code(),
            end: EndRecord {
                reason: EndReason::Stopped.code(),
                ..EndRecord::default()
            },
            memory_pages: self.memory_pages,
            network: self.network,
            created_ns: now_ns,
            ..VmStatus::default()
        };
        let status = status.unwrap_or(&fallback);
        let (state, reason, exit_code) = match describe(status) {
            (ServiceState::Exited, ..) if self.asked_to_stop => (ServiceState::Stopped, None, None),
            described => described,
        };
        let address = known_address(status.network.address).or_else(|| self.address());
        let origin = self.origin.as_ref();
        protocol::Service {
            name: self.name.to_string(),
            version: origin.map_or_else(String::new, |it| it.version.clone()),
            build_id: origin.map_or_else(String::new, |it| hex::encode(&it.build_id)),
            state,
            reason,
            exit_code,
            address: address.map(|address| address.to_string()),
            publish: self.publish().to_vec(),
            memory: u64::from(self.memory_pages) * PAGE_SIZE,
            resident: u64::from(status.resident_pages) * PAGE_SIZE,
            swapped: u64::from(status.swapped_pages) * PAGE_SIZE,
            shared: u64::from(status.shared_pages) * PAGE_SIZE,
            cpu_ns: status.cpu_ns,
            age_ns: now_ns.saturating_sub(status.created_ns),
            faults: status.page_faults,
            page_ins: status.page_ins,
            wakes: status.wakes,
            wake_ns: u64::from(status.wake_us) * 1000,
            rx_frames: status.rx_frames,
            tx_frames: status.tx_frames,
            limits: self.limits,
            restarts: 0,
        }
    }
}

/// Returns whether the VM has ended.
#[must_use]
pub fn has_ended(status: &VmStatus) -> bool {
    VmState::from_code(status.state) == Some(VmState::Ended)
}

/// Returns the name in a status, as far as it is text.
#[must_use]
pub fn name_of(status: &VmStatus) -> String {
    let name = status
        .name
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn known_address(address: [u8; 4]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(address)).filter(|address| !address.is_unspecified())
}

/// Returns what became of a VM that ended, also in words.
#[must_use]
pub fn end_of(status: &VmStatus) -> (ServiceState, String) {
    match describe(status) {
        (state, Some(reason), _) => (state, format!("ended: {reason}")),
        (ServiceState::Stopped, None, _) => (ServiceState::Stopped, "was stopped".into()),
        (state, None, _) => (state, "ended".into()),
    }
}

/// Returns state, reason and exit code of a VM.
fn describe(status: &VmStatus) -> (ServiceState, Option<String>, Option<i32>) {
    match VmState::from_code(status.state) {
        Some(VmState::Ready) => (ServiceState::Running, None, None),
        Some(VmState::Idle) => (ServiceState::Idle, None, None),
        Some(VmState::Paging) => (ServiceState::Paged, None, None),
        Some(VmState::Dormant) if status.swapped_pages > 0 => (ServiceState::Paged, None, None),
        Some(VmState::Dormant) => (ServiceState::Dormant, None, None),
        Some(VmState::Ended) => describe_end(&status.end, &thread_of(status)),
        None => (
            ServiceState::Crashed,
            Some(format!("unknown state {}", status.state)),
            None,
        ),
    }
}

/// Returns the words for the thread that ended a VM, if the guest named one.
fn thread_of(status: &VmStatus) -> String {
    let name = status.thread.split(|byte| *byte == 0).next();
    match String::from_utf8_lossy(name.unwrap_or_default()) {
        name if name.is_empty() => String::new(),
        // A guest may have written anything.
        name => format!(" in thread '{}'", name.escape_debug()),
    }
}

fn describe_end(end: &EndRecord, thread: &str) -> (ServiceState, Option<String>, Option<i32>) {
    let Some(reason) = EndReason::from_code(end.reason) else {
        return (
            ServiceState::Crashed,
            Some(format!("unknown reason {}", end.reason)),
            None,
        );
    };
    let rip = end.rip;
    let at = |place: &str| Some(format!("{}{place}{thread} (rip {rip:#x})", reason.name()));
    match reason {
        EndReason::Terminated => {
            // The exit code is an `i32`, sign-extended.
            let code = end.detail.cast_signed();
            let code = i32::try_from(code).unwrap_or(i32::MAX);
            let state = if code == 0 {
                ServiceState::Exited
            } else {
                ServiceState::Crashed
            };
            (state, Some(format!("exit code {code}")), Some(code))
        }
        // Nowhere in particular: it did not run.
        EndReason::DiskError | EndReason::SwapCorrupt => {
            (ServiceState::Crashed, Some(reason.name().into()), None)
        }
        EndReason::Stopped => (ServiceState::Stopped, None, None),
        EndReason::BadAddress
        | EndReason::AccessViolation
        | EndReason::StackOverflow
        | EndReason::OutOfMemory => (
            ServiceState::Crashed,
            at(&format!(" at {:#x}", end.detail)),
            None,
        ),
        EndReason::OtherException | EndReason::BadHypercall => (
            ServiceState::Crashed,
            at(&format!(" {:#x}", end.detail)),
            None,
        ),
        EndReason::PrivilegedInstruction
        | EndReason::InvalidInstruction
        | EndReason::DivideError
        | EndReason::FloatingPoint
        | EndReason::Breakpoint
        | EndReason::RingViolation => (ServiceState::Crashed, at(""), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(reason: EndReason, detail: u64) -> (ServiceState, Option<String>, Option<i32>) {
        let end = EndRecord {
            reason: reason.code(),
            detail,
            rip: 0x11_a2b3,
            ..Default::default()
        };
        describe(&VmStatus {
            state: VmState::Ended.code(),
            end,
            ..VmStatus::default()
        })
    }

    #[test]
    fn a_living_vm_shows_what_it_does() {
        let cases = [
            (VmState::Ready, 9, ServiceState::Running),
            (VmState::Idle, 9, ServiceState::Idle),
            (VmState::Paging, 0, ServiceState::Paged),
            (VmState::Dormant, 0, ServiceState::Dormant),
            (VmState::Dormant, 9, ServiceState::Paged),
        ];
        for (state, swapped_pages, shown) in cases {
            let status = VmStatus {
                state: state.code(),
                swapped_pages,
                ..VmStatus::default()
            };
            assert_eq!(describe(&status), (shown, None, None));
        }
    }

    #[test]
    fn an_end_shows_its_reason_in_words() {
        let (state, reason, code) = ended(EndReason::StackOverflow, 0x2001_0ff8);
        assert_eq!(state, ServiceState::Crashed);
        assert_eq!(
            reason.unwrap(),
            "stack overflow at 0x20010ff8 (rip 0x11a2b3)"
        );
        assert_eq!(code, None);
        assert_eq!(
            ended(EndReason::Stopped, 0),
            (ServiceState::Stopped, None, None)
        );
        let (state, reason, code) = ended(EndReason::Terminated, 0);
        assert_eq!((state, code), (ServiceState::Exited, Some(0)));
        assert_eq!(reason.unwrap(), "exit code 0");
        let (state, _, code) = ended(EndReason::Terminated, (-3_i64).cast_unsigned());
        assert_eq!((state, code), (ServiceState::Crashed, Some(-3)));
    }

    #[test]
    fn a_fault_names_its_thread_whatever_that_is_called() {
        let named = |name: &[u8]| {
            let mut status = VmStatus {
                state: VmState::Ended.code(),
                ..VmStatus::default()
            };
            status.end.reason = EndReason::DivideError.code();
            status.thread[..name.len()].copy_from_slice(name);
            describe(&status).1.unwrap()
        };
        assert_eq!(named(b""), "divide error (rip 0x0)");
        assert_eq!(
            named(b"worker"),
            "divide error in thread 'worker' (rip 0x0)"
        );
        assert_eq!(
            named(b"\x1b[31m"),
            "divide error in thread '\\u{1b}[31m' (rip 0x0)"
        );
        assert!(named(&[0xff; 16]).starts_with("divide error in thread '\u{fffd}"));
    }

    #[test]
    fn every_reason_of_the_kernel_has_a_state() {
        for reason in EndReason::ALL {
            let (state, _, _) = ended(reason, 1);
            assert_eq!(state == ServiceState::Stopped, reason == EndReason::Stopped);
        }
    }

    #[test]
    fn states_and_reasons_of_another_kernel_are_shown_as_numbers() {
        let status = VmStatus {
            state: 77,
            ..VmStatus::default()
        };
        assert_eq!(describe(&status).1.unwrap(), "unknown state 77");
        let end = EndRecord {
            reason: 99,
            ..EndRecord::default()
        };
        let status = VmStatus {
            state: VmState::Ended.code(),
            end,
            ..VmStatus::default()
        };
        assert_eq!(describe(&status).1.unwrap(), "unknown reason 99");
    }
}
