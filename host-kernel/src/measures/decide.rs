//! Decides what is switched on, and says what that covers and what stays open.

use super::measure::Measure;
use super::profile::{CpuProfile, Feature, Vendor, capability};
use super::request::Request;
use super::vulnerability::Vulnerability;
use core::fmt;

use Measure as M;
use Vulnerability as V;

/// What is switched on, for which CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measures {
    cpu: CpuProfile,
    on: u16,
    refused: u16,
}

/// How a CPU stands to a vulnerability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The CPU does not have it.
    NotAffected,
    /// This holds it off.
    Covered(&'static str),
    /// Nothing holds it off; what to do, if anything can be done.
    Open(&'static str),
}

/// A line of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What leaks.
    pub vulnerability: Vulnerability,
    /// Whether it does here.
    pub status: Status,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vulnerability = self.vulnerability;
        match self.status {
            Status::NotAffected => write!(f, "{vulnerability}: this CPU does not have it"),
            Status::Covered(how) => write!(f, "{vulnerability}: covered by {how}"),
            Status::Open(why) => write!(f, "{vulnerability}: open: {why}"),
        }
    }
}

/// Decides for a CPU.
pub fn decide(cpu: &CpuProfile, request: Request) -> Measures {
    let mut measures = Measures {
        cpu: *cpu,
        on: 0,
        refused: 0,
    };
    for measure in Measure::ALL {
        if !request.wants(measure, measure.is_needed(cpu)) {
            continue;
        }
        if measure.is_available(cpu) {
            measures.on |= measure.bit();
        } else if request.names(measure) {
            measures.refused |= measure.bit();
        }
    }
    measures
}

impl Measures {
    /// Returns whether a measure is on.
    pub const fn has(&self, measure: Measure) -> bool {
        self.on & measure.bit() != 0
    }

    /// Returns the CPU decided for.
    pub const fn cpu(&self) -> &CpuProfile {
        &self.cpu
    }

    /// Returns what was asked for by name and the CPU cannot do.
    pub fn refused(&self) -> impl Iterator<Item = Measure> {
        let refused = self.refused;
        Measure::ALL
            .into_iter()
            .filter(move |measure| refused & measure.bit() != 0)
    }

