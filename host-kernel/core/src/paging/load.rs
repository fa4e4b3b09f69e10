//! How much VMs wait for pages: what the gatekeeper hears of, to keep out who would make it worse.

use crate::kernel::Kernel;
use crate::policy::gatekeeper::Load;
use crate::time::Time;
use denali_abi::control::VmState;
use denali_abi::convert::usize_to_u64;

/// How often the gatekeeper hears of it, in nanoseconds.
const INTERVAL_NS: u64 = 100_000_000;

/// Time waited in the current interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LoadMeter {
    began: Time,
    looked: Time,
    /// VMs that waited when it was looked last.
    waiting: u64,
    /// Sum over those VMs.
    waited_ns: u64,
}

impl Kernel {
    /// Takes note of how many VMs wait for pages now, and tells the gatekeeper at times.
    pub(super) fn measure_load(&mut self, now: Time) {
        let Some(pager) = &mut self.pager else {
            return;
        };
        let vms = &self.vms;
        let waits = |vm: &&crate::vm::VmId| {
            let vm = vms.get(**vm);
            vm.is_some_and(|vm| vm.state == VmState::Paging)
        };
        let waiting = pager.moves.keys().filter(waits).count();
        let meter = &mut pager.load;
        meter.waited_ns += now.since_ns(meter.looked).saturating_mul(meter.waiting);
        meter.looked = now;
        meter.waiting = usize_to_u64(waiting);
        let lasted_ns = now.since_ns(meter.began);
        if lasted_ns >= INTERVAL_NS {
            let load = Load {
                waiting_thousandths: meter.waited_ns.saturating_mul(1000) / lasted_ns.max(1),
                disks: pager.stripe.disks(),
            };
            meter.began = now;
            meter.waited_ns = 0;
            self.policies.gatekeeper.notice(load);
        }
    }
}
