//! Page tables: the kernel's own, and those of guests.
//!
//! | from                  | what                                                        |
//! |-----------------------|-------------------------------------------------------------|
//! | `0`                   | the guest, below [`GUEST_END`]                              |
//! | `0xffff_8000_0000_0000` | direct map of RAM without the kernel image, `rw-`         |
//! | `0xffff_c000_0000_0000` | device registers at their physical address, `rw-`, uncached |
//! | `0xffff_ffff_8000_0000` | the kernel image: text `r-x`, rodata `r--`, data `rw-`    |
//!
//! The upper half is built at boot and shared by every guest's root. With page-table isolation
//! guests' roots hold the trampoline (`isolation.rs`) there instead, at the same addresses.

#![expect(unsafe_code, reason = "page tables and the direct map")]

use super::cpu::Features;
use core::arch::asm;
use core::ops::Range;
use denali_abi::convert::{u64_to_usize, usize_to_u64};
use denali_abi::layout::GUEST_END;
use denali_kernel_core::machine::{Access, FrameId, Page, Space, TableMissing};
use host_kernel::boot_info::{BootInfo, PhysicalRange};
use host_kernel::drivers::dma::DeviceMemory;
use x86_64::VirtAddr;
use x86_64::instructions::tlb;

const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
const DEVICE_MAP: u64 = 0xffff_c000_0000_0000;
const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Behind the highest physical address the device map can show.
const DEVICE_MAP_BYTES: u64 = 1 << 45;

const PAGE: u64 = 4096;
const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: usize = 512;

pub(super) const PRESENT: u64 = 1;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const UNCACHED: u64 = 1 << 4;
/// Set by the CPU when it uses an entry.
pub(super) const ACCESSED: u64 = 1 << 5;
/// Set by the CPU when it writes through an entry.
pub(super) const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
/// Ignored by the CPU: the page is meant to be executed, whether or not there is an NX bit.
pub(super) const SOFTWARE_EXECUTE: u64 = 1 << 9;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Loaders' tables lie below; so does everything taken from memory before the direct map exists.
pub(crate) const BOOT_MAP_END: u64 = 4 << 30;

unsafe extern "C" {
    static text_start: u8;
    static text_end: u8;
    static rodata_start: u8;
    static rodata_end: u8;
    static data_start: u8;
    static data_end: u8;
    static trampoline_text_start: u8;
    static trampoline_text_end: u8;
    static trampoline_data_start: u8;
    static trampoline_data_end: u8;
    static kernel_stack_top: u8;
    static stacks_end: u8;
    static kernel_end: u8;
}

/// Sizes of kernel.ld.
const KERNEL_STACK_BYTES: u64 = 64 << 10;
const IST_STACK_BYTES: u64 = 16 << 10;
const IST_STACKS: u64 = 4;
const LOAD_ADDRESS: u64 = 0x20_0000;

/// Returns the physical memory that the kernel image occupies.
pub(crate) fn kernel_image() -> PhysicalRange {
    PhysicalRange {
        start: LOAD_ADDRESS,
        end: (&raw const kernel_end).addr() as u64 - KERNEL_BASE,
    }
}

/// Returns the address of RAM in the direct map.
pub(crate) fn direct_map(physical: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(u64_to_usize(DIRECT_MAP + physical))
}

/// Makes zeroed DMA memory of a range taken from free memory for good.
pub(crate) fn device_memory(taken: PhysicalRange) -> DeviceMemory {
    let (pointer, length) = (direct_map(taken.start), u64_to_usize(taken.length()));
    // SAFETY: the range was taken for this alone and is in the direct map.
    unsafe { pointer.write_bytes(0, length) };
    // SAFETY: as above; it is never given back, so nothing else will use it.
    unsafe { DeviceMemory::from_raw(pointer, taken.start, length) }
}

/// Returns the physical address of a frame.
pub(crate) fn frame_address(frame: FrameId) -> u64 {
    u64::from(frame.0) * PAGE
}

/// Loads a root page table, and drops every cached translation but the kernel's.
pub(crate) fn load_root(root: u64) {
    // SAFETY: every root holds the kernel's half, so this code, its stack and its data stay mapped.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
}

/// Whether guests' tables hold the whole kernel or only the trampoline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// The whole kernel, out of ring 3's reach by its rights alone.
    Off,
    /// Only the trampoline.
    On,
}

