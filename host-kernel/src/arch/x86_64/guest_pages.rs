//! Pages of guests: what a guest's tables say of one, and what the CPU noted there.

use super::paging::{
    ACCESSED, DIRTY, PRESENT, SOFTWARE_EXECUTE, USER, WRITABLE, address_of, frame_address,
    frame_of, index_of, read_entry, walk, write_entry,
};
use denali_kernel_core::machine::{Access, FaultAccess, FrameId, Marks, Page, Space};
use denali_kernel_core::memory::address_space::allows;

/// Installs a zeroed frame as the first table missing on the way to `page`.
pub(crate) fn add_table(space: Space, page: Page, frame: FrameId) {
    let (table, level) = walk(space, page);
    assert!(level > 0, "no page table is missing for page {page:?}");
    let entry = frame_address(frame) | PRESENT | WRITABLE | USER;
    write_entry(table, index_of(address_of(page), level), entry);
}

/// Removes a guest's mapping. The caller flushes.
pub(crate) fn unmap(space: Space, page: Page) -> Option<FrameId> {
    let (table, 0) = walk(space, page) else {
        return None;
    };
    let index = index_of(address_of(page), 0);
    let entry = read_entry(table, index);
    write_entry(table, index, 0);
    (entry & PRESENT != 0).then(|| frame_of(entry))
}

/// Returns a guest's mapping.
pub(crate) fn lookup(space: Space, page: Page) -> Option<(FrameId, Access)> {
    let (table, 0) = walk(space, page) else {
        return None;
    };
    let entry = read_entry(table, index_of(address_of(page), 0));
    Some((frame_of(entry), access_of(entry)?))
}

/// Returns the frame of a guest's mapping that allows an access, and sets the bits that the CPU
/// would set.
pub(crate) fn touch(space: Space, page: Page, wanted: FaultAccess) -> Option<FrameId> {
    let (table, 0) = walk(space, page) else {
        return None;
    };
    let index = index_of(address_of(page), 0);
    let entry = read_entry(table, index);
    if !allows(access_of(entry)?, wanted) {
        return None;
    }
    let bits = match wanted {
        FaultAccess::Write => ACCESSED | DIRTY,
        FaultAccess::Read | FaultAccess::Execute => ACCESSED,
    };
    if entry & bits != bits {
        write_entry(table, index, entry | bits);
    }
    Some(frame_of(entry))
}

/// Returns what the CPU noted of a page, and clears that it was used. The caller flushes.
pub(crate) fn take_marks(space: Space, page: Page) -> Option<Marks> {
    let (table, 0) = walk(space, page) else {
        return None;
    };
    let index = index_of(address_of(page), 0);
    let entry = read_entry(table, index);
    if entry & PRESENT == 0 {
        return None;
    }
    let referenced = entry & ACCESSED != 0;
    if referenced {
        write_entry(table, index, entry & !ACCESSED);
    }
    Some(Marks {
        referenced,
        modified: entry & DIRTY != 0,
    })
}

/// Returns what an entry of a guest's table of pages allows, if it maps anything.
const fn access_of(entry: u64) -> Option<Access> {
    Some(match entry {
        entry if entry & PRESENT == 0 => return None,
        entry if entry & WRITABLE != 0 => Access::ReadWrite,
        entry if entry & SOFTWARE_EXECUTE != 0 => Access::ReadExecute,
        _ => Access::Read,
    })
}
