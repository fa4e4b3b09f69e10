//! Writes the registers that stay as they are written at boot.

use super::decide::Measures;
use super::measure::Measure as M;
use super::profile::Cpu;

/// Model-specific registers of the measures (SDM vol. 4 table 2-2; AMD PPR for family 17h).
pub mod msr {
    /// IA32_SPEC_CTRL.
    pub const SPEC_CTRL: u32 = 0x48;
    /// Indirect branch restricted speculation.
    pub const SPEC_CTRL_IBRS: u64 = 1;
    /// Single thread indirect branch predictors.
    pub const SPEC_CTRL_STIBP: u64 = 1 << 1;
    /// Speculative store bypass disable.
    pub const SPEC_CTRL_SSBD: u64 = 1 << 2;
    /// Ring 0 does not predict by the history of ring 3.
    pub const SPEC_CTRL_BHI_DIS_S: u64 = 1 << 10;
    /// IA32_PRED_CMD.
    pub const PRED_CMD: u32 = 0x49;
    /// Indirect branch prediction barrier.
    pub const PRED_CMD_IBPB: u64 = 1;
    /// IA32_ARCH_CAPABILITIES.
    pub const ARCH_CAPABILITIES: u32 = 0x10a;
    /// IA32_FLUSH_CMD.
    pub const FLUSH_CMD: u32 = 0x10b;
    /// Writes back and invalidates the first-level data cache.
    pub const FLUSH_CMD_L1D: u64 = 1;
    /// IA32_MCU_OPT_CTRL.
    pub const MCU_OPT_CTRL: u32 = 0x123;
    /// IA32_EFER.
    pub const EFER: u32 = 0xc000_0080;
    /// Automatic IBRS.
    pub const EFER_AIBRSE: u64 = 1 << 21;
    /// AMD's decode configuration.
    pub const DE_CFG: u32 = 0xc001_1029;
    /// Stops Zenbleed (AMD-SB-7008).
    pub const DE_CFG_ZENBLEED: u64 = 1 << 9;
}

/// Switches on what is set once; bits that firmware or a hypervisor set stay.
pub fn apply(measures: &Measures, cpu: &mut impl Cpu) {
    let automatic = measures.cpu().has(super::Feature::AutoIbrs);
    let spec_ctrl = [
        (M::Ibrs, if automatic { 0 } else { msr::SPEC_CTRL_IBRS }),
        (M::Stibp, msr::SPEC_CTRL_STIBP),
        (M::Ssbd, msr::SPEC_CTRL_SSBD),
        (M::BhiDisable, msr::SPEC_CTRL_BHI_DIS_S),
    ];
    let bits = spec_ctrl
        .into_iter()
        .filter(|&(measure, _)| measures.has(measure))
        .fold(0, |bits, (_, bit)| bits | bit);
    let efer = if measures.has(M::Ibrs) && automatic {
        msr::EFER_AIBRSE
    } else {
        0
    };
    let zenbleed = if measures.has(M::ZenbleedBit) {
        msr::DE_CFG_ZENBLEED
    } else {
        0
    };
    for (register, bits) in [
        (msr::SPEC_CTRL, bits),
        (msr::EFER, efer),
        (msr::DE_CFG, zenbleed),
    ] {
        if bits != 0 {
            let value = cpu.read_msr(register) | bits;
            cpu.write_msr(register, value);
        }
    }
}
