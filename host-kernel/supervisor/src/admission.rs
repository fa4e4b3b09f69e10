//! Whether there is room for a VM, beside what runs or in the place of its predecessor.
//!
//! The kernel's gatekeeper has the last word; this is the forecast that gives its refusals numbers
//! and advice, and that decides whether a predecessor has to go first.

use crate::refusal::Refused;
use alloc::format;
use denali_abi::control::HostStatus;
use denali_abi::errno::Errno;
use denali_abi::layout::PAGE_SIZE;

/// What a new service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Pages of its image.
    pub image_pages: u64,
    /// Memory limit of its VM in pages.
    pub memory_pages: u64,
}

/// Where a new VM goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside its predecessor, which goes when the new one runs.
    Beside,
    /// In the place of its predecessor, which has to go first.
    Instead,
}

/// The VM that makes way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// Pages promised to it that come back when it goes.
    pub memory_pages: u64,
    /// Whether the new VM must have the same address.
    pub is_in_the_way: bool,
}

/// Decides where a VM with `need` goes.
///
/// # Errors
///
/// A refusal with what is needed, what there is, and what to do.
pub fn place(
    need: Need,
    host: &HostStatus,
    predecessor: Option<Predecessor>,
) -> Result<Place, Refused> {
    let needed = need.image_pages + need.memory_pages;
    let available = available_pages(host);
    if needed > host.frames_total {
        let (needed, total) = (kib(needed), kib(host.frames_total));
        return Err(Refused::admission(format!(
            "needs {needed} KiB, this host has {total} KiB for all services: \
             lower `memory` in [package.metadata.denali] or give the host more memory"
        )));
    }
    if host.images >= host.images_max {
        let max = host.images_max;
        return Err(Refused::admission(format!(
            "all {max} places for images are taken: remove a service with `rm`"
        )));
    }
    let is_in_the_way = predecessor.is_some_and(|old| old.is_in_the_way);
    if needed <= available && host.vms < host.vms_max && !is_in_the_way {
        return Ok(Place::Beside);
    }
    if let Some(old) = predecessor
        && needed <= available + old.memory_pages
    {
        return Ok(Place::Instead);
    }
    if needed <= available {
        let max = host.vms_max;
        return Err(Refused::admission(format!(
            "all {max} places for VMs are taken: remove a service with `rm`"
        )));
    }
    Err(no_room(needed, available))
}

/// Returns the pages that can still be promised.
#[must_use]
pub const fn available_pages(host: &HostStatus) -> u64 {
    host.frames_total.saturating_sub(host.frames_committed)
}

/// Returns a refusal for want of memory.
#[must_use]
pub fn no_room(needed_pages: u64, available_pages: u64) -> Refused {
    let (needed, available) = (kib(needed_pages), kib(available_pages));
    Refused::admission(format!(
        "needs {needed} KiB, {available} KiB available: stop or remove a service, or lower \
         `memory` in [package.metadata.denali]"
    ))
}

/// Returns the refusal behind an error of the kernel while a VM with `need` is made.
#[must_use]
pub fn refused_by_kernel(errno: Errno, need: Need, host: &HostStatus) -> Refused {
    let needed = need.image_pages + need.memory_pages;
    match errno {
        Errno::OutOfMemory => no_room(needed, available_pages(host)),
        Errno::TooLarge => Refused::admission(format!(
            "needs {} KiB, more than this host can ever give: lower `memory` in \
             [package.metadata.denali]",
            kib(needed)
        )),
        Errno::TableFull => {
            Refused::admission("the kernel's tables are full: remove a service with `rm`")
        }
        Errno::Exists => Refused::conflict(
            "address is taken by another VM: choose another one, or remove its service with `rm`",
        ),
        Errno::NotPermitted
        | Errno::NotFound
        | Errno::BadAddress
        | Errno::Io
        | Errno::Busy
        | Errno::Invalid => Refused::package(format!(
            "the kernel refuses the image or its settings: {errno}"
        )),
    }
}

const fn kib(pages: u64) -> u64 {
    pages * (PAGE_SIZE / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use denali_protocol::Refusal;

    const NEED: Need = Need {
        image_pages: 10,
        memory_pages: 90,
    };

    fn host(total: u64, committed: u64) -> HostStatus {
        HostStatus {
            frames_total: total,
            frames_committed: committed,
            vms: 1,
            vms_max: 4,
            images: 1,
            images_max: 4,
            ..HostStatus::default()
        }
    }

    fn old(memory_pages: u64) -> Option<Predecessor> {
        Some(Predecessor {
            memory_pages,
            is_in_the_way: false,
        })
    }

    #[test]
    fn a_vm_goes_beside_its_predecessor_where_both_fit() {
        assert_eq!(place(NEED, &host(1000, 900), old(90)), Ok(Place::Beside));
        assert_eq!(place(NEED, &host(1000, 900), None), Ok(Place::Beside));
    }

    #[test]
    fn a_predecessor_makes_way_only_if_that_is_enough() {
        assert_eq!(place(NEED, &host(1000, 950), old(50)), Ok(Place::Instead));
        let refused = place(NEED, &host(1000, 950), old(49)).unwrap_err();
        assert_eq!(refused.kind, Refusal::Admission);
        assert!(refused.message.contains("needs 400 KiB, 200 KiB available"));
    }

    #[test]
    fn a_shared_address_always_needs_the_place() {
        let old = Some(Predecessor {
            memory_pages: 0,
            is_in_the_way: true,
        });
        assert_eq!(place(NEED, &host(1000, 0), old), Ok(Place::Instead));
    }

    #[test]
    fn what_can_never_fit_is_told_apart_from_what_does_not_fit_now() {
        let never = place(NEED, &host(99, 0), old(99)).unwrap_err();
        assert!(
            never.message.contains("this host has 396 KiB"),
            "{}",
            never.message
        );
        let now = place(NEED, &host(1000, 901), None).unwrap_err();
        assert!(
            now.message.contains("needs 400 KiB, 396 KiB available"),
            "{}",
            now.message
        );
    }

    #[test]
    fn full_tables_are_named() {
        let vms = HostStatus {
            vms: 4,
            ..host(1000, 0)
        };
        assert!(
            place(NEED, &vms, None)
                .unwrap_err()
                .message
                .contains("places for VMs")
        );
        assert_eq!(place(NEED, &vms, old(0)), Ok(Place::Instead));
        let images = HostStatus {
            images: 4,
            ..host(1000, 0)
        };
        assert!(
            place(NEED, &images, old(0))
                .unwrap_err()
                .message
                .contains("for images")
        );
    }

    #[test]
    fn every_error_of_the_kernel_has_a_message() {
        for errno in Errno::ALL {
            assert!(
                !refused_by_kernel(errno, NEED, &host(1, 0))
                    .message
                    .is_empty()
            );
        }
    }
}
