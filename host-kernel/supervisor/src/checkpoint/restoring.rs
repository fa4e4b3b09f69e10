//! A service made of a checkpoint as it comes.
//!
//! Its VM is created frozen, filled, and let go when the file was found whole. Until then nothing of
//! the service counts, and what was made of it is taken back if anything is wrong.

use super::Facts;
use super::body::{Page, Target};
use super::sealed::Unsound;
use crate::admission::{self, Need};
use crate::kernel::{ImageId, VmId};
use crate::package::manifest::is_name;
use crate::refusal::Refused;
use crate::service::{Service, has_ended};
use crate::shared::Shared;
use crate::supervisor::Supervisor;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::time::Duration;
use denali_abi::control::{FrozenVm, VmConfig, vm_flags};
use denali_abi::errno::Errno;
use denali_abi::image::ImageHeader;
use denali_abi::layout::PAGE_SIZE;
use denali_protocol::Address;
use denali_rt::thread;

/// How often the kernel is asked for what a new VM is not ready for, and how long to wait between.
const TRIES: u32 = 10_000;
const PAUSE: Duration = Duration::from_millis(1);

/// A service that is being made.
#[derive(Debug)]
pub struct Restoring<'s> {
    shared: &'s Shared,
    wanted: &'s str,
    made: Option<Made>,
    /// Why it is refused, if that is more than the file.
    refused: Option<Refused>,
}

/// What was made of it so far.
#[derive(Debug)]
struct Made {
    service: Service,
    /// Whether the image is its own and not whole before all its pages came.
    has_own_image: bool,
    /// Pages of the image that are still to come.
    image_pages_left: u64,
    state: Option<Box<FrozenVm>>,
}

impl<'s> Restoring<'s> {
    /// Begins to make the service `wanted`.
    #[must_use]
    pub const fn new(wanted: &'s str, shared: &'s Shared) -> Self {
        Self {
            shared,
            wanted,
            made: None,
            refused: None,
        }
    }

    /// Returns why it is refused, where the file says no more than that.
    pub fn refusal(&mut self, unsound: Unsound) -> Refused {
        self.refused
            .take()
            .unwrap_or_else(|| Refused::package(unsound.0))
    }

    /// Lets the service go on, of which everything came.
    ///
    /// # Errors
    ///
    /// The kernel refuses its state; nothing is left of it then.
    pub fn finish(mut self) -> Result<(), Refused> {
        let malformed = || Refused::package("the checkpoint is malformed");
        let made = self.made.as_ref().ok_or_else(malformed)?;
        let (Some(vm), Some(state)) = (made.service.vm, &made.state) else {
            return Err(malformed());
        };
        let thawed = patiently(self.shared, |supervisor| {
            supervisor.kernel().vm_thaw(vm, Some(state))
        });
        thawed.map_err(|error| {
            Refused::package(format!(
                "the kernel refuses the checkpoint's state: {error}"
            ))
        })?;
        if let Some(made) = self.made.take() {
            self.shared.with(|supervisor| {
                supervisor.watch.forget(&made.service.name);
                supervisor.table.insert(made.service);
            });
        }
        Ok(())
    }

    /// Keeps a refusal, and ends the reading.
    fn refuse(&mut self, refused: Refused) -> Unsound {
        let line = Unsound(refused.message.clone());
        self.refused = Some(refused);
        line
    }

    fn refuse_errno(&mut self, errno: Errno) -> Unsound {
        let what = "the kernel refuses a page of the checkpoint";
        self.refuse(match errno {
            Errno::OutOfMemory | Errno::Busy => {
                Refused::admission(format!("there is no memory for the checkpoint: {errno}"))
            }
            _ => Refused::package(format!("{what}: {errno}")),
        })
    }

    /// Creates the VM, whose image is whole.
    fn create_vm(&mut self) -> Result<(), Unsound> {
        let Some(made) = &mut self.made else {
            return Ok(());
        };
        let created = self
            .shared
            .with(|supervisor| supervisor.create_frozen(&mut made.service));
        created.map_err(|refused| self.refuse(refused))
    }
}

impl Target for Restoring<'_> {
    fn facts(&mut self, facts: Facts, image: ImageHeader) -> Result<(), Unsound> {
        let begun = self
            .shared
            .with(|supervisor| supervisor.begin_restored(self.wanted, &facts, &image));
        match begun {
            Ok((service, has_own_image)) => {
                self.made = Some(Made {
                    service,
                    has_own_image,
                    image_pages_left: image.content_pages(),
                    state: None,
                });
                Ok(())
            }
            Err(refused) => Err(self.refuse(refused)),
        }
    }

    fn image_page(&mut self, index: u64, page: &Page) -> Result<(), Unsound> {
        let Some(made) = &mut self.made else {
            return Ok(());
        };
        made.image_pages_left = made.image_pages_left.saturating_sub(1);
        let is_whole = made.image_pages_left == 0;
        if made.has_own_image {
            let image = made.service.image;
            let written = self.shared.with(|supervisor| {
                let kernel = supervisor.kernel();
                kernel.image_write(image, index * PAGE_SIZE, page)
            });
            written.map_err(|errno| self.refuse_errno(errno))?;
        }
        if is_whole { self.create_vm() } else { Ok(()) }
    }

    fn page(&mut self, number: u32, page: &Page) -> Result<(), Unsound> {
        let vm = self.made.as_ref().and_then(|made| made.service.vm);
        let Some(vm) = vm else { return Ok(()) };
        let written = patiently(self.shared, |supervisor| {
            supervisor.kernel().page_write(vm, u64::from(number), page)
        });
        written.map_err(|errno| self.refuse_errno(errno))
    }

    fn state(&mut self, state: Box<FrozenVm>) -> Result<(), Unsound> {
        if let Some(made) = &mut self.made {
            made.state = Some(state);
        }
        Ok(())
    }
}