/// The kernel's tables, and what guests' tables take from them.
#[derive(Debug)]
pub(crate) struct Paging {
    root: u64,
    /// The root whose upper half guests' roots take: `root`, or with isolation the trampoline's.
    shared_root: u64,
    /// Zeroed pages for the kernel's tables.
    pool: PhysicalRange,
    /// [`NO_EXECUTE`] where the CPU has it.
    no_execute: u64,
    /// [`GLOBAL`] where the CPU has it and guests may keep the kernel's translations.
    global: u64,
}

impl Paging {
    /// Builds the kernel's tables in memory taken from `boot` and loads them.
    ///
    /// # Panics
    ///
    /// If there is not enough memory, which is less than the kernel image itself.
    pub(crate) fn enable(boot: &mut BootInfo, features: &Features, isolation: Isolation) -> Self {
        let ram: u64 = boot.memory.iter().map(|range| range.length()).sum();
        let ranges = usize_to_u64(boot.memory.len());
        // Per range two partial tables of pages and one of each level above; per GiB one of large
        // pages; 64 for the kernel image, the module and devices.
        let tables = 64 + 5 * ranges + ram.div_ceil(1 << 30);
        let ram_ranges = boot.memory.clone();
        let pool = boot
            .take((tables + 1) * PAGE, PAGE, BOOT_MAP_END)
            .expect("RAM for the kernel's page tables");
        let global = features.global_pages && isolation == Isolation::Off;
        let mut paging = Self {
            root: pool.start,
            shared_root: pool.start,
            pool: PhysicalRange {
                start: pool.start + PAGE,
                end: pool.end,
            },
            no_execute: NO_EXECUTE * u64::from(features.nx && !cfg!(sabotage = "executable-data")),
            global: if global { GLOBAL } else { 0 },
        };
        zero_page(paging.root);
        paging.map_image();
        for range in ram_ranges {
            paging.map_range(DIRECT_MAP + range.start, range, WRITABLE | NO_EXECUTE);
        }
        if let Some(module) = boot.module {
            let pages = PhysicalRange {
                start: module.start & !(PAGE - 1),
                end: module.end.next_multiple_of(PAGE),
            };
            paging.map_range(DIRECT_MAP + pages.start, pages, NO_EXECUTE);
        }
        if isolation == Isolation::On {
            paging.shared_root = paging.take_table();
            paging.map_trampoline();
            paging.check_trampoline();
        }
        load_root(paging.root);
        paging
    }

    /// Returns the kernel's root page table.
    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    /// Returns whether guests' tables hold only the trampoline.
    pub(crate) fn isolation(&self) -> Isolation {
        if self.shared_root == self.root {
            Isolation::Off
        } else {
            Isolation::On
        }
    }

    /// Maps device registers uncached; only at boot, before the first guest takes its copy of the
    /// root.
    ///
    /// Returns `None` if the address is beyond the device map or the pool of tables is used up.
    pub(crate) fn map_registers(&mut self, physical: u64, length: usize) -> Option<DeviceMemory> {
        let start = physical & !(PAGE - 1);
        let end = physical
            .checked_add(usize_to_u64(length))?
            .checked_next_multiple_of(PAGE)?;
        let tables_needed = 3 + (end - start) / LARGE_PAGE;
        if end > DEVICE_MAP_BYTES || tables_needed * PAGE > self.pool.length() {
            return None;
        }
        let flags = WRITABLE | NO_EXECUTE | UNCACHED | WRITE_THROUGH;
        for page in (start..end).step_by(4096) {
            self.map_kernel(DEVICE_MAP + page, page, flags, PAGE);
        }
        let pointer = core::ptr::with_exposed_provenance_mut(u64_to_usize(DEVICE_MAP + physical));
        // SAFETY: mapped for ever just now; registers belong to the one driver that asks for them.
        Some(unsafe { DeviceMemory::from_raw(pointer, physical, length) })
    }

