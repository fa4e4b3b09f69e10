//! What this CPU can do, its protections, and single instructions.

#![expect(
    unsafe_code,
    reason = "control registers, MSRs and privileged instructions"
)]

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use core::fmt;
use host_kernel::measures;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;

const IA32_SYSENTER_CS: u32 = 0x174;

/// What the kernel uses where CPUID offers it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Features {
    /// No-execute pages.
    pub(crate) nx: bool,
    /// The kernel cannot execute guest pages.
    pub(crate) smep: bool,
    /// The kernel cannot touch guest pages.
    pub(crate) smap: bool,
    /// Guests cannot read descriptor-table addresses.
    pub(crate) umip: bool,
    /// Guests set their FS and GS bases themselves.
    pub(crate) fsgsbase: bool,
    /// Extended state by XSAVE.
    pub(crate) xsave: bool,
    /// Global pages.
    pub(crate) global_pages: bool,
    /// The local APIC's registers as MSRs.
    pub(crate) x2apic: bool,
    /// The local APIC's timer compares with the time-stamp counter.
    pub(crate) tsc_deadline: bool,
    /// The time-stamp counter ticks at one rate in every power state.
    pub(crate) invariant_tsc: bool,
    /// `rdrand`.
    pub(crate) rdrand: bool,
    /// `rdseed`.
    pub(crate) rdseed: bool,
    /// Runs under a hypervisor.
    pub(crate) hypervisor: bool,
}

impl Features {
    /// Asks CPUID.
    pub(crate) fn detect() -> Self {
        let basic = cpuid(1, 0);
        let extended = if cpuid(0, 0).eax >= 7 {
            cpuid(7, 0)
        } else {
            NOTHING
        };
        let amd = cpuid_extended(0x8000_0001);
        let bit = |register: u32, index: u32| register & (1 << index) != 0;
        Self {
            nx: bit(amd.edx, 20),
            smep: bit(extended.ebx, 7),
            smap: bit(extended.ebx, 20),
            umip: bit(extended.ecx, 2),
            fsgsbase: bit(extended.ebx, 0),
            xsave: bit(basic.ecx, 26),
            global_pages: bit(basic.edx, 13),
            x2apic: bit(basic.ecx, 21),
            tsc_deadline: bit(basic.ecx, 24),
            invariant_tsc: bit(cpuid_extended(0x8000_0007).edx, 8),
            rdrand: bit(basic.ecx, 30),
            rdseed: bit(extended.ebx, 18),
            hypervisor: bit(basic.ecx, 31),
        }
    }

    /// Switches on every protection the CPU has, and off what guests must not have.
    pub(crate) fn protect(&self) {
        let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
            | Cr4Flags::OSFXSR
            | Cr4Flags::OSXMMEXCPT_ENABLE
            | Cr4Flags::MACHINE_CHECK_EXCEPTION;
        cr4.set(
            Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
            self.smep && !cfg!(sabotage = "skip-smep"),
        );
        cr4.set(
            Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION,
            self.smap && !cfg!(sabotage = "skip-smap"),
        );
        cr4.set(
            Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION,
            self.umip && !cfg!(sabotage = "skip-umip"),
        );
        cr4.set(Cr4Flags::FSGSBASE, self.fsgsbase);
        cr4.set(Cr4Flags::OSXSAVE, self.xsave);
        cr4.set(Cr4Flags::PAGE_GLOBAL, self.global_pages);
        // SAFETY: every bit set is offered by CPUID; paging stays 4-level.
        unsafe { Cr4::write(cr4) };
        let mut cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
            | Cr0Flags::MONITOR_COPROCESSOR
            | Cr0Flags::EXTENSION_TYPE
            | Cr0Flags::NUMERIC_ERROR
            | Cr0Flags::PAGING;
        cr0.set(
            Cr0Flags::WRITE_PROTECT,
            !cfg!(sabotage = "skip-write-protect"),
        );
        // SAFETY: long mode stays on; caches are on, FPU and SSE are usable.
        unsafe { Cr0::write(cr0) };
        let mut efer = Efer::read() | EferFlags::SYSTEM_CALL_EXTENSIONS;
        efer.set(EferFlags::NO_EXECUTE_ENABLE, self.nx);
        // SAFETY: adds SYSCALL, whose MSRs are set before a guest runs, and NX if the CPU has it.
        unsafe { Efer::write(efer) };
        if self.has_sysenter() {
            // With a null selector `sysenter` is a fault in ring 3 (SDM vol. 2B, SYSENTER).
            write_msr(IA32_SYSENTER_CS, 0);
        }
        clear_debug_registers();
    }

    /// Returns the protections this CPU lacks, for a warning.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.protections()
            .into_iter()
            .filter(|(_, present)| !present)
            .map(|(name, _)| name)
    }

    fn protections(&self) -> [(&'static str, bool); 5] {
        [
            ("NX", self.nx),
            ("SMEP", self.smep),
            ("SMAP", self.smap),
            ("UMIP", self.umip),
            ("FSGSBASE", self.fsgsbase),
        ]
    }

    fn has_sysenter(&self) -> bool {
        cpuid(1, 0).edx & (1 << 11) != 0
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WP")?;
        for (name, present) in self.protections() {
            if present {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}

/// The answer of a leaf that does not exist.
const NOTHING: CpuidResult = CpuidResult {
    eax: 0,
    ebx: 0,
    ecx: 0,
    edx: 0,
};

/// Returns a CPUID leaf.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    if subleaf == 0 {
        __cpuid(leaf)
    } else {
        __cpuid_count(leaf, subleaf)
    }
}

/// Returns an extended CPUID leaf, zeros if the CPU does not have it.
fn cpuid_extended(leaf: u32) -> CpuidResult {
    if cpuid(0x8000_0000, 0).eax >= leaf {
        cpuid(leaf, 0)
    } else {
        NOTHING
    }
}

/// The CPU's brand string.
#[derive(Debug)]
pub(crate) struct Brand([u8; 48]);

impl Brand {
    /// Asks CPUID.
    pub(crate) fn detect() -> Self {
        let mut text = [0; 48];
        for (leaf, chunk) in (0x8000_0002..=0x8000_0004).zip(text.chunks_exact_mut(16)) {
            let CpuidResult { eax, ebx, ecx, edx } = cpuid_extended(leaf);
            for (bytes, register) in chunk.chunks_exact_mut(4).zip([eax, ebx, ecx, edx]) {
                bytes.copy_from_slice(&register.to_le_bytes());
            }
        }
        Self(text)
    }
}

impl fmt::Display for Brand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.0.len());
        let text = core::str::from_utf8(&self.0[..end])
            .unwrap_or_default()
            .trim();
        f.write_str(if text.is_empty() { "unnamed CPU" } else { text })
    }
}

