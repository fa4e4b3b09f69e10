//! The supervisor is killed at any call it makes to kernel or disk, again and again: no service is
//! lost, none runs what nobody acknowledged, and VMs that nobody works on are not touched.

use crate::fixtures::{self, Memory, SharedKernel, Way, manifest};
use crate::health::fake::FakeNetwork;
use crate::keeper::Keeper;
use crate::kernel::{Kernel, VmId};
use crate::package;
use crate::releases::{self, Deployer};
use crate::service::has_ended;
use crate::shared::Shared;
use crate::supervisor::Supervisor;
use crate::table::SERVICES_MAX;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::ops::DerefMut;
use denali_store::{Contents, Device, IoError};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::println;
use std::sync::atomic::{AtomicI64, Ordering};

/// How many calls the supervisor lives on.
#[derive(Clone, Debug)]
struct Life(Arc<AtomicI64>);

/// What a supervisor that is killed unwinds with.
struct Killed;

impl Life {
    fn take_call(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) <= 0 {
            // Without the words of a panic.
            resume_unwind(Box::new(Killed));
        }
    }
}

/// Kernel or disk of a supervisor that may be killed at each call.
#[derive(Clone, Debug)]
struct Mortal<T> {
    inner: T,
    life: Life,
}

impl<T> Mortal<T> {
    fn call(&mut self) -> &mut T {
        self.life.take_call();
        &mut self.inner
    }
}

impl Way for Mortal<SharedKernel> {
    fn kernel(&mut self) -> impl DerefMut<Target: Kernel> {
        self.call()
    }
}

impl Device for Mortal<Memory> {
    fn blocks(&self) -> u64 {
        self.inner.blocks()
    }
    fn read(&mut self, block: u64, contents: &mut Contents) -> Result<(), IoError> {
        self.inner.read(block, contents)
    }
    fn write(&mut self, block: u64, contents: &Contents) -> Result<(), IoError> {
        self.call().write(block, contents)
    }
    fn flush(&mut self) -> Result<(), IoError> {
        self.call().flush()
    }
}

/// A host whose supervisor is killed now and then.
struct Host {
    kernel: SharedKernel,
    disk: Memory,
    life: Life,
    /// The version of each service that was acknowledged, and the one that was asked for since.
    expected: BTreeMap<String, (Option<u32>, Option<u32>)>,
}

impl Host {
    fn new() -> Self {
        let kernel = SharedKernel::new(1 << 16);
        kernel.lock().vms_max = 64;
        Self {
            kernel,
            disk: Memory::new(4096),
            life: Life(Arc::new(AtomicI64::new(i64::MAX))),
            expected: BTreeMap::new(),
        }
    }

    /// Begins a supervisor, which brings back what is kept.
    fn boot(&self) -> Shared {
        let (inner, life) = (self.disk.clone(), self.life.clone());
        let device = Mortal { inner, life };
        let (keeper, _) = Keeper::open(Box::new(device), 1).unwrap();
        let (inner, life) = (self.kernel.clone(), self.life.clone());
        let kernel = Box::new(Mortal { inner, life });
        let own = VmId(u64::MAX);
        let supervisor = Supervisor::new(kernel, fixtures::settings(), own, SERVICES_MAX);
        let shared = Shared::new(supervisor)
            .keeping(keeper)
            .asking(FakeNetwork::new(&self.kernel, |_, _| Ok(())));
        releases::restore(&shared);
        shared
    }

    fn set_life(&self, calls: i64) {
        self.life.0.store(calls, Ordering::Relaxed);
    }

    /// Works on a service until it is done or the supervisor is killed.
    fn work(&mut self, shared: &Shared, name: &str, version: u32) {
        let (acknowledged, wanted) = self.expected.entry(name.into()).or_default();
        *wanted = Some(version);
        let mut manifest = manifest(name);
        manifest.version = format!("{version}");
        manifest.publish.clear();
        let bytes = fixtures::package(&manifest);
        let package = package::parse(&bytes, name).unwrap();
        releases::deploy(shared, &bytes, package, &Deployer::default()).unwrap();
        *acknowledged = wanted.take();
    }

    /// Checks that each service is at the old or the new version and runs.
    fn check(&mut self, shared: &Shared, seed: u64) {
        for (name, (acknowledged, wanted)) in &mut self.expected {
            let found = shared.with(|supervisor| supervisor.view(name));
            let version = found.as_ref().and_then(|it| it.version.parse().ok());
            let is_old = version == *acknowledged;
            let is_new = wanted.is_some() && version == *wanted;
            assert!(
                is_old || is_new,
                "seed {seed}: {name} is {version:?}, was {acknowledged:?}, is to be {wanted:?}"
            );
            (*acknowledged, *wanted) = (version, None);
            let Some(service) = found else { continue };
            assert_eq!(
                service.state,
                denali_protocol::ServiceState::Running,
                "seed {seed}: {name}"
            );
        }
    }

    /// Returns the VMs that live.
    fn living(&self) -> usize {
        let kernel = self.kernel.lock();
        let vms = kernel.vms.values();
        vms.filter(|vm| !has_ended(&vm.status)).count()
    }
}

/// A generator of numbers that look random (Marsaglia 2003, xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound)).unwrap()
    }
}

/// `DENALI_KILLS` sets how many kills there are (200), `DENALI_SEED` the seed.
#[test]
fn no_service_is_lost_however_often_the_supervisor_is_killed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let kills: u64 = number("DENALI_KILLS").unwrap_or(200);
    let seed = number("DENALI_SEED").unwrap_or(1);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut host = Host::new();
    let bystander = {
        let shared = host.boot();
        host.work(&shared, "bystander", 1);
        host.kernel.vm_named("bystander")
    };
    let (mut killed, mut version) = (0, 1);
    while killed < kills {
        host.set_life(i64::from(random.below(120)));
        let died = catch_unwind(AssertUnwindSafe(|| {
            let shared = host.boot();
            for _ in 0..4 {
                version += 1;
                let name = ["web", "api", "db"][usize::try_from(random.below(3)).unwrap()];
                host.work(&shared, name, version);
            }
        }));
        if let Err(reason) = died {
            if !reason.is::<Killed>() {
                resume_unwind(reason);
            }
            killed += 1;
        }
        host.set_life(i64::MAX);
        let shared = host.boot();
        host.check(&shared, seed);
        assert_eq!(host.kernel.vm_named("bystander"), bystander);
        // What was replaced goes.
        for _ in 0..15 {
            host.kernel.lock().now_ns += 1_000_000_000;
            shared.with(Supervisor::see_off);
        }
        let services = shared.with(|supervisor| fixtures::list(supervisor).len());
        assert_eq!(
            host.living(),
            services,
            "seed {seed}: each VM is a service's"
        );
    }
    let services = host.expected.values().filter(|it| it.0.is_some()).count();
    println!("{killed} kills, {services} services, 0 lost");
    assert_eq!(services, 4);
}
