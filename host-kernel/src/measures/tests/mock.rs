//! A processor that refuses every register outside its profile, as real ones do by #GP.

use super::super::{Cpu, CpuProfile, Feature, Measure, Request, Vendor, apply, decide, msr};
use super::profiles;
use std::collections::BTreeMap;
use std::string::String;

struct MockCpu {
    profile: CpuProfile,
    leaves: BTreeMap<(u32, u32), [u32; 4]>,
    registers: BTreeMap<u32, u64>,
}

impl MockCpu {
    fn new(profile: CpuProfile) -> Self {
        let has = |feature| profile.has(feature);
        let mut registers = BTreeMap::from([(msr::EFER, 0xd01)]);
        let spec_ctrl = [
            Feature::SpecCtrl,
            Feature::Stibp,
            Feature::Ssbd,
            Feature::AmdIbrs,
            Feature::AmdStibp,
            Feature::AmdSsbd,
        ];
        if spec_ctrl.into_iter().any(has) {
            registers.insert(msr::SPEC_CTRL, 0);
        }
        if has(Feature::ArchCapabilities) {
            registers.insert(msr::ARCH_CAPABILITIES, profile.arch_capabilities);
        }
        if profile.has_mcu_opt_control() {
            registers.insert(msr::MCU_OPT_CTRL, profile.mcu_opt_control);
        }
        if profile.vendor == Vendor::Amd && profile.family == 0x17 && !has(Feature::Hypervisor) {
            registers.insert(msr::DE_CFG, 2);
        }
        Self {
            profile,
            leaves: BTreeMap::new(),
            registers,
        }
    }

    /// Bits of a register that may be set.
    fn allowed(&self, register: u32) -> u64 {
        let bit = |feature, bits| if self.profile.has(feature) { bits } else { 0 };
        match register {
            msr::SPEC_CTRL => {
                bit(Feature::SpecCtrl, msr::SPEC_CTRL_IBRS)
                    | bit(Feature::AmdIbrs, msr::SPEC_CTRL_IBRS)
                    | bit(Feature::Stibp, msr::SPEC_CTRL_STIBP)
                    | bit(Feature::AmdStibp, msr::SPEC_CTRL_STIBP)
                    | bit(Feature::Ssbd, msr::SPEC_CTRL_SSBD)
                    | bit(Feature::AmdSsbd, msr::SPEC_CTRL_SSBD)
                    | bit(Feature::BhiCtrl, msr::SPEC_CTRL_BHI_DIS_S)
            }
            msr::EFER => 0xd01 | bit(Feature::AutoIbrs, msr::EFER_AIBRSE),
            msr::DE_CFG => 2 | msr::DE_CFG_ZENBLEED,
            _ => 0,
        }
    }
}

impl Cpu for MockCpu {
    fn cpuid(&self, leaf: u32, subleaf: u32) -> [u32; 4] {
        self.leaves.get(&(leaf, subleaf)).copied().unwrap_or([0; 4])
    }

    fn read_msr(&self, register: u32) -> u64 {
        let value = self.registers.get(&register);
        *value.unwrap_or_else(|| panic!("#GP: rdmsr {register:#x} on {:?}", self.profile))
    }

    fn write_msr(&mut self, register: u32, value: u64) {
        let refused = value & !self.allowed(register);
        assert_eq!(refused, 0, "#GP: wrmsr {register:#x} {value:#x}");
        let place = self.registers.get_mut(&register);
        *place.unwrap_or_else(|| panic!("#GP: wrmsr {register:#x}")) = value;
    }
}

#[test]
fn no_profile_is_asked_for_a_register_it_does_not_have() {
    for command_line in [
        "",
        "measures=off",
        "measures=all",
        "measures=ssbd=on,stibp=on,ibrs=on",
    ] {
        let request = Request::parse(command_line, |error| panic!("{error}"));
        for (name, profile) in profiles::all() {
            let mut cpu = MockCpu::new(profile);
            let measures = decide(&profile, request);
            apply(&measures, &mut cpu);
            // What the world switch writes.
            if measures.has(Measure::BranchBarrier) || measures.has(Measure::EntryBarrier) {
                assert!(profile.has_ibpb(), "{name}");
            }
            if measures.has(Measure::FlushL1d) {
                assert!(profile.has(Feature::FlushCmd), "{name}");
            }
        }
    }
}