/// Reads a model-specific register.
pub(crate) fn read_msr(register: u32) -> u64 {
    // SAFETY: callers name registers that this CPU has; reading has no side effect on memory.
    unsafe { Msr::new(register).read() }
}

/// Writes a model-specific register.
pub(crate) fn write_msr(register: u32, value: u64) {
    // SAFETY: callers live in `arch` and name registers that this CPU has, with values the manual
    // allows; none of them gives memory away.
    unsafe { Msr::new(register).write(value) }
}

/// This processor, for the decision about measures.
#[derive(Debug)]
pub(crate) struct ThisCpu;

impl measures::Cpu for ThisCpu {
    fn cpuid(&self, leaf: u32, subleaf: u32) -> [u32; 4] {
        let CpuidResult { eax, ebx, ecx, edx } = cpuid(leaf, subleaf);
        [eax, ebx, ecx, edx]
    }

    fn read_msr(&self, register: u32) -> u64 {
        read_msr(register)
    }

    fn write_msr(&mut self, register: u32, value: u64) {
        write_msr(register, value);
    }
}

/// Reads the time-stamp counter, not before earlier loads are done.
pub(crate) fn timestamp() -> u64 {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { core::arch::x86_64::_mm_lfence() };
    // SAFETY: every x86-64 CPU has the counter, and ring 0 may read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Returns 64 bits of entropy: from the CPU's generator where it has one, else from the jitter of
/// the time-stamp counter.
pub(crate) fn entropy(features: &Features) -> u64 {
    for _ in 0..ENTROPY_ATTEMPTS_MAX {
        let drawn = if features.rdseed {
            rdseed()
        } else if features.rdrand {
            rdrand()
        } else {
            break;
        };
        if let Some(drawn) = drawn {
            return drawn ^ timestamp().rotate_left(32);
        }
        core::hint::spin_loop();
    }
    let mut mixed = timestamp();
    for _ in 0..ENTROPY_ATTEMPTS_MAX {
        // A step of SplitMix64 between reads, so that every low bit of jitter spreads.
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= timestamp();
        cpuid(0, 0);
    }
    mixed
}

const ENTROPY_ATTEMPTS_MAX: u32 = 64;

fn rdrand() -> Option<u64> {
    let (value, carry): (u64, u8);
    // SAFETY: the caller checked CPUID; writes the two registers named.
    unsafe {
        asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) carry, options(nomem, nostack));
    }
    (carry != 0).then_some(value)
}

fn rdseed() -> Option<u64> {
    let (value, carry): (u64, u8);
    // SAFETY: the caller checked CPUID; writes the two registers named.
    unsafe {
        asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) carry, options(nomem, nostack));
    }
    (carry != 0).then_some(value)
}

/// Guests cannot reach the debug registers; this drops what firmware may have left armed.
fn clear_debug_registers() {
    // SAFETY: DR7 = 400h disables every breakpoint (SDM vol. 3B §18.2.4).
    unsafe { asm!("mov dr7, {}", in(reg) 0x400_u64, options(nomem, nostack, preserves_flags)) };
}

/// Returns the address that caused the last page fault.
pub(crate) fn page_fault_address() -> u64 {
    let address;
    // SAFETY: reads a control register.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// Waits for an interrupt with interrupts enabled, the only place where ring 0 takes them.
pub(crate) fn wait_for_interrupt() {
    // SAFETY: `sti` takes effect after `hlt` has begun, so no interrupt is lost between. The
    // interrupted code is this line: the handler may change what a function call may, which the
    // clobbers say, and the stack below is not in use, since `nostack` is not promised.
    unsafe { asm!("sti", "hlt", "cli", clobber_abi("C")) };
}

/// Control registers, for the record of a panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlRegisters {
    cr0: u64,
    cr2: u64,
    cr3: u64,
    cr4: u64,
}

impl ControlRegisters {
    /// Reads them.
    pub(crate) fn read() -> Self {
        Self {
            cr0: Cr0::read_raw(),
            cr2: page_fault_address(),
            cr3: Cr3::read_raw().0.start_address().as_u64(),
            cr4: Cr4::read_raw(),
        }
    }
}

impl fmt::Display for ControlRegisters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cr0, cr2, cr3, cr4 } = self;
        write!(
            f,
            "  cr0 {cr0:08x}  cr2 {cr2:016x}  cr3 {cr3:09x}  cr4 {cr4:06x}"
        )
    }
}

/// Stops this CPU for good.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: nothing runs after; NMIs merely restart the loop.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Resets the machine: by the keyboard controller, then the chipset's reset register, else halts.
pub(crate) fn reset() -> ! {
    super::port::outb(0x64, 0xfe);
    super::port::outb(0xcf9, 0x06);
    halt()
}