    /// Says of every vulnerability how this CPU stands to it.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        Vulnerability::ALL.into_iter().map(|vulnerability| Finding {
            vulnerability,
            status: self.status(vulnerability),
        })
    }

    /// Says how this CPU stands to a vulnerability.
    pub fn status(&self, vulnerability: Vulnerability) -> Status {
        if !vulnerability.affects(&self.cpu) {
            return Status::NotAffected;
        }
        match vulnerability {
            V::Meltdown if self.has(M::PageTableIsolation) => {
                Status::Covered("page-table isolation (pti)")
            }
            V::Meltdown => Status::Open("guests can read all memory: boot with measures=pti=on"),
            V::SpectreV1 => {
                Status::Open("the kernel checks bounds but does not mask indices under speculation")
            }
            V::SpectreV2 => self.spectre_v2(),
            V::StoreBypass if self.has(M::Ssbd) => Status::Covered("SSBD"),
            V::StoreBypass => self.open(
                M::Ssbd,
                "matters inside one VM that runs code it does not trust: measures=ssbd=on",
            ),
            V::L1tf => Status::Covered("page tables: absent entries hold no address"),
            V::Mds | V::Taa | V::MmioStaleData | V::Rfds | V::Tsa => self.buffers(vulnerability),
            V::Srbds => self.microcode(Feature::SrbdsCtrl, 0, 1),
            V::Gds => self.microcode(Feature::ArchCapabilities, capability::GDS_CTRL, 1 << 4),
            V::Retbleed => self.retbleed(),
            V::Srso => self.srso(),
            V::Its => Status::Open(
                "indirect branches are not moved out of lower halves of cache lines; guests can \
                 put no code into the kernel to train them with",
            ),
            V::Bhi => self.branch_history(),
            V::Zenbleed if self.has(M::ZenbleedBit) => Status::Covered("a bit in DE_CFG"),
            V::Zenbleed => Status::Open("update the microcode (of the host, if this is a VM)"),
            V::DivideByZero => {
                Status::Open("a guest may see the quotient of the division before its own")
            }
        }
    }

    /// Advises to switch a measure on, or to get it.
    fn open(&self, measure: Measure, advice: &'static str) -> Status {
        Status::Open(if measure.is_available(&self.cpu) {
            advice
        } else {
            "this CPU does not offer what helps: update the microcode (of the host, if this is a VM)"
        })
    }

    fn spectre_v2(&self) -> Status {
        let kernel = self.has(M::Ibrs) || self.has(M::EntryBarrier);
        match (self.has(M::BranchBarrier), kernel) {
            (true, true) if self.has(M::EntryBarrier) => {
                Status::Covered("IBPB between VMs and on entry into the kernel")
            }
            (true, true) => Status::Covered("IBPB between VMs, enhanced IBRS for the kernel"),
            (true, false) => Status::Open(
                "IBPB parts VMs, but nothing guards the kernel's own branches: \
                 measures=ibpb_entry=on",
            ),
            (false, true) => Status::Open("the kernel is guarded, but no IBPB parts VMs"),
            (false, false) if !self.cpu.has_ibpb() => {
                Status::Open("this CPU has no IBPB: update the microcode (of the host)")
            }
            (false, false) => Status::Open("switched off"),
        }
    }

    fn buffers(&self, vulnerability: Vulnerability) -> Status {
        let cpu = &self.cpu;
        let effective = match vulnerability {
            V::Rfds => cpu.has_capability(capability::RFDS_CLEAR),
            V::Tsa => cpu.has(Feature::VerwClear),
            V::MmioStaleData if cpu.has_capability(capability::FB_CLEAR) => true,
            V::MmioStaleData => {
                cpu.has(Feature::MdClear) && !cpu.has_capability(capability::MDS_NO)
            }
            _ => cpu.has(Feature::MdClear),
        };
        match (self.has(M::ClearBuffers), effective) {
            (true, true) => Status::Covered("verw on return to a guest"),
            (true, false) => Status::Open(
                "verw is executed, but this microcode is not known to clear buffers by it: \
                 update it (of the host, if this is a VM)",
            ),
            (false, _) => Status::Open("switched off"),
        }
    }

    /// For what the microcode mends unless `disable` is set in IA32_MCU_OPT_CTRL.
    fn microcode(&self, feature: Feature, capabilities: u64, disable: u64) -> Status {
        let mended = self.cpu.has(feature) && self.cpu.has_capability(capabilities);
        if mended && self.cpu.mcu_opt_control & disable == 0 {
            Status::Covered("microcode")
        } else {
            Status::Open("update the microcode (of the host, if this is a VM)")
        }
    }

    fn retbleed(&self) -> Status {
        if self.has(M::EntryBarrier) {
            Status::Covered("IBPB on entry into the kernel")
        } else if self.cpu.vendor == Vendor::Intel && self.has(M::Ibrs) {
            Status::Covered("enhanced IBRS")
        } else {
            self.open(
                M::EntryBarrier,
                "the kernel's returns are not guarded: measures=ibpb_entry=on",
            )
        }
    }

    fn srso(&self) -> Status {
        // Before Zen 3 every IBPB forgets returns, too.
        let forgets = self.cpu.family < 0x19 || self.cpu.has(Feature::IbpbBrtype);
        match (self.has(M::EntryBarrier), forgets) {
            (true, true) => Status::Covered("IBPB on entry into the kernel"),
            (true, false) => Status::Open(
                "IBPB on entry is not known to forget returns: update the microcode (of the host)",
            ),
            (false, _) => self.open(
                M::EntryBarrier,
                "the kernel's returns are not guarded: measures=ibpb_entry=on",
            ),
        }
    }

    fn branch_history(&self) -> Status {
        if self.has(M::BhiDisable) {
            return Status::Covered("BHI_DIS_S");
        }
        match (self.has(M::ClearHistory), has_long_history(&self.cpu)) {
            (true, false) => Status::Covered("clearing branch history on entry into the kernel"),
            (true, true) => Status::Open(
                "the history of this CPU is longer than the kernel clears, and BHI_DIS_S is not \
                 offered: update the microcode (of the host)",
            ),
            (false, _) => Status::Open("branch history is not cleared: measures=bhb_clear=on"),
        }
    }

    /// Returns what to say about hardware threads, if the CPU shows any.
    pub fn threads_note(&self) -> Option<&'static str> {
        match (self.cpu.threads_per_core, self.cpu.has(Feature::Hypervisor)) {
            (0 | 1, false) => None,
            (_, false) => Some(
                "hardware threads: one thread of one core runs VMs, its sibling is never started",
            ),
            (_, true) => Some(
                "hardware threads: under a hypervisor a sibling thread may be another tenant's; \
                 ask for whole cores",
            ),
        }
    }
}

/// Alder Lake and later, Golden Cove servers: the short clearing sequence does not suffice.
fn has_long_history(cpu: &CpuProfile) -> bool {
    matches!(
        cpu.family_model(),
        0x697 | 0x69a | 0x6b7 | 0x6ba | 0x6bf | 0x6be | 0x68f | 0x6cf | 0x6ad | 0x6aa | 0x6ac
    )
}

impl fmt::Display for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = |title: &str, select: &dyn Fn(Measure) -> bool| {
            f.write_str(title)?;
            let mut none = true;
            for measure in Measure::ALL.into_iter().filter(|&measure| select(measure)) {
                write!(f, " {measure}")?;
                none = false;
            }
            f.write_str(if none { " none" } else { "" })
        };
        let available = |measure: Measure| measure.is_available(&self.cpu);
        list("on:", &|measure| self.has(measure))?;
        list("; off:", &|measure| {
            !self.has(measure) && available(measure)
        })?;
        list("; not offered by this CPU:", &|measure| !available(measure))
    }
}
