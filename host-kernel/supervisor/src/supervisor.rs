//! The supervisor's state and the life of a service after its deployment.

use crate::admission;
use crate::config::Settings;
use crate::deploy::{Aside, Farewell};
use crate::events::Events;
use crate::kernel::{Kernel, VmId};
use crate::pool::Pool;
use crate::refusal::Refused;
use crate::service::{Service, has_ended};
use crate::table::Table;
use crate::watch::Watch;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use denali_abi::control::PagingStatus;
use denali_abi::errno::Errno;
use denali_abi::layout::PAGE_SIZE;
use denali_protocol::{self as protocol, Limits};

/// Services looked at for one page of a list, at most.
const PAGE_SERVICES: usize = 64;

/// Kernel, table and settings of one host.
pub struct Supervisor {
    pub(crate) kernel: Box<dyn Kernel + Send>,
    pub(crate) table: Table,
    pub(crate) settings: Settings,
    pub(crate) pool: Option<Pool>,
    /// Releases beside those that count: the next, and those that were replaced.
    pub(crate) aside: Vec<Aside>,
    pub(crate) watch: Watch,
    pub(crate) events: Events,
    /// The supervisor's own VM, which is no service.
    own: VmId,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// Why something asked of a service is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no service of that name.
    NoSuchService,
    /// The gatekeeper refuses.
    Refused(Refused),
    /// Anything else, in words.
    Other(String),
}

impl Supervisor {
    /// Returns a supervisor of at most `services_max` services that knows those whose VMs the kernel
    /// has already.
    #[must_use]
    pub fn new(
        kernel: Box<dyn Kernel + Send>,
        settings: Settings,
        own: VmId,
        services_max: usize,
    ) -> Self {
        let pool = settings
            .pool_start
            .zip(settings.subnet)
            .map(|(start, subnet)| Pool::new(subnet, start));
        let mut supervisor = Self {
            kernel,
            table: Table::new(services_max),
            settings,
            pool,
            aside: Vec::new(),
            watch: Watch::default(),
            events: Events::default(),
            own,
        };
        supervisor.rebuild();
        supervisor
    }

    /// Returns what the supervisor was told at boot.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns up to `count` services behind the name `after` as clients see them, in order of name,
    /// as far as `wanted`; and the name of the last one looked at, if there may be more.
    ///
    /// It looks at a bounded number of services, so others get their turn between two calls.
    pub fn page(
        &mut self,
        after: Option<&str>,
        count: usize,
        wanted: impl Fn(&protocol::Service) -> bool,
    ) -> (Vec<protocol::Service>, Option<Arc<str>>) {
        let now_ns = self.kernel.host_status().now_ns;
        let Self {
            kernel,
            table,
            watch,
            ..
        } = self;
        let mut found = Vec::new();
        let mut last = None;
        let mut services = table.iter_behind(after);
        for service in services.by_ref().take(PAGE_SERVICES) {
            last = Some(Arc::clone(&service.name));
            let status = service.vm.and_then(|vm| kernel.vm_status(vm).ok());
            let mut view = service.view(status.as_ref(), now_ns);
            watch.add_to(&mut view, now_ns);
            if wanted(&view) {
                found.push(view);
            }
            if found.len() >= count {
                break;
            }
        }
        let is_over = services.next().is_none();
        (found, last.filter(|_| !is_over))
    }

