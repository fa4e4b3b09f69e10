//! The switch from one release to the next: both run, then one counts, then one is left.
//!
//! Both have the same addresses, and the kernel leads clients that come to the one that counts. A release
//! that was replaced finishes what it has begun: it serves on for a while, for clients that know another
//! address if it had one, then is asked to end, and at last it is ended.

use super::Deployed;
use crate::kernel::{ImageId, VmId};
use crate::refusal::Refused;
use crate::service::{Service, has_ended};
use crate::supervisor::Supervisor;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use denali_abi::control::VmStatus;

/// How long a release that was replaced goes on as before, in nanoseconds.
pub(crate) const LINGER_NS: u64 = 2_000_000_000;

/// How long it may take to end by itself after that, in nanoseconds.
pub(crate) const GRACE_NS: u64 = 10_000_000_000;

/// What there is to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    /// Nothing: there is no predecessor, or it does not run.
    Nothing,
    /// The predecessor, which serves on.
    Serving,
    /// The predecessor, which had to make way and can be started again.
    MadeWay,
}

/// A release that runs, while its predecessor still counts.
#[derive(Debug)]
#[must_use = "both releases run until one is chosen"]
pub struct Begun {
    pub(super) name: Arc<str>,
    pub(super) vm: VmId,
    /// Its predecessor, whose VM is there if there was room for both.
    pub(super) old: Option<Service>,
    pub(super) fallback: Fallback,
}

/// How a predecessor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It is ended.
    AtOnce,
    /// It finishes what it has begun.
    Gentle,
}

/// A release beside the one that counts.
#[derive(Debug)]
pub(crate) struct Aside {
    service: Service,
    vm: VmId,
    stage: Stage,
}

/// What it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is to be the next that counts.
    Coming,
    /// It was replaced; it is asked to end at a point in time.
    Serving { ask_at_ns: u64 },
    /// It was asked to end until a point in time.
    Asked { end_at_ns: u64 },
}

impl Begun {
    /// Returns the new VM.
    #[must_use]
    pub const fn vm(&self) -> VmId {
        self.vm
    }

    /// Returns whether there is a predecessor to go back to.
    #[must_use]
    pub fn can_go_back(&self) -> bool {
        self.fallback != Fallback::Nothing
    }
}

impl Supervisor {
    /// Makes the new release the one that counts, and lets its predecessor go.
    ///
    /// # Errors
    ///
    /// The service was removed, stopped or replaced meanwhile; the new release is gone then.
    pub fn finish(&mut self, begun: Begun, farewell: Farewell) -> Result<Deployed, Refused> {
        let present = self.table.get(&begun.name).map(|service| service.vm);
        let expected = begun.old.as_ref().map(|old| old.vm);
        if present != expected {
            self.drop_aside(begun.vm);
            return Err(Refused::conflict(
                "the service was changed by somebody else meanwhile: deploy again",
            ));
        }
        let Begun { name, vm, old, .. } = begun;
        let service = self
            .take_aside(vm)
            .ok_or_else(|| Refused::admission("it vanished"))?;
        if let Err(error) = self.kernel.vm_succeed(vm) {
            self.free_old(&service);
            return Err(Refused::admission(format!(
                "it cannot take over: {error}; deploy again"
            )));
        }
        self.table.insert(service);
        self.watch.forget(&name);
        let replaced = old.is_some();
        if let Some(old) = old {
            self.let_go(old, farewell);
        }
        self.deployed(&name, replaced)
            .ok_or_else(|| Refused::admission("it vanished"))
    }

    /// Frees a release that is not to be; its predecessor counts on, if need be started again.
    /// Returns in words what serves now.
    pub fn abandon(&mut self, begun: Begun) -> String {
        self.drop_aside(begun.vm);
        match (begun.fallback, begun.old) {
            (Fallback::MadeWay, Some(old)) if self.table.get(&old.name).is_some() => {
                self.take_back(old)
            }
            _ => "the last release serves on".into(),
        }
    }

    /// Returns the state of the new VM.
    pub fn status_of(&mut self, begun: &Begun) -> Option<VmStatus> {
        self.kernel.vm_status(begun.vm).ok()
    }

    /// Holds a release that was just begun.
    pub(super) fn put_aside(&mut self, service: Service, vm: VmId) {
        let stage = Stage::Coming;
        self.aside.push(Aside { service, vm, stage });
    }