    /// Maps the kernel image, section by section; pages below stacks stay unmapped.
    fn map_image(&mut self) {
        let symbol = |symbol: *const u8| symbol.addr() as u64;
        let sections = [
            (
                symbol(&raw const text_start),
                symbol(&raw const text_end),
                0,
            ),
            (
                symbol(&raw const rodata_start),
                symbol(&raw const rodata_end),
                NO_EXECUTE,
            ),
            (
                symbol(&raw const data_start),
                symbol(&raw const data_end),
                WRITABLE | NO_EXECUTE,
            ),
        ];
        for (start, end, flags) in sections {
            self.map_image_part(start, end, flags);
        }
        let top = symbol(&raw const kernel_stack_top);
        self.map_image_part(top - KERNEL_STACK_BYTES, top, WRITABLE | NO_EXECUTE);
        for index in 0..IST_STACKS {
            let top = symbol(&raw const stacks_end) - index * (IST_STACK_BYTES + PAGE);
            self.map_image_part(top - IST_STACK_BYTES, top, WRITABLE | NO_EXECUTE);
        }
    }

    fn map_image_part(&mut self, start: u64, end: u64, flags: u64) {
        for address in (start..end).step_by(4096) {
            self.map_kernel(address, address - KERNEL_BASE, flags, PAGE);
        }
    }

    /// Maps the trampoline into the root that guests share.
    fn map_trampoline(&mut self) {
        for (range, flags) in trampoline() {
            for address in range.step_by(4096) {
                self.map_into(
                    self.shared_root,
                    address,
                    address - KERNEL_BASE,
                    flags,
                    PAGE,
                );
            }
        }
    }

    /// Walks the root that guests share.
    ///
    /// # Panics
    ///
    /// If it maps any page that is not the trampoline's.
    fn check_trampoline(&self) {
        for_each_page(self.shared_root, 3, 0, &mut |address, size| {
            let allowed = trampoline()
                .iter()
                .any(|(range, _)| range.start <= address && address + size <= range.end);
            assert!(allowed, "guests' tables would show them {address:#x}");
        });
    }

    /// Maps a range with large pages where they fit.
    fn map_range(&mut self, address: u64, range: PhysicalRange, flags: u64) {
        let mut offset = 0;
        while offset < range.length() {
            let physical = range.start + offset;
            let large = physical.is_multiple_of(LARGE_PAGE) && range.end - physical >= LARGE_PAGE;
            let size = if large { LARGE_PAGE } else { PAGE };
            self.map_kernel(address + offset, physical, flags, size);
            offset += size;
        }
    }

    fn map_kernel(&mut self, address: u64, physical: u64, flags: u64, size: u64) {
        self.map_into(self.root, address, physical, flags, size);
    }

    fn map_into(&mut self, root: u64, address: u64, physical: u64, flags: u64, size: u64) {
        let last_level = if size == LARGE_PAGE { 1 } else { 0 };
        let mut table = root;
        for level in (last_level + 1..=3).rev() {
            let index = index_of(address, level);
            let entry = read_entry(table, index);
            table = if entry & PRESENT == 0 {
                let new = self.take_table();
                write_entry(table, index, new | PRESENT | WRITABLE);
                new
            } else {
                assert!(entry & LARGE == 0, "{address:#x} is mapped already");
                entry & ADDRESS
            };
        }
        let large = if size == LARGE_PAGE { LARGE } else { 0 };
        let flags = flags & !NO_EXECUTE | (flags & self.no_execute);
        let entry = physical | flags | large | self.global | PRESENT;
        write_entry(table, index_of(address, last_level), entry);
    }

    fn take_table(&mut self) -> u64 {
        assert!(
            self.pool.length() >= PAGE,
            "too few pages for the kernel's page tables"
        );
        let table = self.pool.start;
        self.pool.start += PAGE;
        zero_page(table);
        table
    }

    /// Gives a guest's zeroed root its upper half.
    pub(crate) fn create(&self, space: Space) {
        for index in ENTRIES / 2..ENTRIES {
            write_entry(
                frame_address(space.root),
                index,
                read_entry(self.shared_root, index),
            );
        }
    }