    /// Returns what is known of the service `name`.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.table.get(name)
    }

    /// Returns up to `count` names of services behind a name, in order.
    #[must_use]
    pub fn names_behind(&self, after: Option<&str>, count: usize) -> Vec<Arc<str>> {
        let services = self.table.iter_behind(after).take(count);
        services.map(|service| Arc::clone(&service.name)).collect()
    }

    /// Returns up to `count` names of services that begin so, in order.
    #[must_use]
    pub fn names_from(&self, prefix: &str, count: usize) -> Vec<Arc<str>> {
        let services = self.table.iter_from(prefix).take(count);
        let names = services.map(|service| Arc::clone(&service.name));
        names.take_while(|name| name.starts_with(prefix)).collect()
    }

    /// Returns the service `name` as clients see it.
    pub fn view(&mut self, name: &str) -> Option<protocol::Service> {
        let service = self.table.get(name)?;
        let status = service.vm.and_then(|vm| self.kernel.vm_status(vm).ok());
        let now_ns = self.kernel.host_status().now_ns;
        let mut view = service.view(status.as_ref(), now_ns);
        self.watch.add_to(&mut view, now_ns);
        Some(view)
    }

    /// Returns the host as clients see it.
    pub fn host(&mut self) -> protocol::Host {
        let host = self.kernel.host_status();
        let own = self.kernel.vm_status(self.own);
        let own_pages = own.map_or(0, |status| u64::from(status.resident_pages));
        protocol::Host {
            version: env!("CARGO_PKG_VERSION").into(),
            abi_version: host.abi_version,
            memory_total: host.frames_total * PAGE_SIZE,
            memory_available: admission::available_pages(&host) * PAGE_SIZE,
            memory_free: host.frames_free * PAGE_SIZE,
            memory_supervisor: own_pages * PAGE_SIZE,
            vms: host.vms,
            vms_max: host.vms_max,
            uptime_ns: host.now_ns,
            idle_ns: host.idle_ns,
            nic_rx_frames: host.nic_rx_frames,
            nic_tx_frames: host.nic_tx_frames,
            nic_dropped: host.nic_dropped,
            paging: paging_of(&host.paging),
            store: None,
        }
    }

    /// Returns the VM of the service `name`, if it has one, for its console.
    ///
    /// # Errors
    ///
    /// [`Failure::NoSuchService`].
    pub fn vm_of(&self, name: &str) -> Result<Option<VmId>, Failure> {
        self.table
            .get(name)
            .map(|service| service.vm)
            .ok_or(Failure::NoSuchService)
    }

    /// Returns what happened, for those who note it or ask.
    pub const fn events(&mut self) -> &mut Events {
        &mut self.events
    }

    /// Takes over the last lines of services that ended by themselves before this boot.
    pub(crate) fn load_words(&mut self, kept: Vec<(String, Vec<u8>)>) {
        self.watch.load_words(kept);
    }

    /// Returns the last lines of the VM that the service `name` had before, if that ended by itself.
    #[must_use]
    pub fn last_words(&self, name: &str) -> Option<&[u8]> {
        self.watch.last_words(name)
    }

    /// Returns the kernel, for a console.
    pub fn kernel(&mut self) -> &mut dyn Kernel {
        &mut *self.kernel
    }

    /// Ends the VM of the service `name`; console and reason stay readable. A service that has
    /// ended already stays as it is. Releases that were replaced end, too: their addresses are its own.
    ///
    /// # Errors
    ///
    /// No such service, or the kernel's refusal.
    pub fn stop(&mut self, name: &str) -> Result<(), Failure> {
        let vm = self.vm_of(name)?;
        self.drain_service(name);
        self.watch.forget(name);
        let Some(vm) = vm else { return Ok(()) };
        self.table
            .change(name, |service| service.asked_to_stop = true);
        self.kernel
            .vm_stop(vm)
            .map_err(|error| Failure::Other(format!("cannot stop: {error}")))
    }

    /// Asks the service `name` to end by itself within `grace`. Nothing happens when that is over.
    ///
    /// # Errors
    ///
    /// No such service, or the kernel's refusal.
    pub fn ask_to_stop(&mut self, name: &str, grace: Duration) -> Result<(), Failure> {
        let Some(vm) = self.vm_of(name)? else {
            return Ok(());
        };
        if self.has_ended(vm) {
            return Ok(());
        }
        let grace_ns = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = self.kernel.host_status().now_ns.saturating_add(grace_ns);
        self.kernel
            .vm_ask_to_stop(vm, deadline_ns)
            .map_err(|error| Failure::Other(format!("cannot stop: {error}")))?;
        self.table
            .change(name, |service| service.asked_to_stop = true);
        Ok(())
    }

    /// Returns whether a VM has ended or is gone.
    pub fn has_ended(&mut self, vm: VmId) -> bool {
        let status = self.kernel.vm_status(vm);
        status.map_or(true, |status| has_ended(&status))
    }

    /// Runs the service `name` again from its image.
    ///
    /// # Errors
    ///
    /// No such service; it runs already; there is no room; or its arguments are not known any more.
    pub fn start(&mut self, name: &str) -> Result<(), Failure> {
        self.start_again(name)?;
        self.watch.forget(name);
        Ok(())
    }

    /// Runs a service again as [`start`](Self::start) does, and remembers how often it ended.
    pub(crate) fn start_again(&mut self, name: &str) -> Result<(), Failure> {
        let service = self.table.get(name).ok_or(Failure::NoSuchService)?.clone();
        let status = service.vm.and_then(|vm| self.kernel.vm_status(vm).ok());
        if status.is_some_and(|status| !has_ended(&status)) {
            return Err(Failure::Other("runs already: stop it first".into()));
        }
        let Some(origin) = &service.origin else {
            return Err(Failure::Other(
                "the supervisor restarted since its deployment and lost its arguments: \
                 deploy it again"
                    .into(),
            ));
        };
        let need = admission::Need {
            image_pages: 0,
            memory_pages: u64::from(service.memory_pages),
        };
        // They have its addresses.
        self.drain_service(name);
        let mut host = self.kernel.host_status();
        if need.memory_pages > admission::available_pages(&host) && self.drain_all() {
            host = self.kernel.host_status();
        }
        if need.memory_pages > admission::available_pages(&host) {
            let refused = admission::no_room(need.memory_pages, admission::available_pages(&host));
            return Err(Failure::Refused(refused));
        }
        if let Some(vm) = service.vm {
            self.kernel
                .vm_destroy(vm)
                .map_err(|error| Failure::Other(format!("cannot free its last VM: {error}")))?;
        }
        let created =
            self.kernel
                .vm_create(service.vm_config(), &origin.arguments, &origin.volumes);
        self.table.change(name, |entry| {
            entry.vm = created.ok();
            entry.asked_to_stop = false;
        });
        created
            .map(|_| ())
            .map_err(|errno| Failure::Refused(admission::refused_by_kernel(errno, need, &host)))
    }

    /// Changes what the service `name` may take, now and whenever it runs again.
    ///
    /// # Errors
    ///
    /// No such service, or the kernel's refusal; nothing was changed then.
    pub fn set_limits(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Limits),
    ) -> Result<(), Failure> {
        let service = self.table.get(name).ok_or(Failure::NoSuchService)?;
        let (vm, mut limits) = (service.vm, service.limits);
        change(&mut limits);
        if let Some(vm) = vm {
            self.kernel
                .vm_limits(vm, &limits.to_abi())
                .map_err(|error| Failure::Other(format!("cannot change its limits: {error}")))?;
        }
        self.table.change(name, |service| service.limits = limits);
        Ok(())
    }

    /// Ends the service `name` and frees everything it had.
    ///
    /// # Errors
    ///
    /// No such service, or the kernel's refusal.
    pub fn remove(&mut self, name: &str) -> Result<(), Failure> {
        let service = self.table.get(name).ok_or(Failure::NoSuchService)?.clone();
        self.drain_service(name);
        self.free(&service)
            .map_err(|error| Failure::Other(format!("cannot remove: {error}")))?;
        self.table.remove(name);
        self.watch.remove(name);
        Ok(())
    }

    /// Frees VM and image of a service.
    pub(crate) fn free(&mut self, service: &Service) -> Result<(), Errno> {
        if let Some(vm) = service.vm {
            self.kernel.vm_stop(vm)?;
            self.kernel.vm_destroy(vm)?;
        }
        let has_image = self.table.shares_image(service);
        if has_image || self.is_image_aside(service.image, service.vm) {
            return Ok(());
        }
        self.kernel.image_destroy(service.image)
    }

    /// Lets a VM go on that the last supervisor had frozen, and frees one that it had not finished.
    /// Returns whether the VM stays.
    fn finds_whole(&mut self, vm: VmId) -> bool {
        if self.kernel.vm_thaw(vm, None) != Err(Errno::Busy) {
            return true;
        }
        let freed = self
            .kernel
            .vm_stop(vm)
            .and_then(|()| self.kernel.vm_destroy(vm));
        if let Err(error) = freed {
            log::warn!("VM {} was not finished and is not freed: {error}", vm.0);
        }
        false
    }

    /// Fills the table from the kernel's VMs, which outlive a supervisor.
    ///
    /// Two VMs of one name are what an interrupted replacement leaves: the younger one counts, until
    /// the store says otherwise.
    fn rebuild(&mut self) {
        let mut after = None;
        for _ in 0..=self.table.limit() {
            let Some(vm) = self.kernel.vm_next(after) else {
                break;
            };
            after = Some(vm);
            let Ok(status) = self.kernel.vm_status(vm) else {
                continue;
            };
            if vm == self.own || !self.finds_whole(vm) {
                continue;
            }
            let service = Service::from_status(&status);
            let other = self.table.get(&service.name).and_then(|other| other.vm);
            match other.and_then(|other| self.kernel.vm_status(other).ok()) {
                Some(other) if other.created_ns >= status.created_ns => {
                    self.let_go(service, Farewell::Gentle);
                }
                other => {
                    self.table.insert(service);
                    if let Some(older) = other {
                        self.let_go(Service::from_status(&older), Farewell::Gentle);
                    }
                }
            }
        }
    }
}

