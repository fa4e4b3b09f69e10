//! What is decided for processors people have: family, model and stepping as CPUID shows them, with
//! the microcode of 2025 unless the name says otherwise.
//!
//! Which model has which leak was compared with the lists of Linux (`cpu_vuln_whitelist` and
//! `cpu_vuln_blacklist` in arch/x86/kernel/cpu/common.c, models of Zen in amd.c), which follow Intel's
//! "Affected Processors" and AMD's bulletins.

use super::super::Feature::*;
use super::super::Vulnerability::{
    Bhi, DivideByZero, Gds, Its, Mds, Meltdown, MmioStaleData, Retbleed, Rfds, SpectreV2, Srbds,
    Srso, StoreBypass, Taa, Tsa, Zenbleed,
};
use super::super::capability::*;
use super::super::{CpuProfile, Feature, Vendor, Vulnerability};
use super::{decide_automatically, on, open};
use Vendor::{Amd, Centaur, Hygon, Intel, Unknown};

/// A processor, what must be on for it, and what stays open (Spectre v1 always does).
struct Case {
    name: &'static str,
    signature: (Vendor, u32, u32, u32),
    features: &'static [&'static [Feature]],
    capabilities: u64,
    threads: u32,
    on: &'static [&'static str],
    open: &'static [Vulnerability],
}

impl Case {
    fn cpu(&self) -> CpuProfile {
        let (vendor, family, model, stepping) = self.signature;
        let mut cpu = CpuProfile::new(vendor, family, model, stepping);
        for &feature in self.features.iter().copied().flatten() {
            cpu = cpu.with(feature);
        }
        if self.capabilities != 0 {
            cpu = cpu.with(ArchCapabilities);
        }
        cpu.arch_capabilities = self.capabilities;
        cpu.threads_per_core = self.threads;
        cpu
    }
}

/// Microcode of 2018 and 2019: IBRS, IBPB, STIBP, SSBD, L1D flush, clearing `verw`.
const INTEL_2019: &[Feature] = &[SpecCtrl, Stibp, Ssbd, FlushCmd, MdClear];
const AMD_ZEN: &[Feature] = &[AmdIbpb, AmdSsbd];
const AMD_ZEN_2: &[Feature] = &[AmdIbpb, AmdIbrs, AmdStibp, AmdSsbd];
const AMD_ZEN_3: &[Feature] = &[AmdIbpb, AmdIbrs, AmdStibp, AmdSsbd, BtcNo, IbpbBrtype];
const AMD_ZEN_4: &[Feature] = &[
    AmdIbpb, AmdIbrs, AmdStibp, AmdSsbd, BtcNo, IbpbBrtype, AutoIbrs,
];
const AMD_ZEN_5: &[Feature] = &[
    AmdIbpb,
    AmdIbrs,
    AmdStibp,
    AmdSsbd,
    BtcNo,
    IbpbBrtype,
    AutoIbrs,
    SrsoUserKernelNo,
];
const CASCADE_LAKE: u64 = RDCL_NO | IBRS_ALL | MDS_NO | TSX_CTRL | FB_CLEAR | GDS_CTRL;
const ICE_LAKE: u64 = CASCADE_LAKE | TAA_NO;
const TIGER_LAKE: u64 = RDCL_NO | IBRS_ALL | MDS_NO | TAA_NO | GDS_CTRL;
const GOLDEN_COVE: u64 = RDCL_NO | IBRS_ALL | MDS_NO | TAA_NO | MMIO_NO | GDS_NO | ITS_NO;

const OLD_INTEL: &[&str] = &["pti", "ibpb", "ibpb_entry", "verw"];
const OLD_AMD: &[&str] = &["ibpb", "ibpb_entry"];