impl Drop for Restoring<'_> {
    fn drop(&mut self) {
        let Some(made) = self.made.take() else { return };
        let taken_back = self.shared.with(|supervisor| {
            let service = &made.service;
            if let Some(vm) = service.vm {
                supervisor.kernel.vm_stop(vm)?;
                supervisor.kernel.vm_destroy(vm)?;
            }
            if made.has_own_image {
                supervisor.kernel.image_destroy(service.image)?;
            }
            Ok::<(), Errno>(())
        });
        if let Err(error) = taken_back {
            log::warn!("a checkpoint that was refused is not freed: {error}");
        }
    }
}

impl Supervisor {
    /// Begins a service from what a checkpoint says of it. Returns it without VM, and whether it has
    /// an image of its own, which is empty.
    fn begin_restored(
        &mut self,
        wanted: &str,
        facts: &Facts,
        image: &ImageHeader,
    ) -> Result<(Service, bool), Refused> {
        if facts.name != wanted || !is_name(wanted) {
            return Err(Refused::usage(format!(
                "the checkpoint is of service `{}`, not `{wanted}`",
                facts.name.escape_debug()
            )));
        }
        let present = self.table.get(wanted).cloned();
        let mut service = match present {
            Some(present) => self.restored_in_place(present, facts)?,
            None => self.restored_anew(facts)?,
        };
        let need = Need {
            image_pages: image.content_pages(),
            memory_pages: u64::from(service.memory_pages),
        };
        let host = self.kernel.host_status();
        admission::place(need, &host, None)?;
        // The image of a service that is there is that of its digest.
        let is_there = self.table.get(wanted).map(|present| present.image);
        if let Some(found) = is_there.or_else(|| self.table.image_for(&service)) {
            service.image = found;
            return Ok((service, false));
        }
        let made = self.kernel.image_create(image);
        service.image = made.map_err(|errno| admission::refused_by_kernel(errno, need, &host))?;
        Ok((service, true))
    }

    /// Returns a service that is there, has ended, and goes on from a checkpoint of the same release.
    fn restored_in_place(&mut self, present: Service, facts: &Facts) -> Result<Service, Refused> {
        let name = &present.name;
        let status = present.vm.and_then(|vm| self.kernel.vm_status(vm).ok());
        if status.is_some_and(|status| !has_ended(&status)) {
            return Err(Refused::conflict(format!(
                "{name} runs: stop it first, or remove it"
            )));
        }
        if present.digest() != Some(&facts.digest) {
            return Err(Refused::conflict(format!(
                "the checkpoint is of another release of {name} than the one here"
            )));
        }
        let has_volumes = present.origin.as_ref().map_or(0, |it| it.volumes.len());
        if has_volumes != facts.volumes {
            return Err(Refused::conflict(format!(
                "the checkpoint is of {name} with {} volumes, and it has {has_volumes}",
                facts.volumes
            )));
        }
        Ok(Service {
            asked_to_stop: false,
            memory_pages: facts.memory_pages,
            ..present
        })
    }

    /// Returns a service that is not there.
    fn restored_anew(&mut self, facts: &Facts) -> Result<Service, Refused> {
        if facts.volumes > 0 {
            return Err(Refused::conflict(format!(
                "{} had volumes, which went with it: deploy it, stop it, then restore",
                facts.name
            )));
        }
        self.table.admit_ports(&facts.name, &facts.publish)?;
        self.drain_service(&facts.name);
        let free = |octets: &[u8; 4]| !self.table.has_address((*octets).into());
        let kept = facts.address.filter(free).map(Address::Static);
        let network = match self.network(&facts.name, kept, None) {
            Ok(network) => network,
            // It had an address that this host does not give any more.
            Err(_) if kept.is_some() => self.network(&facts.name, None, None)?,
            Err(refused) => return Err(refused),
        };
        Ok(Service {
            name: facts.name.as_str().into(),
            image: ImageId(0),
            vm: None,
            network,
            memory_pages: facts.memory_pages,
            limits: facts.limits,
            asked_to_stop: false,
            origin: Some(Arc::new(facts.origin())),
        })
    }

    /// Creates the frozen VM of a service, in the place of one that has ended.
    fn create_frozen(&mut self, service: &mut Service) -> Result<(), Refused> {
        if let Some(ended) = service.vm.take() {
            self.table
                .change(&service.name, |present| present.vm = None);
            let freed = self.kernel.vm_destroy(ended);
            freed
                .map_err(|error| Refused::admission(format!("cannot free its last VM: {error}")))?;
        }
        let need = Need {
            image_pages: 0,
            memory_pages: u64::from(service.memory_pages),
        };
        let host = self.kernel.host_status();
        let config = VmConfig {
            flags: vm_flags::FROZEN,
            ..service.vm_config()
        };
        let origin = service.origin.clone();
        let (arguments, volumes) = match &origin {
            Some(origin) => (&origin.arguments[..], &origin.volumes[..]),
            None => (&[][..], &[][..]),
        };
        let created = self.kernel.vm_create(config, arguments, volumes);
        let vm: VmId = created.map_err(|errno| admission::refused_by_kernel(errno, need, &host))?;
        service.vm = Some(vm);
        Ok(())
    }
}

/// Asks the kernel until the VM is ready for it: it may have to come into memory first.
pub(crate) fn patiently<R>(
    shared: &Shared,
    mut call: impl FnMut(&mut Supervisor) -> Result<R, Errno>,
) -> Result<R, Errno> {
    for _ in 0..TRIES {
        match shared.with(&mut call) {
            Err(Errno::Busy) => thread::sleep(PAUSE),
            result => return result,
        }
    }
    Err(Errno::Busy)
}
