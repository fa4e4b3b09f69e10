//! The switch from one release to the next: both run, then one counts, then one is left.
//!
//! A release that was replaced serves on for a while: clients that know its address are led to the
//! new one only when they ask anew. Then it is asked to end, and at last it is ended.

use super::Deployed;
use crate::kernel::VmId;
use crate::refusal::Refused;
use crate::service::{Service, has_ended};
use crate::supervisor::Supervisor;
use alloc::vec::Vec;
use denali_abi::control::VmStatus;

/// How long a release that was replaced goes on as before, in nanoseconds.
const LINGER_NS: u64 = 2_000_000_000;

/// How long it may take to end by itself after that, in nanoseconds.
const GRACE_NS: u64 = 10_000_000_000;

/// A release that runs, while its predecessor still counts.
#[derive(Debug)]
#[must_use = "both releases run until one is chosen"]
pub struct Begun {
    pub(super) service: Service,
    /// Its predecessor, whose VM is there if there was room for both.
    pub(super) old: Option<Service>,
}

/// How a predecessor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It is ended.
    AtOnce,
    /// It finishes what it has begun.
    Gentle,
}

/// A release that was replaced and has not ended.
#[derive(Debug)]
pub(crate) struct Leaving {
    service: Service,
    vm: VmId,
    /// When it is asked to end; `None` once it was.
    ask_at_ns: Option<u64>,
    end_at_ns: u64,
}

impl Begun {
    /// Returns the new VM.
    #[must_use]
    pub const fn vm(&self) -> Option<VmId> {
        self.service.vm
    }

    /// Returns whether a predecessor serves on.
    #[must_use]
    pub fn is_beside_another(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.vm.is_some())
    }
}

impl Supervisor {
    /// Makes the new release the one that counts, and lets its predecessor go.
    ///
    /// # Errors
    ///
    /// The service was removed or replaced meanwhile; the new release is gone then.
    pub fn finish(&mut self, begun: Begun, farewell: Farewell) -> Result<Deployed, Refused> {
        let name = begun.service.name.clone();
        let present = self.table.get(&name).map(|service| service.vm);
        let expected = begun.old.as_ref().map(|old| old.vm);
        if present.flatten() != expected.flatten() {
            self.abandon(begun);
            return Err(Refused::conflict(
                "the service was changed by somebody else meanwhile: deploy again",
            ));
        }
        let Begun { service, old } = begun;
        self.table.insert(service);
        let replaced = old.is_some();
        if let Some(old) = old {
            self.let_go(old, farewell);
        }
        self.deployed(&name, replaced)
            .ok_or_else(|| Refused::admission("it vanished"))
    }

    /// Frees a release that is not to be; its predecessor counts on.
    pub fn abandon(&mut self, begun: Begun) {
        if let Err(error) = self.free(&begun.service) {
            log::warn!("cannot free a release of {}: {error}", begun.service.name);
        }
    }

    /// Returns the state of the new VM.
    pub fn status_of(&mut self, begun: &Begun) -> Option<VmStatus> {
        self.kernel.vm_status(begun.service.vm?).ok()
    }

    fn let_go(&mut self, old: Service, farewell: Farewell) {
        let lives = |status: VmStatus| !has_ended(&status);
        let status = old.vm.and_then(|vm| self.kernel.vm_status(vm).ok());
        match old.vm.filter(|_| status.is_some_and(lives)) {
            Some(vm) if farewell == Farewell::Gentle => {
                let now_ns = self.kernel.host_status().now_ns;
                let ask_at_ns = now_ns.saturating_add(LINGER_NS);
                self.leaving.push(Leaving {
                    service: old,
                    vm,
                    ask_at_ns: Some(ask_at_ns),
                    end_at_ns: ask_at_ns.saturating_add(GRACE_NS),
                });
            }
            _ => self.free_old(&old),
        }
    }

    fn free_old(&mut self, old: &Service) {
        if let Err(error) = self.free(old) {
            log::warn!("cannot free the last release of {}: {error}", old.name);
        }
    }

    /// Asks releases to end whose time has come, and frees those that have ended or took too long.
    pub fn see_off(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let now_ns = self.kernel.host_status().now_ns;
        let mut stay = Vec::new();
        for mut leaving in core::mem::take(&mut self.leaving) {
            if self.has_ended(leaving.vm) || now_ns >= leaving.end_at_ns {
                self.free_old(&leaving.service);
                continue;
            }
            if leaving.ask_at_ns.is_some_and(|at| now_ns >= at) {
                leaving.ask_at_ns = None;
                if let Err(error) = self.kernel.vm_ask_to_stop(leaving.vm, leaving.end_at_ns) {
                    log::warn!("cannot ask {} to end: {error}", leaving.service.name);
                }
            }
            stay.push(leaving);
        }
        self.leaving = stay;
    }

    /// Ends the releases of a service that are leaving.
    pub(crate) fn drain_service(&mut self, name: &str) {
        let all = core::mem::take(&mut self.leaving);
        let (its, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|leaving| leaving.service.name == name);
        self.leaving = others;
        for leaving in its {
            self.free_old(&leaving.service);
        }
    }

    /// Ends all releases that are leaving. Returns whether there were any.
    pub(super) fn drain_all(&mut self) -> bool {
        let all = core::mem::take(&mut self.leaving);
        for leaving in &all {
            self.free_old(&leaving.service);
        }
        !all.is_empty()
    }
}