/// Writes a case in one line of data.
macro_rules! case {
    ($name:literal, $vendor:expr, $family:literal, $model:literal, $stepping:literal,
     $features:expr, $capabilities:expr, $threads:literal, $on:expr, $open:expr) => {
        Case {
            name: $name,
            signature: ($vendor, $family, $model, $stepping),
            features: $features,
            capabilities: $capabilities,
            threads: $threads,
            on: $on,
            open: $open,
        }
    };
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Intel, before enhanced IBRS.
    case!("Pentium 4 Prescott", Intel, 0xf, 4, 3, &[], 0, 2, &["pti", "verw"], &[SpectreV2, StoreBypass, Mds]),
    case!("Merom, no microcode", Intel, 6, 0x0f, 0xb, &[], 0, 1,
          &["pti", "verw"], &[SpectreV2, StoreBypass, Mds]),
    case!("Nehalem", Intel, 6, 0x1a, 5, &[&[SpecCtrl, Stibp, Ssbd, FlushCmd]], 0, 2,
          OLD_INTEL, &[StoreBypass, Mds]),
    case!("Westmere EP", Intel, 6, 0x2c, 2, &[&[SpecCtrl, Stibp, Ssbd, FlushCmd]], 0, 2,
          OLD_INTEL, &[StoreBypass, Mds]),
    case!("Sandy Bridge", Intel, 6, 0x2a, 7, &[INTEL_2019], 0, 2, OLD_INTEL, &[StoreBypass]),
    case!("Ivy Bridge", Intel, 6, 0x3a, 9, &[INTEL_2019, &[SrbdsCtrl]], 0, 2,
          OLD_INTEL, &[StoreBypass]),
    case!("Haswell", Intel, 6, 0x3c, 3, &[INTEL_2019, &[SrbdsCtrl]], 0, 2,
          OLD_INTEL, &[StoreBypass]),
    case!("Haswell EP", Intel, 6, 0x3f, 2, &[INTEL_2019], 0, 2, OLD_INTEL, &[StoreBypass]),
    case!("Broadwell", Intel, 6, 0x3d, 4, &[INTEL_2019, &[Rtm, SrbdsCtrl]], 0, 2,
          OLD_INTEL, &[StoreBypass]),
    case!("Broadwell EP", Intel, 6, 0x4f, 1, &[INTEL_2019, &[Rtm]], 0, 2,
          OLD_INTEL, &[StoreBypass]),
    case!("Skylake", Intel, 6, 0x5e, 3, &[INTEL_2019, &[Rtm, SrbdsCtrl]], GDS_CTRL, 2,
          OLD_INTEL, &[StoreBypass]),
    case!("Skylake SP", Intel, 6, 0x55, 4, &[INTEL_2019, &[Rtm]], GDS_CTRL | RSBA, 2,
          OLD_INTEL, &[StoreBypass]),
    case!("Skylake SP, microcode of 2017", Intel, 6, 0x55, 4, &[&[Rtm]], 0, 2,
          &["pti", "verw"], &[SpectreV2, StoreBypass, Mds, Taa, MmioStaleData, Gds, Retbleed]),
    case!("Kaby Lake", Intel, 6, 0x9e, 9, &[INTEL_2019, &[SrbdsCtrl]], GDS_CTRL, 2,
          OLD_INTEL, &[StoreBypass]),
    case!("Coffee Lake Refresh", Intel, 6, 0x9e, 0xd, &[INTEL_2019, &[SrbdsCtrl]],
          RDCL_NO | IBRS_ALL | MDS_NO | TSX_CTRL | FB_CLEAR | GDS_CTRL, 2,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass, Its]),
    // Intel, with it.
    case!("Cascade Lake", Intel, 6, 0x55, 7, &[INTEL_2019, &[Rtm]], CASCADE_LAKE, 2,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass, Its]),
    case!("Comet Lake", Intel, 6, 0xa5, 5, &[INTEL_2019, &[SrbdsCtrl]], CASCADE_LAKE, 2,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass, Its]),
    case!("Ice Lake SP", Intel, 6, 0x6a, 6, &[INTEL_2019], ICE_LAKE, 2,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass, Its]),
    case!("Rocket Lake", Intel, 6, 0xa7, 1, &[INTEL_2019], ICE_LAKE, 2,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass, Its]),
    case!("Tiger Lake", Intel, 6, 0x8c, 1, &[INTEL_2019], TIGER_LAKE, 2,
          &["ibrs", "ibpb", "bhb_clear"], &[StoreBypass, Its]),
    case!("Alder Lake", Intel, 6, 0x97, 2, &[INTEL_2019, &[BhiCtrl]], GOLDEN_COVE | RFDS_CLEAR, 2,
          &["ibrs", "ibpb", "bhi_dis_s", "verw"], &[StoreBypass]),
    case!("Alder Lake, microcode of 2023", Intel, 6, 0x97, 2, &[INTEL_2019, &[BhiCtrl]],
          GOLDEN_COVE, 2, &["ibrs", "ibpb", "bhi_dis_s", "verw"], &[StoreBypass, Rfds]),
    case!("Raptor Lake", Intel, 6, 0xb7, 1, &[INTEL_2019, &[BhiCtrl]], GOLDEN_COVE | RFDS_CLEAR, 2,
          &["ibrs", "ibpb", "bhi_dis_s", "verw"], &[StoreBypass]),
    case!("Sapphire Rapids", Intel, 6, 0x8f, 8, &[INTEL_2019, &[BhiCtrl, Rtm]],
          GOLDEN_COVE | RFDS_NO, 2, &["ibrs", "ibpb", "bhi_dis_s"], &[StoreBypass]),
    case!("Emerald Rapids", Intel, 6, 0xcf, 2, &[INTEL_2019, &[BhiCtrl, Rtm]],
          GOLDEN_COVE | RFDS_NO, 2, &["ibrs", "ibpb", "bhi_dis_s"], &[StoreBypass]),
    case!("Granite Rapids", Intel, 6, 0xad, 1, &[INTEL_2019, &[BhiCtrl, Rtm]],
          GOLDEN_COVE | RFDS_NO | BHI_NO, 2, &["ibrs", "ibpb"], &[StoreBypass]),
    // Intel Atoms.
    case!("Bonnell", Intel, 6, 0x1c, 2, &[], 0, 2, &[], &[]),
    case!("Silvermont", Intel, 6, 0x37, 8, &[INTEL_2019], 0, 1, OLD_INTEL, &[]),
    case!("Airmont MID", Intel, 6, 0x5a, 0, &[INTEL_2019], 0, 1, OLD_INTEL, &[StoreBypass]),
    case!("Goldmont", Intel, 6, 0x5c, 9, &[INTEL_2019], RFDS_CLEAR, 1,
          &["pti", "ibpb", "ibpb_entry", "verw"], &[StoreBypass]),
    case!("Tremont", Intel, 6, 0x96, 1, &[INTEL_2019, &[SrbdsCtrl]],
          RDCL_NO | IBRS_ALL | MDS_NO | TAA_NO | FB_CLEAR | RFDS_CLEAR, 1,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass]),
    case!("Tremont D (Snow Ridge)", Intel, 6, 0x86, 5, &[INTEL_2019],
          RDCL_NO | IBRS_ALL | MDS_NO | TAA_NO | FB_CLEAR | RFDS_CLEAR, 1,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass]),
    case!("Sierra Forest", Intel, 6, 0xaf, 3, &[INTEL_2019, &[BhiCtrl]],
          GOLDEN_COVE | RFDS_NO | BHI_NO, 1, &["ibrs", "ibpb"], &[StoreBypass]),
    // AMD and Hygon.
    case!("K10 Phenom II", Amd, 0x10, 4, 3, &[], 0, 1, &[], &[SpectreV2]),
    case!("Bulldozer", Amd, 0x15, 1, 2, &[&[AmdIbpb]], 0, 1, OLD_AMD, &[StoreBypass]),
    case!("Jaguar", Amd, 0x16, 0, 1, &[&[AmdIbpb]], 0, 1, OLD_AMD, &[StoreBypass]),
    case!("Zen 1 Naples", Amd, 0x17, 1, 2, &[AMD_ZEN], 0, 2,
          OLD_AMD, &[StoreBypass, DivideByZero]),
    case!("Zen+ without SMT", Amd, 0x17, 8, 2, &[AMD_ZEN], 0, 1,
          OLD_AMD, &[StoreBypass, DivideByZero]),
    case!("Zen 2 Rome", Amd, 0x17, 0x31, 0, &[AMD_ZEN_2], 0, 2,
          &["ibpb", "ibpb_entry", "zenbleed"], &[StoreBypass]),
    case!("Zen 3 Milan", Amd, 0x19, 1, 1, &[AMD_ZEN_3, &[VerwClear]], 0, 2,
          &["ibpb", "ibpb_entry", "verw"], &[StoreBypass]),
    case!("Zen 3, microcode of 2022", Amd, 0x19, 1, 1, &[AMD_ZEN_2, &[BtcNo]], 0, 2,
          &["ibpb", "ibpb_entry", "verw"], &[StoreBypass, Tsa, Srso]),
    case!("Zen 4 Genoa", Amd, 0x19, 0x11, 1, &[AMD_ZEN_4, &[VerwClear]], 0, 2,
          &["ibrs", "ibpb", "ibpb_entry", "verw"], &[StoreBypass]),
    case!("Zen 5 Turin", Amd, 0x1a, 2, 1, &[AMD_ZEN_5], 0, 2, &["ibrs", "ibpb"], &[StoreBypass]),
    case!("Hygon Dhyana", Hygon, 0x18, 0, 1, &[AMD_ZEN], 0, 2,
          OLD_AMD, &[StoreBypass, DivideByZero]),
    // Others.
    case!("VIA Nano", Centaur, 6, 0xf, 3, &[], 0, 1,
          &["pti", "verw"], &[SpectreV2, StoreBypass, Mds]),
    case!("Zhaoxin KX-6000", Centaur, 7, 0x3b, 0, &[], 0, 1,
          &["pti", "verw"], &[StoreBypass, Mds]),
    case!("unknown maker", Unknown, 6, 1, 1, &[], 0, 1,
          &["pti", "verw"], &[SpectreV2, StoreBypass, Mds]),
    // Virtual machines.
    case!("QEMU TCG max", Amd, 0xf, 0x6b, 1, &[&[Hypervisor]], 0, 1, &[], &[SpectreV2]),
    case!("KVM qemu64 on AMD", Amd, 0xf, 0x6b, 1, &[&[Hypervisor]], 0, 1, &[], &[SpectreV2]),
    case!("KVM kvm64 on Intel", Intel, 0xf, 6, 1, &[&[Hypervisor]], 0, 1,
          &["pti", "bhb_clear", "verw"], &[SpectreV2, StoreBypass, Mds]),
    case!("AWS t3 (Skylake SP)", Intel, 6, 0x55, 4, &[&[Hypervisor, Rtm]], 0, 2,
          &["pti", "bhb_clear", "verw"],
          &[SpectreV2, StoreBypass, Mds, Taa, MmioStaleData, Gds, Retbleed]),
    case!("AWS m6i (Ice Lake SP)", Intel, 6, 0x6a, 6, &[INTEL_2019, &[Hypervisor]],
          RDCL_NO | IBRS_ALL | MDS_NO | TAA_NO | FB_CLEAR, 2,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass, Gds, Its]),
    case!("AWS m7i (Sapphire Rapids)", Intel, 6, 0x8f, 8, &[INTEL_2019, &[Hypervisor]],
          GOLDEN_COVE | RFDS_NO, 2, &["ibrs", "ibpb", "bhb_clear"], &[StoreBypass, Bhi]),
    case!("GCP n2 (Cascade Lake)", Intel, 6, 0x55, 7, &[INTEL_2019, &[Hypervisor, Rtm]],
          RDCL_NO | IBRS_ALL | MDS_NO, 2,
          &["ibrs", "ibpb", "bhb_clear", "verw"], &[StoreBypass, MmioStaleData, Gds, Its]),
    case!("GCP n2d (Milan)", Amd, 0x19, 1, 0, &[AMD_ZEN_2, &[Hypervisor]], 0, 2,
          &["ibpb", "ibpb_entry", "verw"], &[StoreBypass, Tsa, Srso]),
    case!("AWS m5a (Naples)", Amd, 0x17, 1, 2, &[AMD_ZEN, &[Hypervisor]], 0, 2,
          OLD_AMD, &[StoreBypass, DivideByZero]),
    case!("Azure Rome", Amd, 0x17, 0x31, 0, &[AMD_ZEN_2, &[Hypervisor]], 0, 2,
          OLD_AMD, &[StoreBypass, Zenbleed]),
];

