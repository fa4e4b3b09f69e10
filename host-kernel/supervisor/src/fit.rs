//! How many more VMs of an image fit, and what binds.

use crate::admission;
use crate::supervisor::Supervisor;
use alloc::string::String;
use alloc::vec::Vec;
use denali_abi::convert::usize_to_u64;
use denali_abi::layout::PAGE_SIZE;
use denali_protocol::{Bound, Fit};

/// Swap pages that one page of a VM's swap map describes: a VM with a memory limit of so many pages
/// needs one block more for its map.
const MAP_ENTRIES: u64 = 127;

impl Supervisor {
    /// Returns how many more VMs with a memory limit of `memory` bytes fit beside what there is, of
    /// an image of `image` bytes that is not on the host yet (0 if it is).
    ///
    /// With swap a VM needs its part of it and memory to begin in; without, its whole limit.
    pub fn fit(&mut self, memory: u64, image: u64) -> Fit {
        let host = self.kernel.host_status();
        let pages = memory.div_ceil(PAGE_SIZE).max(1);
        let image_pages = image.div_ceil(PAGE_SIZE);
        let available = admission::available_pages(&host).saturating_sub(image_pages);
        let mut bounds = Vec::new();
        let mut bound = |what: &str, vms: u64| {
            bounds.push(Bound {
                what: String::from(what),
                vms,
            });
        };
        if host.paging.swap_blocks == 0 {
            bound("memory", available / pages);
        } else {
            let fits_at_all = pages <= available;
            bound("memory", if fits_at_all { u64::MAX } else { 0 });
            let blocks = pages + pages.div_ceil(MAP_ENTRIES);
            bound("swap", host.paging.swap_free / blocks);
        }
        bound("descriptors", host.vms_max.saturating_sub(host.vms));
        let places = self.table.limit().saturating_sub(self.table.len());
        bound("services", usize_to_u64(places));
        if let Some(pool) = &self.pool {
            let free = pool.len().saturating_sub(usize_to_u64(self.table.len()));
            bound("addresses", free);
        }
        let least = bounds.iter().min_by_key(|bound| bound.vms);
        Fit {
            vms: least.map_or(0, |bound| bound.vms),
            binds: least.map_or_else(String::new, |bound| bound.what.clone()),
            bounds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::SharedKernel;

    #[test]
    fn without_swap_memory_binds_and_with_it_what_is_least() {
        let kernel = SharedKernel::new(1000);
        let mut supervisor = kernel.supervisor();
        let fit = supervisor.fit(100 * PAGE_SIZE, 50 * PAGE_SIZE);
        assert_eq!((fit.vms, fit.binds.as_str()), (9, "memory"));
        kernel.lock().swap_blocks = 1010;
        let fit = supervisor.fit(100 * PAGE_SIZE, 0);
        assert_eq!((fit.vms, fit.binds.as_str()), (10, "swap"));
        kernel.lock().swap_blocks = 1 << 30;
        let fit = supervisor.fit(100 * PAGE_SIZE, 0);
        assert_eq!((fit.vms, fit.binds.as_str()), (16, "descriptors"));
        assert_eq!(supervisor.fit(1 << 40, 0).binds, "memory");
    }
}
