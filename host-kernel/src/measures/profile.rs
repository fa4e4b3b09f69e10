//! What the CPU is, as far as leaks and their remedies go.

/// CPUID and model-specific registers, of the real processor or of a test's.
pub trait Cpu {
    /// Returns EAX, EBX, ECX and EDX of a CPUID leaf that the CPU has.
    fn cpuid(&self, leaf: u32, subleaf: u32) -> [u32; 4];

    /// Reads a register that the profile says exists.
    fn read_msr(&self, register: u32) -> u64;

    /// Writes a register that the profile says exists.
    fn write_msr(&mut self, register: u32, value: u64);
}

/// Who made the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// `GenuineIntel`
    Intel,
    /// `AuthenticAMD`
    Amd,
    /// `HygonGenuine`: a Zen under licence.
    Hygon,
    /// `CentaurHauls`, `  Shanghai  `: VIA and Zhaoxin.
    Centaur,
    /// Anyone else. Assumed to leak like Intel.
    Unknown,
}

impl Vendor {
    /// Whether the CPU is a design of AMD's.
    pub(crate) fn is_amd(self) -> bool {
        matches!(self, Self::Amd | Self::Hygon)
    }
}

/// Bits of IA32_ARCH_CAPABILITIES (SDM vol. 4 table 2-2).
pub mod capability {
    /// Not susceptible to Meltdown and L1TF.
    pub const RDCL_NO: u64 = 1;
    /// Enhanced IBRS.
    pub const IBRS_ALL: u64 = 1 << 1;
    /// Returns may be predicted by the branch target buffer.
    pub const RSBA: u64 = 1 << 2;
    /// Not susceptible to speculative store bypass.
    pub const SSB_NO: u64 = 1 << 4;
    /// Not susceptible to MDS.
    pub const MDS_NO: u64 = 1 << 5;
    /// IA32_TSX_CTRL exists.
    pub const TSX_CTRL: u64 = 1 << 7;
    /// Not susceptible to TAA.
    pub const TAA_NO: u64 = 1 << 8;
    /// Not susceptible to three kinds of MMIO stale data: all are needed.
    pub const MMIO_NO: u64 = 7 << 13;
    /// `verw` clears fill buffers.
    pub const FB_CLEAR: u64 = 1 << 17;
    /// Not susceptible to branch history injection.
    pub const BHI_NO: u64 = 1 << 20;
    /// IA32_MCU_OPT_CTRL can switch the remedy for GDS; so the microcode has one.
    pub const GDS_CTRL: u64 = 1 << 25;
    /// Not susceptible to GDS.
    pub const GDS_NO: u64 = 1 << 26;
    /// Not susceptible to RFDS.
    pub const RFDS_NO: u64 = 1 << 27;
    /// `verw` clears register files.
    pub const RFDS_CLEAR: u64 = 1 << 28;
    /// Not susceptible to ITS.
    pub const ITS_NO: u64 = 1 << 62;
}

/// Words of CPUID that hold [`Feature`]s: leaf, subleaf, and EAX to EDX as 0 to 3.
const WORDS: [(u32, u32, usize); 7] = [
    (1, 0, 2),
    (7, 0, 1),
    (7, 0, 3),
    (7, 2, 3),
    (0x8000_0008, 0, 1),
    (0x8000_0021, 0, 0),
    (0x8000_0021, 0, 2),
];

/// A bit of CPUID: index of its word times 32, plus the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Feature {
    /// Runs under a hypervisor.
    Hypervisor = 31,
    /// Transactional memory.
    Rtm = 32 + 11,
    /// IA32_MCU_OPT_CTRL has the remedy for SRBDS.
    SrbdsCtrl = 64 + 9,
    /// `verw` clears buffers.
    MdClear = 64 + 10,
    /// IBRS and IBPB (Intel).
    SpecCtrl = 64 + 26,
    /// STIBP (Intel).
    Stibp = 64 + 27,
    /// IA32_FLUSH_CMD.
    FlushCmd = 64 + 28,
    /// IA32_ARCH_CAPABILITIES.
    ArchCapabilities = 64 + 29,
    /// SSBD (Intel).
    Ssbd = 64 + 31,
    /// BHI_DIS_S.
    BhiCtrl = 96 + 4,
    /// IBPB (AMD).
    AmdIbpb = 128 + 12,
    /// IBRS (AMD).
    AmdIbrs = 128 + 14,
    /// STIBP (AMD).
    AmdStibp = 128 + 15,
    /// IBRS protects when it is set once.
    AmdIbrsAlwaysOn = 128 + 16,
    /// SSBD in SPEC_CTRL (AMD).
    AmdSsbd = 128 + 24,
    /// Not susceptible to speculative store bypass (AMD).
    AmdSsbNo = 128 + 26,
    /// Not susceptible to Retbleed.
    BtcNo = 128 + 29,
    /// `verw` clears what TSA leaks.
    VerwClear = 160 + 5,
    /// EFER.AIBRSE.
    AutoIbrs = 160 + 8,
    /// IBPB forgets every kind of branch.
    IbpbBrtype = 160 + 28,
    /// Not susceptible to SRSO.
    SrsoNo = 160 + 29,
    /// Not susceptible to SRSO between user and kernel.
    SrsoUserKernelNo = 160 + 30,
    /// Not susceptible to TSA by the store queue.
    TsaSqNo = 192 + 1,
    /// Not susceptible to TSA by the first-level cache.
    TsaL1No = 192 + 2,
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuProfile {
    /// Who made it.
    pub vendor: Vendor,
    /// Display family.
    pub family: u32,
    /// Display model.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// IA32_ARCH_CAPABILITIES, 0 if there is none.
    pub arch_capabilities: u64,
    /// IA32_MCU_OPT_CTRL, 0 if there is none.
    pub mcu_opt_control: u64,
    /// Hardware threads of a core.
    pub threads_per_core: u32,
    words: [u32; WORDS.len()],
}