#[test]
fn each_profile_gets_what_it_needs_and_hears_what_stays_open() {
    let mut wrong = 0;
    for case in CASES {
        let measures = decide_automatically(&case.cpu());
        let (on, open) = (on(&measures), open(&measures));
        if on != case.on || open != case.open {
            wrong += 1;
            std::println!("{}: on {on:?}, open {open:?}", case.name);
        }
    }
    assert_eq!(wrong, 0, "profiles that get something else, see above");
}

#[test]
fn there_are_more_than_fifty_profiles_with_distinct_names() {
    assert!(CASES.len() > 50);
    for (index, case) in CASES.iter().enumerate() {
        assert!(CASES[..index].iter().all(|other| other.name != case.name));
    }
}

#[test]
fn intel_without_rdcl_no_gets_isolation_and_amd_never_does() {
    for case in CASES {
        let cpu = case.cpu();
        let isolated = on(&decide_automatically(&cpu)).contains(&"pti");
        assert_eq!(isolated, Meltdown.affects(&cpu), "{}", case.name);
        if cpu.vendor.is_amd() || cpu.has_capability(RDCL_NO) {
            assert!(!isolated, "{}", case.name);
        }
    }
}

#[test]
fn a_switched_off_microcode_remedy_is_reported() {
    let case = CASES.iter().find(|case| case.name == "Skylake").unwrap();
    let mut cpu = case.cpu();
    cpu.mcu_opt_control = 1 | 1 << 4;
    let open = open(&decide_automatically(&cpu));
    assert!(open.contains(&Srbds) && open.contains(&Gds), "{open:?}");
}

/// Hands the profiles to the other tests.
pub(super) fn all() -> impl Iterator<Item = (&'static str, CpuProfile)> {
    CASES.iter().map(|case| (case.name, case.cpu()))
}
