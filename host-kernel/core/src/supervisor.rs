//! The supervisor's start from the boot module, its restarts, and its address.
//!
//! The module holds the supervisor's image and behind it the bytes it gets as arguments. It is the
//! only image the kernel loads by itself, and it is kept: a supervisor that ends begins anew from it
//! while all other VMs run on.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::net::source::{is_arp_request, sender_address};
use crate::time::Time;
use crate::trace::Event;
use crate::vm::VmId;
use crate::vm::creation::{BootData, Entrance, VmSpec};
use alloc::vec::Vec;
use core::fmt;
use denali_abi::control::Limits;
use denali_abi::convert::u64_to_usize;
use denali_abi::errno::Errno;
use denali_abi::image::{ImageError, ImageHeader};
use denali_abi::layout::PAGE_SIZE;
use denali_abi::net::{NetworkConfig, addressing};
use denali_abi::registers::{ARGUMENTS_MAX, NAME_MAX};
use zerocopy::FromBytes;

/// The part of a host's memory that the supervisor may use at most, if that is more than its image
/// asks for.
const SUPERVISOR_PART: u32 = 12;

/// The shortest pause before the supervisor begins anew, in nanoseconds.
const RESTART_PAUSE_NS_MIN: u64 = 1_000_000_000;

/// The longest one; each restart doubles the pause.
const RESTART_PAUSE_NS_MAX: u64 = 64 * RESTART_PAUSE_NS_MIN;

/// A supervisor that ran this long is given the shortest pause again, in nanoseconds.
const RESTART_FORGIVEN_NS: u64 = 120 * RESTART_PAUSE_NS_MIN;

/// The supervisor: its VM now, and what it takes to begin anew.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) vm: VmId,
    pub(crate) spec: VmSpec,
    pub(crate) arguments: Vec<u8>,
    pub(crate) begun: Time,
    pub(crate) pause_ns: u64,
}

/// Why the boot module cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// It is shorter than an image header.
    NoHeader,
    /// The header breaks a rule.
    Header(ImageError),
    /// It is shorter than the image its header announces (the length announced).
    Truncated(u64),
    /// More bytes follow the image than fit into arguments (how many).
    ArgumentsTooLong(usize),
    /// The kernel has no room for it.
    Refused(Errno),
    /// There is a supervisor already.
    Started,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("boot module holds no image: build the host image anew"),
            Self::Header(ImageError::AbiVersion(version)) => {
                write!(
                    f,
                    "supervisor was built for ABI version {version}: build the host image anew"
                )
            }
            Self::Header(error) => write!(f, "supervisor's image header is wrong: {error:?}"),
            Self::Truncated(length) => {
                write!(
                    f,
                    "boot module is truncated: the supervisor alone has {length} bytes"
                )
            }
            Self::ArgumentsTooLong(length) => {
                write!(
                    f,
                    "boot configuration has {length} bytes, at most {ARGUMENTS_MAX} fit"
                )
            }
            Self::Refused(errno) => {
                write!(
                    f,
                    "supervisor does not start: {errno}; give the host more memory"
                )
            }
            Self::Started => f.write_str("supervisor is started already"),
        }
    }
}

impl core::error::Error for StartError {}