    /// Lets a release go that counts no more.
    pub(crate) fn let_go(&mut self, old: Service, farewell: Farewell) {
        let lives = |status: VmStatus| !has_ended(&status);
        let status = old.vm.and_then(|vm| self.kernel.vm_status(vm).ok());
        match old.vm.filter(|_| status.is_some_and(lives)) {
            Some(vm) if farewell == Farewell::Gentle => {
                let now_ns = self.kernel.host_status().now_ns;
                let ask_at_ns = now_ns.saturating_add(LINGER_NS);
                self.aside.push(Aside {
                    service: old,
                    vm,
                    stage: Stage::Serving { ask_at_ns },
                });
            }
            _ => self.free_old(&old),
        }
    }

    /// Asks releases to end whose time has come, and frees those that have ended or took too long.
    pub fn see_off(&mut self) {
        if self.aside.is_empty() {
            return;
        }
        let now_ns = self.kernel.host_status().now_ns;
        let mut over = Vec::new();
        for index in 0..self.aside.len() {
            let Aside { vm, stage, .. } = self.aside[index];
            let is_over = match stage {
                Stage::Coming => false,
                Stage::Serving { .. } => self.has_ended(vm),
                Stage::Asked { end_at_ns } => now_ns >= end_at_ns || self.has_ended(vm),
            };
            if is_over {
                over.push(vm);
            }
            if let Stage::Serving { ask_at_ns } = stage
                && now_ns >= ask_at_ns
            {
                let end_at_ns = now_ns.saturating_add(GRACE_NS);
                self.aside[index].stage = Stage::Asked { end_at_ns };
                if let Err(error) = self.kernel.vm_ask_to_stop(vm, end_at_ns) {
                    let name = &self.aside[index].service.name;
                    log::warn!("cannot ask the last release of {name} to end: {error}");
                }
            }
        }
        for vm in over {
            self.drop_aside(vm);
        }
    }

    /// Ends the releases of a service that were replaced.
    pub(crate) fn drain_service(&mut self, name: &str) {
        self.drain(|service| *service.name == *name);
    }

    /// Ends all releases that were replaced. Returns whether there were any.
    pub(crate) fn drain_all(&mut self) -> bool {
        self.drain(|_| true)
    }

    fn drain(&mut self, which: impl Fn(&Service) -> bool) -> bool {
        let leaving = self.aside.iter().filter(|it| it.stage != Stage::Coming);
        let leaving = leaving.filter(|it| which(&it.service));
        let vms: Vec<VmId> = leaving.map(|it| it.vm).collect();
        for vm in &vms {
            self.drop_aside(*vm);
        }
        !vms.is_empty()
    }

    /// Takes back a release of `name` that was leaving, if its VM is there.
    pub(super) fn recall(&mut self, name: &str) -> Option<Service> {
        let leaves = |it: &Aside| it.stage != Stage::Coming && *it.service.name == *name;
        let index = self.aside.iter().position(leaves)?;
        Some(self.aside.remove(index).service)
    }

    /// Returns whether a release beside those that count has an image.
    pub(crate) fn is_image_aside(&self, image: ImageId, but: Option<VmId>) -> bool {
        let has = |it: &Aside| it.service.image == image && Some(it.vm) != but;
        self.aside.iter().any(has)
    }

    /// Returns whether a release beside those that count has an address.
    pub(super) fn is_address_aside(aside: &[Aside], address: Ipv4Addr) -> bool {
        let has = |it: &Aside| it.service.network.address == address.octets();
        aside.iter().any(has)
    }

    /// Returns whether a release beside those that count has a hardware address.
    pub(super) fn is_mac_aside(&self, mac: [u8; 6]) -> bool {
        self.aside.iter().any(|it| it.service.network.mac == mac)
    }

    fn take_aside(&mut self, vm: VmId) -> Option<Service> {
        let index = self.aside.iter().position(|it| it.vm == vm)?;
        Some(self.aside.remove(index).service)
    }

    fn drop_aside(&mut self, vm: VmId) {
        if let Some(service) = self.take_aside(vm) {
            self.free_old(&service);
        }
    }

    pub(super) fn free_old(&mut self, old: &Service) {
        if let Err(error) = self.free(old) {
            log::warn!("cannot free a release of {}: {error}", old.name);
        }
    }
}

/// Returns the words for a predecessor that was started again, or not.
pub(super) fn words_of(created: Result<VmId, denali_abi::errno::Errno>) -> String {
    match created {
        Ok(_) => "the last release was started again".into(),
        Err(error) => format!("the last release could not be started again: {error}"),
    }
}