#[test]
fn registers_are_written_as_decided() {
    let written = |name: &str, command_line: &str, register: u32| {
        let (_, profile) = profiles::all().find(|&(other, _)| other == name).unwrap();
        let mut cpu = MockCpu::new(profile);
        let request = Request::parse(command_line, |error| panic!("{error}"));
        apply(&decide(&profile, request), &mut cpu);
        cpu.registers[&register]
    };
    assert_eq!(written("Skylake", "", msr::SPEC_CTRL), 0);
    assert_eq!(written("Skylake", "measures=ssbd=on", msr::SPEC_CTRL), 4);
    assert_eq!(written("Cascade Lake", "", msr::SPEC_CTRL), 1);
    assert_eq!(written("Cascade Lake", "measures=off", msr::SPEC_CTRL), 0);
    assert_eq!(written("Sapphire Rapids", "", msr::SPEC_CTRL), 1 | 1 << 10);
    assert_eq!(written("Zen 4 Genoa", "", msr::EFER), 0xd01 | 1 << 21);
    assert_eq!(
        written("Zen 4 Genoa", "measures=stibp=on", msr::SPEC_CTRL),
        2
    );
    assert_eq!(written("Zen 2 Rome", "", msr::DE_CFG), 2 | 1 << 9);
    assert_eq!(written("Zen 3 Milan", "measures=off", msr::EFER), 0xd01);
}

/// Leaves as an EPYC 7742 (Zen 2) and a Xeon Gold 6230 (Cascade Lake) show them, without what the
/// kernel does not read.
#[test]
fn a_profile_is_read_from_cpuid() {
    let name = |text: &[u8; 12]| {
        let word = |at: usize| u32::from_le_bytes(text[at..at + 4].try_into().unwrap());
        [word(0), word(8), word(4)]
    };
    let mut cpu = MockCpu::new(CpuProfile::new(Vendor::Amd, 0x17, 0x31, 0));
    let [b, c, d] = name(b"AuthenticAMD");
    cpu.leaves.insert((0, 0), [0x10, b, c, d]);
    cpu.leaves
        .insert((1, 0), [0x0083_0f10, 0, 0x7ed8_320b, 0x178b_fbff]);
    cpu.leaves.insert((0xb, 0), [1, 2, 0x100, 0]);
    cpu.leaves.insert((0x8000_0000, 0), [0x8000_0020, 0, 0, 0]);
    cpu.leaves
        .insert((0x8000_0008, 0), [0x3030, 0x0104_d000, 0, 0]);
    let profile = CpuProfile::read(&cpu);
    assert_eq!(
        (profile.family, profile.model, profile.stepping),
        (0x17, 0x31, 0)
    );
    assert_eq!(profile.threads_per_core, 2);
    assert!(profile.has(Feature::AmdIbpb) && profile.has(Feature::AmdSsbd));
    assert!(!profile.has(Feature::AutoIbrs) && !profile.has(Feature::Hypervisor));

    let mut cpu = MockCpu::new(CpuProfile::new(Vendor::Intel, 6, 0x55, 7));
    let [b, c, d] = name(b"GenuineIntel");
    cpu.leaves.insert((0, 0), [0x16, b, c, d]);
    cpu.leaves
        .insert((1, 0), [0x0005_0657, 0, 0x7ffe_fbff, 0xbfeb_fbff]);
    cpu.leaves
        .insert((7, 0), [0, 0xd39f_fffb, 0x808, 0xbc00_0400]);
    cpu.leaves.insert((0xb, 0), [1, 2, 0x100, 0]);
    cpu.registers.insert(msr::ARCH_CAPABILITIES, 0xab);
    let profile = CpuProfile::read(&cpu);
    assert_eq!(
        (profile.family, profile.model, profile.stepping),
        (6, 0x55, 7)
    );
    assert_eq!(profile.arch_capabilities, 0xab);
    assert!(profile.has(Feature::MdClear) && profile.has(Feature::Rtm));
    let line = std::format!("{}", super::decide_automatically(&profile));
    assert_eq!(
        line,
        String::from(
            "on: ibrs ibpb bhb_clear verw; off: pti ibpb_entry l1d_flush ssbd stibp; \
             not offered by this CPU: bhi_dis_s zenbleed"
        )
    );
}
