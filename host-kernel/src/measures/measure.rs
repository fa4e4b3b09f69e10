//! What the kernel can do against leaks, when it does so by itself, and where that is written.

use super::profile::{CpuProfile, Feature};
use super::vulnerability::Vulnerability as V;
use core::fmt;

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Measure {
    /// Guests run on tables that map only the kernel's trampoline.
    PageTableIsolation,
    /// Enhanced, automatic or always-on IBRS, set once at boot.
    Ibrs,
    /// IBPB when another VM is loaded.
    BranchBarrier,
    /// IBPB on every entry into the kernel: for CPUs without enhanced IBRS, since retpolines need
    /// a compiler switch that stable Rust does not have.
    EntryBarrier,
    /// BHI_DIS_S, set once at boot.
    BhiDisable,
    /// Branch history is overwritten on every entry into the kernel.
    ClearHistory,
    /// `verw` on every return to a guest.
    ClearBuffers,
    /// The first-level data cache is flushed when another VM is loaded.
    FlushL1d,
    /// Loads wait for older stores, set once at boot.
    Ssbd,
    /// Sibling threads do not steer each other's branches, set once at boot.
    Stibp,
    /// The bit that stops Zenbleed, set once at boot.
    ZenbleedBit,
}

use Measure as M;

impl Measure {
    /// Every one.
    pub const ALL: [Self; 11] = [
        M::PageTableIsolation,
        M::Ibrs,
        M::BranchBarrier,
        M::EntryBarrier,
        M::BhiDisable,
        M::ClearHistory,
        M::ClearBuffers,
        M::FlushL1d,
        M::Ssbd,
        M::Stibp,
        M::ZenbleedBit,
    ];

    /// Returns its name on the command line and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            M::PageTableIsolation => "pti",
            M::Ibrs => "ibrs",
            M::BranchBarrier => "ibpb",
            M::EntryBarrier => "ibpb_entry",
            M::BhiDisable => "bhi_dis_s",
            M::ClearHistory => "bhb_clear",
            M::ClearBuffers => "verw",
            M::FlushL1d => "l1d_flush",
            M::Ssbd => "ssbd",
            M::Stibp => "stibp",
            M::ZenbleedBit => "zenbleed",
        }
    }

    /// Returns where the measure is described.
    pub const fn source(self) -> &'static str {
        match self {
            M::PageTableIsolation => {
                "Intel, Rogue Data Cache Load; Linux Documentation/arch/x86/pti.rst"
            }
            M::Ibrs => {
                "SDM vol. 4, IA32_SPEC_CTRL; Intel, Indirect Branch Restricted Speculation; \
                 AMD APM vol. 2 §3.2.9"
            }
            M::BranchBarrier => {
                "SDM vol. 4, IA32_PRED_CMD; Linux Documentation/admin-guide/hw-vuln/spectre.rst"
            }
            M::EntryBarrier => {
                "AMD, Technical Guidance for Mitigating Branch Type Confusion; Linux \
                 retbleed=ibpb, Documentation/admin-guide/hw-vuln/srso.rst"
            }
            M::BhiDisable | M::ClearHistory => {
                "Intel, Branch History Injection and Intra-mode Branch Target Injection"
            }
            M::ClearBuffers => {
                "Intel, Microarchitectural Data Sampling; Linux hw-vuln/{mds,\
                 processor_mmio_stale_data,reg-file-data-sampling}.rst; AMD-SB-7029"
            }
            M::FlushL1d => "Linux Documentation/admin-guide/hw-vuln/l1d_flush.rst",
            M::Ssbd => "Intel, Speculative Store Bypass; AMD, Speculative Store Bypass Disable",
            M::Stibp => "Intel, Single Thread Indirect Branch Predictors",
            M::ZenbleedBit => "AMD-SB-7008",
        }
    }

    /// Returns whether the CPU can do it.
    pub fn is_available(self, cpu: &CpuProfile) -> bool {
        match self {
            M::PageTableIsolation | M::ClearBuffers | M::ClearHistory => true,
            M::Ibrs => cpu.has_enhanced_ibrs(),
            M::BranchBarrier | M::EntryBarrier => cpu.has_ibpb(),
            M::BhiDisable => cpu.has(Feature::BhiCtrl) && cpu.has(Feature::SpecCtrl),
            M::FlushL1d => cpu.has(Feature::FlushCmd),
            M::Ssbd => cpu.has(Feature::Ssbd) || cpu.has(Feature::AmdSsbd),
            M::Stibp => cpu.has(Feature::Stibp) || cpu.has(Feature::AmdStibp),
            M::ZenbleedBit => V::Zenbleed.affects(cpu) && !cpu.has(Feature::Hypervisor),
        }
    }

    /// Returns whether the CPU needs it. `verw` is tried without regard to the microcode, since a
    /// hypervisor may hide what it does.
    pub fn is_needed(self, cpu: &CpuProfile) -> bool {
        let any = |list: &[V]| list.iter().any(|vulnerability| vulnerability.affects(cpu));
        match self {
            M::PageTableIsolation => V::Meltdown.affects(cpu),
            M::Ibrs | M::BranchBarrier => V::SpectreV2.affects(cpu),
            M::EntryBarrier => {
                let branches = any(&[V::SpectreV2, V::Retbleed]) && !cpu.has_enhanced_ibrs();
                branches || any(&[V::Srso])
            }
            M::BhiDisable => V::Bhi.affects(cpu),
            M::ClearHistory => V::Bhi.affects(cpu) && !M::BhiDisable.is_available(cpu),
            M::ClearBuffers => any(&[V::Mds, V::Taa, V::MmioStaleData, V::Rfds, V::Tsa]),
            M::ZenbleedBit => V::Zenbleed.affects(cpu),
            // Options: who runs several trust levels in one VM wants the first two; siblings are
            // never started.
            M::FlushL1d | M::Ssbd | M::Stibp => false,
        }
    }

    /// Returns its bit in sets of measures.
    pub(crate) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