/// Returns what clients see of paging.
fn paging_of(status: &PagingStatus) -> protocol::Paging {
    protocol::Paging {
        swap_total: status.swap_blocks * PAGE_SIZE,
        swap_available: status.swap_free * PAGE_SIZE,
        departures: status.departures,
        arrivals: status.arrivals,
        wakes: status.wakes,
        wake_mean_ns: status.wake_ns.checked_div(status.arrivals).unwrap_or(0),
        wake_latency_ns: [500, 900, 990, 1000]
            .map(|part| status.wake_latency.percentile_ns(part).unwrap_or(0)),
        faults: status.faults,
        page_ins: status.page_ins,
        page_outs: status.page_outs,
        blocks_read: status.blocks_read,
        blocks_written: status.blocks_written,
        pages_dropped: status.pages_dropped,
        gate_closed: status.gate_closed,
        stalls: status.stalls,
        disk_errors: status.disk_errors,
        corrupt: status.corrupt,
        frames_dropped: status.frames_dropped,
        refused: status.refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, SharedKernel, manifest};
    use crate::kernel::fake::Call;
    use crate::package;
    use denali_abi::end::EndReason;
    use denali_protocol::ServiceState;

    fn with_service(kernel: &SharedKernel) -> Supervisor {
        let mut supervisor = kernel.supervisor();
        let bytes = fixtures::package(&manifest("web"));
        supervisor
            .deploy(package::parse(&bytes, "web").unwrap())
            .unwrap();
        supervisor
    }

    fn state(supervisor: &mut Supervisor) -> ServiceState {
        supervisor.view("web").unwrap().state
    }

    #[test]
    fn a_stopped_service_keeps_its_log_and_starts_again() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        supervisor.stop("web").unwrap();
        assert_eq!(state(&mut supervisor), ServiceState::Stopped);
        assert_eq!(kernel.lock().vms.len(), 1);
        supervisor.start("web").unwrap();
        assert_eq!(state(&mut supervisor), ServiceState::Running);
        let vm = kernel.vm_named("web");
        assert_eq!(
            kernel.lock().vms[&vm.0].arguments,
            b"--verbose\0\0LEVEL=info\0"
        );
        assert_eq!(kernel.counts(), (1, 1));
    }

    #[test]
    fn stopping_twice_does_no_harm_and_keeps_the_reason() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        kernel.end("web", EndReason::DivideError, 0);
        supervisor.stop("web").unwrap();
        assert_eq!(state(&mut supervisor), ServiceState::Crashed);
    }

    #[test]
    fn a_running_service_cannot_be_started() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        assert!(matches!(supervisor.start("web"), Err(Failure::Other(_))));
    }

    #[test]
    fn a_start_that_fails_can_be_tried_again() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        supervisor.stop("web").unwrap();
        kernel
            .lock()
            .failures
            .push((Call::VmCreate, Errno::OutOfMemory));
        assert!(matches!(supervisor.start("web"), Err(Failure::Refused(_))));
        assert_eq!(state(&mut supervisor), ServiceState::Stopped);
        supervisor.stop("web").unwrap();
        supervisor.start("web").unwrap();
        assert_eq!(state(&mut supervisor), ServiceState::Running);
    }

    #[test]
    fn a_start_without_room_keeps_the_log() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        supervisor.stop("web").unwrap();
        kernel.lock().frames_total = 100;
        assert!(matches!(supervisor.start("web"), Err(Failure::Refused(_))));
        assert_eq!(kernel.lock().vms.len(), 1);
    }

    #[test]
    fn limits_hold_now_and_after_a_new_start() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        let of_vm = || {
            let vm = kernel.vm_named("web");
            Limits::from_abi(&kernel.lock().vms[&vm.0].status.limits)
        };
        assert_eq!(of_vm(), Limits::default());
        let halve = |limits: &mut Limits| limits.cpu_cap = Some(500);
        supervisor.set_limits("web", halve).unwrap();
        assert_eq!(of_vm().cpu_cap, Some(500));
        supervisor.stop("web").unwrap();
        supervisor.start("web").unwrap();
        assert_eq!(of_vm().cpu_cap, Some(500));
        assert_eq!(supervisor.view("web").unwrap().limits.cpu_cap, Some(500));
        drop(supervisor);
        let mut restarted = kernel.supervisor();
        assert_eq!(restarted.view("web").unwrap().limits.cpu_cap, Some(500));
        assert_eq!(
            restarted.set_limits("x", halve),
            Err(Failure::NoSuchService)
        );
    }

    #[test]
    fn limits_the_kernel_refuses_change_nothing() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        let failure = (Call::VmLimits, Errno::Invalid);
        kernel.lock().failures.push(failure);
        let refused = supervisor.set_limits("web", |limits| limits.cpu_weight = 1);
        assert!(matches!(refused, Err(Failure::Other(_))));
        assert_eq!(supervisor.view("web").unwrap().limits, Limits::default());
    }

    #[test]
    fn removing_frees_everything() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        supervisor.remove("web").unwrap();
        assert_eq!(kernel.counts(), (0, 0));
        assert_eq!(supervisor.remove("web"), Err(Failure::NoSuchService));
        assert_eq!(fixtures::list(&mut supervisor), []);
    }

    #[test]
    fn a_service_from_before_a_restart_can_be_stopped_but_not_started() {
        let kernel = SharedKernel::new(1000);
        drop(with_service(&kernel));
        let mut supervisor = kernel.supervisor();
        supervisor.stop("web").unwrap();
        let Err(Failure::Other(message)) = supervisor.start("web") else {
            panic!("started")
        };
        assert!(message.contains("deploy it again"));
    }

    #[test]
    fn the_host_shows_what_can_still_be_promised() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = with_service(&kernel);
        let host = supervisor.host();
        assert_eq!(host.memory_total, 1000 * 4096);
        assert_eq!(host.memory_available, (1000 - 259) * 4096);
        assert_eq!(host.vms, 1);
    }
}