    /// Maps a page of a guest and returns whether another mapping was replaced.
    ///
    /// # Errors
    ///
    /// [`TableMissing`] if [`Paging::add_table`] is needed first.
    pub(crate) fn map(
        &self,
        space: Space,
        page: Page,
        frame: FrameId,
        access: Access,
    ) -> Result<bool, TableMissing> {
        let (table, 0) = walk(space, page) else {
            return Err(TableMissing);
        };
        let rights = match access {
            Access::Read => self.no_execute,
            Access::ReadWrite => self.no_execute | WRITABLE,
            Access::ReadExecute => SOFTWARE_EXECUTE,
        };
        let index = index_of(address_of(page), 0);
        let replaced = read_entry(table, index) & PRESENT != 0;
        write_entry(table, index, frame_address(frame) | rights | USER | PRESENT);
        Ok(replaced)
    }
}

/// Lists what guests' tables map of the kernel with isolation on, with rights.
fn trampoline() -> [(Range<u64>, u64); 6] {
    let range = |start: *const u8, end: *const u8| start.addr() as u64..end.addr() as u64;
    core::array::from_fn(|index| match index {
        0 => (
            range(
                &raw const trampoline_text_start,
                &raw const trampoline_text_end,
            ),
            0,
        ),
        1 => (
            range(
                &raw const trampoline_data_start,
                &raw const trampoline_data_end,
            ),
            WRITABLE | NO_EXECUTE,
        ),
        // An exception's frame fits the highest page; what follows runs on the kernel's tables.
        _ => {
            let stack = usize_to_u64(index - 2);
            let end = (&raw const stacks_end).addr() as u64 - stack * (IST_STACK_BYTES + PAGE);
            (end - PAGE..end, WRITABLE | NO_EXECUTE)
        }
    })
}

/// Calls `action` with address and size of every page that a table maps.
fn for_each_page(table: u64, level: u32, base: u64, action: &mut impl FnMut(u64, u64)) {
    for index in 0..ENTRIES {
        let entry = read_entry(table, index);
        let size = PAGE << (9 * level);
        // Addresses are canonical: bit 47 fills the bits above.
        let address = base + usize_to_u64(index) * size;
        if entry & PRESENT == 0 {
            continue;
        }
        if level == 0 || entry & LARGE != 0 {
            action(((address << 16).cast_signed() >> 16).cast_unsigned(), size);
        } else {
            for_each_page(entry & ADDRESS, level - 1, address, action);
        }
    }
}

/// Drops the cached translation of a page of the loaded guest.
pub(crate) fn flush(page: Page) {
    tlb::flush(VirtAddr::new(address_of(page)));
}

/// Walks down as far as there are tables: the last one and its level, 0 for the table of pages.
pub(super) fn walk(space: Space, page: Page) -> (u64, u32) {
    let address = address_of(page);
    assert!(address < GUEST_END, "page {page:?} is not the guest's");
    let mut table = frame_address(space.root);
    for level in [3, 2, 1] {
        let entry = read_entry(table, index_of(address, level));
        if entry & PRESENT == 0 {
            return (table, level);
        }
        table = entry & ADDRESS;
    }
    (table, 0)
}

pub(super) fn address_of(page: Page) -> u64 {
    u64::from(page.0) * PAGE
}

pub(super) fn frame_of(entry: u64) -> FrameId {
    FrameId(u32::try_from((entry & ADDRESS) / PAGE).expect("only frames are mapped"))
}

pub(super) fn index_of(address: u64, level: u32) -> usize {
    u64_to_usize(address >> (12 + 9 * level) & 0x1ff)
}

/// Returns the address of an entry.
fn entry_pointer(table: u64, index: usize) -> *mut u64 {
    let address = u64_to_usize(DIRECT_MAP + table) + (index % ENTRIES) * 8;
    core::ptr::with_exposed_provenance_mut(address)
}

pub(super) fn read_entry(table: u64, index: usize) -> u64 {
    let entry = entry_pointer(table, index);
    // SAFETY: `table` is a page-table page: from the boot pool, or a frame the core gave for it;
    // both are in the direct map, and the index stays inside.
    unsafe { entry.read_volatile() }
}

pub(super) fn write_entry(table: u64, index: usize, value: u64) {
    let entry = entry_pointer(table, index);
    // SAFETY: as in `read_entry`; the callers write entries of guests' lower halves, or at boot
    // the kernel's.
    unsafe { entry.write_volatile(value) }
}

fn zero_page(physical: u64) {
    // SAFETY: the page was just taken from the pool of page tables, and is mapped: by the boot
    // tables up to 4 GiB, later by the direct map.
    unsafe { direct_map(physical).write_bytes(0, 4096) };
}