impl Kernel {
    /// Starts the supervisor from the boot module.
    ///
    /// # Errors
    ///
    /// What is wrong with the module; nothing was changed then.
    pub fn start_supervisor(
        &mut self,
        module: &[u8],
        machine: &mut dyn Machine,
    ) -> Result<VmId, StartError> {
        if self.supervisor.is_some() {
            return Err(StartError::Started);
        }
        let (header, _) =
            ImageHeader::read_from_prefix(module).map_err(|_| StartError::NoHeader)?;
        header.validate().map_err(StartError::Header)?;
        let (file, arguments) = module
            .split_at_checked(u64_to_usize(header.file_len()))
            .ok_or(StartError::Truncated(header.file_len()))?;
        if arguments.len() > ARGUMENTS_MAX {
            return Err(StartError::ArgumentsTooLong(arguments.len()));
        }
        let image = self.new_image(header).map_err(StartError::Refused)?;
        let page_len = u64_to_usize(PAGE_SIZE);
        let contents = file.get(page_len..).unwrap_or_default();
        for (offset, page) in (0..).step_by(page_len).zip(contents.chunks(page_len)) {
            self.fill_image(image, offset, page, machine)
                .map_err(StartError::Refused)?;
        }

        let mut name = [0; NAME_MAX];
        for (place, byte) in name.iter_mut().zip(*b"supervisor") {
            *place = byte;
        }
        let network = NetworkConfig {
            mac: machine.nic_mac(),
            addressing: addressing::DHCP,
            ..NetworkConfig::default()
        };
        let spec = VmSpec {
            image,
            // What it knows of services grows with the host that has room for them.
            memory_pages: header
                .memory_pages
                .max(self.commit.total() / SUPERVISOR_PART),
            network,
            limits: Limits::default(),
            name,
            is_successor: false,
        };
        let boot = BootData {
            arguments,
            volumes: &[],
        };
        match self.create_vm(&spec, &boot, Entrance::Privileged, machine) {
            Ok(vm) => {
                let begun = Time::from_ns(0);
                let pause_ns = RESTART_PAUSE_NS_MIN / 2;
                let arguments = arguments.to_vec();
                self.supervisor = Some(Supervisor {
                    vm,
                    spec,
                    arguments,
                    begun,
                    pause_ns,
                });
                Ok(vm)
            }
            Err(errno) => {
                self.remove_image(image);
                Err(StartError::Refused(errno))
            }
        }
    }

    /// Replaces an ended supervisor by a new one from its image, which begins after a pause.
    pub(crate) fn restart_supervisor(&mut self, machine: &mut dyn Machine) {
        let Some(mut supervisor) = self.supervisor.take() else {
            return;
        };
        let now = machine.now();
        supervisor.pause_ns = if now.since_ns(supervisor.begun) >= RESTART_FORGIVEN_NS {
            RESTART_PAUSE_NS_MIN
        } else {
            (supervisor.pause_ns * 2).clamp(RESTART_PAUSE_NS_MIN, RESTART_PAUSE_NS_MAX)
        };
        let at = now.plus_ns(supervisor.pause_ns);
        if let Some(mut vm) = self.vms.remove(supervisor.vm) {
            self.frames.give_back_all(&mut vm.frames, None);
            self.commit.release(vm.promised);
        }
        let entrance = Entrance::PrivilegedAt(at);
        let boot = BootData {
            arguments: &supervisor.arguments,
            volumes: &[],
        };
        supervisor.vm = self
            .create_vm(&supervisor.spec, &boot, entrance, machine)
            .expect("the supervisor's image, memory and address were just given up");
        supervisor.begun = at;
        self.stats.supervisor_restarts += 1;
        self.trace.record(Event::SupervisorRestarts {
            vm: supervisor.vm,
            at,
        });
        self.supervisor = Some(supervisor);
    }

    /// Takes the supervisor's address from the first frame it sends, if it has none yet.
    ///
    /// Its network settings are in its boot configuration, which the kernel does not read. It may
    /// give any address to any VM, so it may as well give one to itself.
    pub(crate) fn adopt_supervisor_address(&mut self, from: VmId, frame: &[u8]) -> bool {
        let index = from.index();
        if self.supervisor_vm() != Some(from) || self.switch.address_of(index).is_some() {
            return false;
        }
        let Some((vm, address)) = self.vms.get_mut(from).zip(sender_address(frame)) else {
            return false;
        };
        let before = vm.network.offered(self.policies.net_offload.features());
        let config = NetworkConfig {
            addressing: addressing::STATIC,
            address,
            ..before
        };
        self.switch.disconnect(index);
        if self.switch.connect(index, &config).is_ok() {
            return true;
        }
        // The address is somebody else's. The port it just had is free, so this succeeds.
        let _restored = self.switch.connect(index, &before);
        false
    }

    /// Delivers a frame for nobody to the supervisor if it may be the question who it is: an ARP
    /// request while its address is unknown.
    pub(crate) fn ask_supervisor(&mut self, frame: &[u8], machine: &mut dyn Machine) -> bool {
        let Some(supervisor) = self.supervisor_vm() else {
            return false;
        };
        let unknown = self.switch.address_of(supervisor.index()).is_none();
        unknown && is_arp_request(frame) && self.deliver_frame(supervisor.index(), frame, machine)
    }
}
