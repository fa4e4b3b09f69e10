//! Copies of a service: `NAME-1`, `NAME-2` and so on, without gaps, which share an image and publish
//! no port.

use super::new_copy;
use crate::admission::{self, Need};
use crate::kernel::VmId;
use crate::refusal::Refused;
use crate::service::{Origin, Service};
use crate::supervisor::{Failure, Supervisor};
use alloc::format;
use alloc::sync::Arc;
use denali_abi::control::VmConfig;
use denali_abi::registers::NAME_MAX;

impl Supervisor {
    /// Returns how many copies of the service `name` there are: the first number that is free, less
    /// one.
    #[must_use]
    pub fn copies(&self, name: &str) -> u32 {
        let is_there = |number: &u32| self.table.get(&format!("{name}-{number}")).is_some();
        let there = (1..=u32::MAX).take_while(is_there);
        u32::try_from(there.count()).unwrap_or(u32::MAX)
    }

    /// Makes the copy with this number, of the first copy or of the service `name` itself.
    ///
    /// # Errors
    ///
    /// There is neither; it has volumes; or there is no room.
    pub fn add_copy(&mut self, name: &str, number: u32) -> Result<(), Failure> {
        let first = self.table.get(&format!("{name}-1"));
        let model = first.or_else(|| self.table.get(name));
        let model = model.ok_or(Failure::NoSuchService)?.clone();
        self.copy_of(&model, name, number, 0).map(drop)
    }

    /// Makes the copy with this number, of the service `name` itself and with flags of
    /// [`vm_flags`](denali_abi::control::vm_flags). Returns its VM; `None` if there is one of that
    /// name already.
    pub(crate) fn make_clone(
        &mut self,
        name: &str,
        number: u32,
        flags: u32,
    ) -> Result<Option<VmId>, Failure> {
        let model = self.table.get(name).ok_or(Failure::NoSuchService)?.clone();
        self.copy_of(&model, name, number, flags)
    }

    fn copy_of(
        &mut self,
        model: &Service,
        name: &str,
        number: u32,
        flags: u32,
    ) -> Result<Option<VmId>, Failure> {
        let Some(origin) = &model.origin else {
            return Err(Failure::Other(
                "the supervisor restarted since its deployment and lost its arguments: deploy it \
                 again"
                    .into(),
            ));
        };
        if !origin.volumes.is_empty() {
            return Err(Failure::Other("copies cannot have volumes".into()));
        }
        let copy = format!("{name}-{number}");
        if copy.len() > NAME_MAX {
            return Err(Failure::Other(format!(
                "`{copy}` is longer than {NAME_MAX} bytes"
            )));
        }
        let origin = if origin.publish.is_empty() {
            Arc::clone(origin)
        } else {
            Arc::new(Origin {
                publish: alloc::vec::Vec::new(),
                ..Origin::clone(origin)
            })
        };
        self.create_copy(model, &copy, origin, flags)
            .map_err(Failure::Refused)
    }

    fn create_copy(
        &mut self,
        model: &Service,
        copy: &str,
        origin: Arc<Origin>,
        flags: u32,
    ) -> Result<Option<VmId>, Refused> {
        if self.table.get(copy).is_some() {
            // Somebody removed one in between.
            return Ok(None);
        }
        let limit = self.table.limit();
        if self.table.len() >= limit {
            return Err(Refused::admission(format!(
                "all {limit} places for services are taken: remove one with `rm`"
            )));
        }
        let need = Need {
            image_pages: 0,
            memory_pages: u64::from(model.memory_pages),
        };
        let network = self.network(copy, None, None)?;
        let host = self.kernel.host_status();
        admission::place(need, &host, None)?;
        let mut service = new_copy(model, copy, network, origin);
        let (arguments, volumes) = match &service.origin {
            Some(origin) => (&origin.arguments[..], &origin.volumes[..]),
            None => (&[][..], &[][..]),
        };
        let config = VmConfig {
            flags,
            ..service.vm_config()
        };
        let created = self.kernel.vm_create(config, arguments, volumes);
        let vm = created.map_err(|errno| admission::refused_by_kernel(errno, need, &host))?;
        service.vm = Some(vm);
        self.table.insert(service);
        Ok(Some(vm))
    }
}