impl CpuProfile {
    /// Makes a CPU without any feature, one thread to a core.
    pub const fn new(vendor: Vendor, family: u32, model: u32, stepping: u32) -> Self {
        Self {
            vendor,
            family,
            model,
            stepping,
            arch_capabilities: 0,
            mcu_opt_control: 0,
            threads_per_core: 1,
            words: [0; WORDS.len()],
        }
    }

    /// Adds a feature.
    #[must_use]
    pub const fn with(mut self, feature: Feature) -> Self {
        self.words[feature as usize / 32] |= 1 << (feature as u32 % 32);
        self
    }

    /// Asks the CPU.
    pub fn read(cpu: &impl Cpu) -> Self {
        let [leaf_max, b, c, d] = cpu.cpuid(0, 0);
        let extended_max = match cpu.cpuid(0x8000_0000, 0)[0] {
            max if max >= 0x8000_0000 => max,
            _ => 0,
        };
        let mut name = [0; 12];
        for (bytes, register) in name.chunks_exact_mut(4).zip([b, d, c]) {
            bytes.copy_from_slice(&register.to_le_bytes());
        }
        let vendor = match &name {
            b"GenuineIntel" => Vendor::Intel,
            b"AuthenticAMD" => Vendor::Amd,
            b"HygonGenuine" => Vendor::Hygon,
            b"CentaurHauls" | b"  Shanghai  " => Vendor::Centaur,
            _ => Vendor::Unknown,
        };
        let (family, model, stepping) = signature(cpu.cpuid(1, 0)[0]);
        let mut profile = Self::new(vendor, family, model, stepping);
        for (word, (leaf, subleaf, register)) in profile.words.iter_mut().zip(WORDS) {
            let exists = if leaf < 0x8000_0000 {
                leaf <= leaf_max && (subleaf == 0 || subleaf <= cpu.cpuid(leaf, 0)[0])
            } else {
                leaf <= extended_max
            };
            if exists {
                *word = cpu.cpuid(leaf, subleaf)[register];
            }
        }
        profile.threads_per_core = threads_per_core(cpu, vendor, leaf_max, extended_max);
        if profile.has(Feature::ArchCapabilities) {
            profile.arch_capabilities = cpu.read_msr(super::msr::ARCH_CAPABILITIES);
        }
        if profile.has_mcu_opt_control() {
            profile.mcu_opt_control = cpu.read_msr(super::msr::MCU_OPT_CTRL);
        }
        profile
    }

    /// Returns whether CPUID shows a feature.
    pub const fn has(&self, feature: Feature) -> bool {
        self.words[feature as usize / 32] & 1 << (feature as u32 % 32) != 0
    }

    /// Returns whether IA32_ARCH_CAPABILITIES has every bit of `bits`.
    pub const fn has_capability(&self, bits: u64) -> bool {
        self.arch_capabilities & bits == bits
    }

    /// Returns whether IA32_MCU_OPT_CTRL exists (SDM vol. 4 table 2-2, register 123h).
    pub const fn has_mcu_opt_control(&self) -> bool {
        self.has(Feature::SrbdsCtrl) || self.has_capability(capability::GDS_CTRL)
    }

    /// Returns whether IBPB exists.
    pub(crate) const fn has_ibpb(&self) -> bool {
        self.has(Feature::SpecCtrl) || self.has(Feature::AmdIbpb)
    }

    /// Returns whether IBRS, set once, keeps guests' branches from the kernel's.
    pub(crate) const fn has_enhanced_ibrs(&self) -> bool {
        self.has(Feature::SpecCtrl) && self.has_capability(capability::IBRS_ALL)
            || self.has(Feature::AutoIbrs)
            || self.has(Feature::AmdIbrs) && self.has(Feature::AmdIbrsAlwaysOn)
    }

    /// Returns family and model as one number, for tables.
    pub(crate) const fn family_model(&self) -> u32 {
        self.family << 8 | self.model
    }
}

/// Takes family, model and stepping out of leaf 1 EAX (SDM vol. 2A, CPUID).
const fn signature(eax: u32) -> (u32, u32, u32) {
    let family = eax >> 8 & 0xf;
    let model = eax >> 4 & 0xf;
    let extended_model = eax >> 16 & 0xf;
    let display_family = if family == 0xf {
        family + (eax >> 20 & 0xff)
    } else {
        family
    };
    let display_model = if family == 6 || family == 0xf {
        extended_model << 4 | model
    } else {
        model
    };
    (display_family, display_model, eax & 0xf)
}

/// Counts the threads of a core: leaf 0Bh, on older AMDs leaf 8000_001Eh.
fn threads_per_core(cpu: &impl Cpu, vendor: Vendor, leaf_max: u32, extended_max: u32) -> u32 {
    if leaf_max >= 0xb {
        let [_, threads, level, _] = cpu.cpuid(0xb, 0);
        // Level type 1 is the thread level.
        if level >> 8 & 0xff == 1 && threads & 0xffff != 0 {
            return threads & 0xffff;
        }
    }
    if vendor.is_amd() && extended_max >= 0x8000_001e {
        return (cpu.cpuid(0x8000_001e, 0)[1] >> 8 & 0xff) + 1;
    }
    1
}
